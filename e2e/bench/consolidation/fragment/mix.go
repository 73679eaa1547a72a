package fragment

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Mix draws n pods. The same arguments give the same pods.
type Mix func(n int, seed uint64) []*corev1.Pod

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
