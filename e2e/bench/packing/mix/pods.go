// Package mix makes the problems that engines are compared on: pods of several kinds, and what nodes can be bought for them.
// Everything random comes from a seed.
package mix

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// pod builds a pod.
type pod struct{ *corev1.Pod }

func newPod(name string, cpuMilli, memoryMiB int64) pod {
	return pod{&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, UID: types.UID("uid-" + name), Labels: map[string]string{}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(memoryMiB<<20, resource.BinarySI),
			},
		}}}},
	}}
}

func (p pod) label(key, value string) pod {
	p.Labels[key] = value
	return p
}

func (p pod) request(name corev1.ResourceName, n int64) {
	p.Spec.Containers[0].Resources.Requests[name] = *resource.NewQuantity(n, resource.DecimalSI)
}

// spread over the domains of key, counting the pods that match.
func (p pod) spread(key string, skew int32, match map[string]string) pod {
	p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
		MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: match},
	})
	return p
}

func (p pod) affinity() *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	return p.Spec.Affinity
}

func term(key string, match map[string]string) corev1.PodAffinityTerm {
	return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: match}}
}

// apart keeps the pod out of the domains that hold pods which match.
func (p pod) apart(key string, match map[string]string) {
	p.affinity().PodAntiAffinity = &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(key, match)},
	}
}

// together keeps the pod in a domain that holds pods which match.
func (p pod) together(key string, match map[string]string) {
	p.affinity().PodAffinity = &corev1.PodAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(key, match)},
	}
}

// Daemons are two small agents that tolerate everything, as a log shipper and a network plugin do.
func Daemons() []*corev1.Pod {
	all := []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	a, b := newPod("agent", 100, 128), newPod("network", 50, 64)
	a.Spec.Tolerations, b.Spec.Tolerations = all, all
	return []*corev1.Pod{a.Pod, b.Pod}
}

func pick[T any](r interface{ IntN(int) int }, from ...T) T { return from[r.IntN(len(from))] }

func named(prefix string, i int) string { return fmt.Sprintf("%s-%d", prefix, i) }
