package packing_test

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/provisioner/packing"
)

var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}

// shape is an instance type as a cloud lists it.
type shape struct {
	name   string
	cpu    int64 // milli
	memory int64 // MiB
	price  float64
	arch   string
}

// families lists c, m and r types of the AWS us-east-1 price list (Linux, on
// demand, USD per hour), at every size up to 16xlarge; prices are linear in size.
func families() []shape {
	base := []struct {
		name string
		gib  int64 // per 2 vCPU
		usd  float64
		arch string
	}{
		{"c5", 4, 0.085, "amd64"},
		{"c6i", 4, 0.085, "amd64"},
		{"c7g", 4, 0.0725, "arm64"},
		{"c6a", 4, 0.0765, "amd64"},
		{"m5", 8, 0.096, "amd64"},
		{"m6i", 8, 0.096, "amd64"},
		{"m7g", 8, 0.0816, "arm64"},
		{"m6a", 8, 0.0864, "amd64"},
		{"r5", 16, 0.126, "amd64"},
		{"r6i", 16, 0.126, "amd64"},
		{"r7g", 16, 0.1071, "arm64"},
		{"r6a", 16, 0.1134, "amd64"},
	}
	sizes := []struct {
		name string
		n    int64
	}{{"large", 1}, {"xlarge", 2}, {"2xlarge", 4}, {"4xlarge", 8}, {"8xlarge", 16}, {"12xlarge", 24}, {"16xlarge", 32}}
	var out []shape
	for _, b := range base {
		for _, s := range sizes {
			out = append(out, shape{b.name + "." + s.name, 2000 * s.n, b.gib * 1024 * s.n, b.usd * float64(s.n), b.arch})
		}
	}
	return out
}

func quantity(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.BinarySI) }

func (s shape) instanceType(spot bool) packing.InstanceType {
	mem := s.memory << 20
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(s.cpu, resource.DecimalSI), corev1.ResourceMemory: quantity(mem),
		corev1.ResourcePods: quantity(110), corev1.ResourceEphemeralStorage: quantity(20 << 30),
	}
	allocatable := capacity.DeepCopy()
	allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(s.cpu-80, resource.DecimalSI)
	allocatable[corev1.ResourceMemory] = quantity(mem - mem/20 - 300<<20)
	it := packing.InstanceType{Name: s.name, Allocatable: allocatable, Capacity: capacity, Labels: map[string]string{
		corev1.LabelInstanceTypeStable: s.name, corev1.LabelArchStable: s.arch, corev1.LabelOSStable: "linux",
	}}
	for i, z := range zones {
		it.Offerings = append(it.Offerings, packing.Offering{Zone: z, CapacityType: packing.CapacityOnDemand, Price: s.price, Available: true})
		if spot {
			it.Offerings = append(it.Offerings, packing.Offering{
				Zone: z, CapacityType: packing.CapacitySpot,
				Price: s.price * (0.35 + 0.03*float64(i)), Risk: 0.02, Available: true,
			})
		}
	}
	return it
}

func listed(spot bool) []packing.InstanceType {
	var out []packing.InstanceType
	for _, s := range families() {
		out = append(out, s.instanceType(spot))
	}
	return out
}

func pool(name string, types []packing.InstanceType) packing.Pool {
	return packing.Pool{Name: name, Types: types}
}

// podBuilder builds pods fluently.
type podBuilder struct{ p *corev1.Pod }

func makePod(name string) podBuilder {
	return podBuilder{&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("uid-" + name), Labels: map[string]string{}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "pause"}}},
	}}
}

func (b podBuilder) req(cpuMilli, memMiB int64) podBuilder {
	b.p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI), corev1.ResourceMemory: quantity(memMiB << 20),
	}
	return b
}

func (b podBuilder) label(k, v string) podBuilder { b.p.Labels[k] = v; return b }

func (b podBuilder) selector(k, v string) podBuilder {
	if b.p.Spec.NodeSelector == nil {
		b.p.Spec.NodeSelector = map[string]string{}
	}
	b.p.Spec.NodeSelector[k] = v
	return b
}

func (b podBuilder) spread(key string, skew int32, when corev1.UnsatisfiableConstraintAction, match map[string]string) podBuilder {
	b.p.Spec.TopologySpreadConstraints = append(b.p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
		MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: when, LabelSelector: &metav1.LabelSelector{MatchLabels: match},
	})
	return b
}

func (b podBuilder) affinity() *corev1.Affinity {
	if b.p.Spec.Affinity == nil {
		b.p.Spec.Affinity = &corev1.Affinity{}
	}
	return b.p.Spec.Affinity
}

func term(key string, match map[string]string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: match}}
}

func (b podBuilder) anti(key string, match map[string]string) podBuilder {
	a := b.affinity()
	if a.PodAntiAffinity == nil {
		a.PodAntiAffinity = &corev1.PodAntiAffinity{}
	}
	a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, term(key, match))
	return b
}

func (b podBuilder) with(key string, match map[string]string) podBuilder {
	a := b.affinity()
	if a.PodAffinity == nil {
		a.PodAffinity = &corev1.PodAffinity{}
	}
	a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = append(
		a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, term(key, match))
	return b
}

func (b podBuilder) pod() packing.Pod { return packing.Pod{Pod: b.p} }

// deployments makes n pods in deployments of a realistic mix: mostly small
// services, some memory-heavy, a third spread over zones, a tenth with
// anti-affinity over the host name.
func deployments(n int, seed uint64) []packing.Pod {
	rng := rand.New(rand.NewPCG(seed, 1))
	cpus := []int64{50, 100, 150, 250, 300, 500, 750, 1000, 1500, 2000, 4000}
	ratio := []int64{1, 2, 2, 3, 4, 4, 6, 8} // GiB per core
	var pods []packing.Pod
	for d := 0; len(pods) < n; d++ {
		cpu := cpus[min(len(cpus)-1, int(float64(len(cpus))*rng.Float64()*rng.Float64()*1.3))]
		mem := max(64, cpu*ratio[rng.IntN(len(ratio))]*1024/1000/16*16)
		replicas := 1 + rng.IntN(max(2, n/50))
		app := map[string]string{"app": fmt.Sprintf("app-%d", d)}
		kind := rng.IntN(10)
		for r := 0; r < replicas && len(pods) < n; r++ {
			b := makePod(fmt.Sprintf("app-%d-%d", d, r)).req(cpu, mem).label("app", app["app"])
			switch {
			case kind < 3:
				b.spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
			case kind == 3:
				if r < 20 {
					b.anti(corev1.LabelHostname, app)
				}
			case kind == 4:
				b.spread(corev1.LabelHostname, 2, corev1.DoNotSchedule, app)
			}
			pods = append(pods, b.pod())
		}
	}
	return pods
}

func daemonSets() []*corev1.Pod {
	a, b := makePod("agent").req(100, 128).p, makePod("cni").req(50, 64).p
	tolerateAll := []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	a.Spec.Tolerations, b.Spec.Tolerations = tolerateAll, tolerateAll
	return []*corev1.Pod{a, b}
}
