package policy

import (
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// class gives containers the limits that the QoS class asked for demands.
func (r Rules) class(containers, original map[string]corev1.ResourceRequirements) {
	switch r.QOS {
	case v1alpha1.QOSGuaranteed:
	case v1alpha1.QOSPreserve:
		for _, o := range original {
			if !guaranteed(o) {
				return
			}
		}
	case v1alpha1.QOSBurstable:
		for name, c := range containers {
			if guaranteed(c) {
				delete(c.Limits, corev1.ResourceCPU)
				containers[name] = c
			}
		}
		return
	default:
		return
	}
	for name, c := range containers {
		for _, resource := range managed() {
			q, ok := c.Requests[resource]
			if !ok {
				q, ok = c.Limits[resource]
			}
			if !ok { // nothing is known to set it to: the pod cannot be Guaranteed yet
				continue
			}
			if c.Requests == nil {
				c.Requests = corev1.ResourceList{}
			}
			if c.Limits == nil {
				c.Limits = corev1.ResourceList{}
			}
			c.Requests[resource], c.Limits[resource] = q, q
		}
		containers[name] = c
	}
}

// guaranteed tells whether a container has limits of cpu and memory that equal its requests.
func guaranteed(r corev1.ResourceRequirements) bool {
	for _, name := range managed() {
		limit, limited := r.Limits[name]
		request, requested := r.Requests[name]
		if !limited || requested && request.Cmp(limit) != 0 {
			return false
		}
	}
	return true
}
