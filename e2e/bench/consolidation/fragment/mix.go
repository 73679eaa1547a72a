package fragment

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/e2e/bench/packing/mix"
)

// Mix draws n pods. The same arguments give the same pods.
type Mix func(n int, seed uint64) []*corev1.Pod

// team is how many pods of Deployments share a namespace.
const team = 1000

// Deployments are those of package mix, in namespaces of a thousand pods: a workload has 20 replicas at most, however large
// the cluster. Rules look at their own namespace.
func Deployments(n int, seed uint64) []*corev1.Pod {
	pods := make([]*corev1.Pod, 0, n)
	for i := 0; len(pods) < n; i++ {
		for _, p := range mix.Deployments(min(team, n-len(pods)), seed<<16+uint64(i)) {
			p.Namespace = fmt.Sprintf("team-%d", i)
			p.UID = types.UID(p.Namespace + "/" + p.Name)
			p.Name = fmt.Sprintf("%s-%d", p.Name, i)
			pods = append(pods, p)
		}
	}
	return pods
}

// Sampled draws from given pods: all of them in random order, then again all, until there are enough.
func Sampled(from []*corev1.Pod) Mix {
	return func(n int, seed uint64) []*corev1.Pod {
		order := rand.New(rand.NewPCG(seed, 6)).Perm(len(from))
		pods := make([]*corev1.Pod, 0, n)
		for i := range n {
			p := from[order[i%len(order)]].DeepCopy()
			p.Name = fmt.Sprintf("%s-%d", p.Name, i)
			p.UID = types.UID(p.Namespace + "/" + p.Name)
			pods = append(pods, p)
		}
		return pods
	}
}
