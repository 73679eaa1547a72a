package mix

import (
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider/fake"

	"supercargo.dev/e2e/bench/packing/contest"
)

// KarpenterTypes is how many instance types Karpenter's own benchmark has.
const KarpenterTypes = 400

// KarpenterOwn is the problem of Karpenter's own benchmark (scheduling_benchmark_test.go, makeDiversePods): a fifth each of
// plain pods, spread over zones, spread over hosts, together in a zone with those of the same label, and all apart by host.
// Labels, selectors and sizes are drawn as there; what does not divide by five is plain. Its limits of ten million cores
// bind nowhere.
func KarpenterOwn(n int, seed uint64) *contest.Input {
	r := rand.New(rand.NewPCG(seed, 1))
	letter := func() string { return pick(r, "a", "b", "c", "d", "e", "f", "g") }
	drawn := func(i int) pod {
		cpu := pick[int64](r, 100, 250, 500, 1000, 1500)
		return newPod(named("pod", i), cpu, pick[int64](r, 100, 256, 512, 1024, 2048, 4096))
	}
	in := &contest.Input{Seed: seed, Pools: []contest.Pool{{NodePool: NodePool("default"), Types: fake.InstanceTypes(KarpenterTypes)}}}
	in.Pools[0].NodePool.Spec.Limits = karpv1.Limits{
		corev1.ResourceCPU: resource.MustParse("10000000"), corev1.ResourceMemory: resource.MustParse("10000000Gi"),
	}
	fifth := max(1, n/5)
	for i := range n {
		p := drawn(i)
		switch i / fifth {
		case 1:
			p.label("my-label", letter()).spread(corev1.LabelTopologyZone, 1, map[string]string{"my-label": letter()})
		case 2:
			p.label("my-label", letter()).spread(corev1.LabelHostname, 1, map[string]string{"my-label": letter()})
		case 3:
			v := letter()
			p.label("my-affinity", v).together(corev1.LabelTopologyZone, map[string]string{"my-affinity": v})
		case 4:
			p.label("app", "nginx").apart(corev1.LabelHostname, map[string]string{"app": "nginx"})
		default:
			p.label("my-label", letter())
		}
		in.Pods = append(in.Pods, p.Pod)
	}
	return in
}

// NodePool is a pool without requirements and limits.
func NodePool(name string) *karpv1.NodePool {
	np := &karpv1.NodePool{}
	np.Name = name
	np.UID = types.UID("pool-" + name)
	np.Spec.Template.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: "karpenter.test.sh", Kind: "TestNodeClass", Name: "default"}
	return np
}
