package demand

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/resource"
)

// Resources is an amount of the two resources that recommendations are made for.
type Resources struct {
	// MilliCPU in thousandths of a core.
	MilliCPU int64
	// MemoryBytes in bytes.
	MemoryBytes int64
}

// Add returns the sum of r and o.
func (r Resources) Add(o Resources) Resources {
	return Resources{MilliCPU: r.MilliCPU + o.MilliCPU, MemoryBytes: r.MemoryBytes + o.MemoryBytes}
}

// Sub returns r less o. The result may be negative.
func (r Resources) Sub(o Resources) Resources {
	return Resources{MilliCPU: r.MilliCPU - o.MilliCPU, MemoryBytes: r.MemoryBytes - o.MemoryBytes}
}

// FromList returns the cpu and memory of a resource list.
func FromList(list corev1.ResourceList) Resources {
	return Resources{MilliCPU: list.Cpu().MilliValue(), MemoryBytes: list.Memory().Value()}
}

// Enforced returns what the cluster counts for a pod at this moment: by container the largest of what is specified,
// allocated and actuated, then init containers, sidecars, pod-level requests and overhead by the rules of the scheduler.
func Enforced(pod *corev1.Pod) corev1.ResourceList {
	return resource.PodRequests(pod, resource.PodResourcesOptions{
		UseStatusResources: true,
		InPlacePodLevelResourcesVerticalScalingEnabled: true,
	})
}

// withRequests returns what the cluster would count for a pod if the named containers asked for the cpu and memory given,
// and had been granted exactly that. Every other container counts as it does now.
func withRequests(pod *corev1.Pod, containers map[string]corev1.ResourceRequirements) corev1.ResourceList {
	shallow := *pod
	shallow.Spec.Containers = replaceRequests(pod.Spec.Containers, containers)
	shallow.Spec.InitContainers = replaceRequests(pod.Spec.InitContainers, containers)
	// What is actuated now would otherwise hold the sum up: a container that shrinks counts its old size until it has shrunk.
	shallow.Status.ContainerStatuses = dropStatuses(pod.Status.ContainerStatuses, containers)
	shallow.Status.InitContainerStatuses = dropStatuses(pod.Status.InitContainerStatuses, containers)
	return Enforced(&shallow)
}

func replaceRequests(containers []corev1.Container, with map[string]corev1.ResourceRequirements) []corev1.Container {
	if len(containers) == 0 {
		return nil
	}
	replaced := make([]corev1.Container, len(containers))
	copy(replaced, containers)
	for i := range replaced {
		target, named := with[replaced[i].Name]
		if !named {
			continue
		}
		requests := make(corev1.ResourceList, len(replaced[i].Resources.Requests)+2)
		for name, quantity := range replaced[i].Resources.Requests {
			requests[name] = quantity
		}
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if quantity, ok := target.Requests[name]; ok {
				requests[name] = quantity
			}
		}
		replaced[i].Resources.Requests = requests
	}
	return replaced
}

func dropStatuses(statuses []corev1.ContainerStatus, named map[string]corev1.ResourceRequirements) []corev1.ContainerStatus {
	kept := make([]corev1.ContainerStatus, 0, len(statuses))
	for i := range statuses {
		if _, drop := named[statuses[i].Name]; !drop {
			kept = append(kept, statuses[i])
		}
	}
	return kept
}
