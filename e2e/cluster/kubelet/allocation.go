package kubelet

import (
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	resourcehelper "k8s.io/component-helpers/resource"
)

// resources are the resources of a pod at some point of a resize: wanted by its spec, allocated by the kubelet, or actuated
// in its containers. Lists are shared with pods of the API cache and never written to.
type resources struct {
	init, regular []corev1.ResourceRequirements // in the order of the spec
	pod           *corev1.ResourceRequirements  // pod-level, nil when unset
}

// wantedBy returns the resources of the pod's spec.
func wantedBy(pod *corev1.Pod) resources {
	r := resources{pod: pod.Spec.Resources, regular: make([]corev1.ResourceRequirements, len(pod.Spec.Containers))}
	if len(pod.Spec.InitContainers) > 0 {
		r.init = make([]corev1.ResourceRequirements, len(pod.Spec.InitContainers))
	}
	for i := range pod.Spec.InitContainers {
		r.init[i] = pod.Spec.InitContainers[i].Resources
	}
	for i := range pod.Spec.Containers {
		r.regular[i] = pod.Spec.Containers[i].Resources
	}
	return r
}

func (r resources) equal(other resources) bool {
	return apiequality.Semantic.DeepEqual(r.init, other.init) &&
		apiequality.Semantic.DeepEqual(r.regular, other.regular) &&
		apiequality.Semantic.DeepEqual(r.pod, other.pod)
}

// applyTo returns the pod with these resources in its spec: itself if it has them already, otherwise a copy that shares
// everything else.
func (r resources) applyTo(pod *corev1.Pod) *corev1.Pod {
	if r.equal(wantedBy(pod)) {
		return pod
	}
	changed := *pod
	changed.Spec.Resources = r.pod
	changed.Spec.InitContainers = withResources(pod.Spec.InitContainers, r.init)
	changed.Spec.Containers = withResources(pod.Spec.Containers, r.regular)
	return &changed
}

func withResources(containers []corev1.Container, to []corev1.ResourceRequirements) []corev1.Container {
	changed := append([]corev1.Container(nil), containers...)
	for i := range changed {
		changed[i].Resources = to[i]
	}
	return changed
}

// memoryLimit is the container's own memory limit in bytes, 0 for none.
func memoryLimit(r corev1.ResourceRequirements) int64 {
	limit := r.Limits[corev1.ResourceMemory]
	return limit.Value()
}

// podMemoryLimit is the memory limit of the pod's cgroup in bytes, 0 for none: only if every container has a limit, or the
// pod itself, is there one (ResourceConfigForPod in pkg/kubelet/cm).
func podMemoryLimit(pod *corev1.Pod) int64 {
	declared := true
	resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{ContainerFn: func(limits corev1.ResourceList, _ resourcehelper.ContainerType) {
		memory := limits[corev1.ResourceMemory]
		declared = declared && !memory.IsZero()
	}})
	if pod.Spec.Resources != nil {
		memory := pod.Spec.Resources.Limits[corev1.ResourceMemory]
		declared = declared || !memory.IsZero()
	}
	if !declared {
		return 0
	}
	limits := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	return limits.Memory().Value()
}

// changes reports whether from and to differ in a resource that can be resized, and whether the container's resize
// policy asks for a restart then (computePodResizeAction in pkg/kubelet/kuberuntime).
func changes(container *corev1.Container, from, to corev1.ResourceRequirements) (resize, restart bool) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if from.Requests[name].Equal(to.Requests[name]) && from.Limits[name].Equal(to.Limits[name]) {
			continue
		}
		resize = true
		for _, policy := range container.ResizePolicy {
			if policy.ResourceName == name && policy.RestartPolicy == corev1.RestartContainer {
				restart = true
			}
		}
	}
	return resize, restart
}
