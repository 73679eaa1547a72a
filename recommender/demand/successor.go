package demand

import (
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// Successor returns what a pod that is created in place of this one will ask for, if a policy sets that; false where the
// template of its workload does. In OnCreate that may differ from what is expected of the pod itself.
func (x *Index) Successor(pod *corev1.Pod) (Resources, bool) {
	s := x.scalerOf(pod)
	if s == nil || len(s.containers) == 0 || pod.Annotations[v1alpha1.DisabledAnnotation] == "true" {
		return Resources{}, false
	}
	return FromList(withRequests(pod, s.forPod(pod))), true
}
