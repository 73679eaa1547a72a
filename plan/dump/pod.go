package dump

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// podObject is the part of a pod that decides where it can run and what it counts for. A dump is mostly environment,
// probes, mounts and history; decoding only this takes a quarter of the time and of the memory.
type podObject struct {
	Metadata meta      `json:"metadata"`
	Spec     podSpec   `json:"spec"`
	Status   podStatus `json:"status"`
}

// meta is the part of an object's metadata that is used.
type meta struct {
	Name              string                  `json:"name"`
	Namespace         string                  `json:"namespace"`
	UID               string                  `json:"uid"`
	Labels            map[string]string       `json:"labels"`
	Annotations       map[string]string       `json:"annotations"`
	OwnerReferences   []metav1.OwnerReference `json:"ownerReferences"`
	CreationTimestamp metav1.Time             `json:"creationTimestamp"`
	DeletionTimestamp *metav1.Time            `json:"deletionTimestamp"`
}

type podSpec struct {
	NodeName                  string                            `json:"nodeName"`
	NodeSelector              map[string]string                 `json:"nodeSelector"`
	Affinity                  *corev1.Affinity                  `json:"affinity"`
	Tolerations               []corev1.Toleration               `json:"tolerations"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
	HostNetwork               bool                              `json:"hostNetwork"`
	Priority                  *int32                            `json:"priority"`
	PriorityClassName         string                            `json:"priorityClassName"`
	SchedulerName             string                            `json:"schedulerName"`
	RestartPolicy             corev1.RestartPolicy              `json:"restartPolicy"`
	Overhead                  corev1.ResourceList               `json:"overhead"`
	Resources                 *corev1.ResourceRequirements      `json:"resources"`
	OS                        *corev1.PodOS                     `json:"os"`
	SchedulingGates           []corev1.PodSchedulingGate        `json:"schedulingGates"`
	ResourceClaims            []corev1.PodResourceClaim         `json:"resourceClaims"`
	Containers                []container                       `json:"containers"`
	InitContainers            []container                       `json:"initContainers"`
	Volumes                   []volume                          `json:"volumes"`
}

type container struct {
	Name          string                         `json:"name"`
	Resources     corev1.ResourceRequirements    `json:"resources"`
	Ports         []containerPort                `json:"ports"`
	RestartPolicy *corev1.ContainerRestartPolicy `json:"restartPolicy"`
}

type containerPort struct {
	HostPort      int32           `json:"hostPort"`
	ContainerPort int32           `json:"containerPort"`
	HostIP        string          `json:"hostIP"`
	Protocol      corev1.Protocol `json:"protocol"`
}

type volume struct {
	Name                  string                                    `json:"name"`
	EmptyDir              *struct{}                                 `json:"emptyDir"`
	HostPath              *struct{}                                 `json:"hostPath"`
	PersistentVolumeClaim *corev1.PersistentVolumeClaimVolumeSource `json:"persistentVolumeClaim"`
	Ephemeral             *struct{}                                 `json:"ephemeral"`
}

type podStatus struct {
	Phase                 corev1.PodPhase   `json:"phase"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	// Resources and AllocatedResources are those of the pod as a whole, where it states any.
	Resources          *corev1.ResourceRequirements `json:"resources"`
	AllocatedResources corev1.ResourceList          `json:"allocatedResources"`
	Conditions         []podCondition               `json:"conditions"`
}

// podCondition leaves out times: they are the larger part of a condition.
type podCondition struct {
	Type   corev1.PodConditionType `json:"type"`
	Status corev1.ConditionStatus  `json:"status"`
	Reason string                  `json:"reason"`
}

type containerStatus struct {
	Name               string                       `json:"name"`
	Resources          *corev1.ResourceRequirements `json:"resources"`
	AllocatedResources corev1.ResourceList          `json:"allocatedResources"`
}

func (m *meta) object() metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: uid(m), Labels: m.Labels, Annotations: used(m.Annotations),
		OwnerReferences: m.OwnerReferences, CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
	}
}

func (p *podObject) pod() *corev1.Pod {
	s := &p.Spec
	pod := &corev1.Pod{
		ObjectMeta: p.Metadata.object(),
		Spec: corev1.PodSpec{
			NodeName: s.NodeName, NodeSelector: s.NodeSelector, Affinity: s.Affinity, Tolerations: s.Tolerations,
			TopologySpreadConstraints: s.TopologySpreadConstraints, HostNetwork: s.HostNetwork, Priority: s.Priority,
			PriorityClassName: s.PriorityClassName, SchedulerName: s.SchedulerName, RestartPolicy: s.RestartPolicy,
			Overhead: s.Overhead, Resources: s.Resources, OS: s.OS, SchedulingGates: s.SchedulingGates,
			ResourceClaims: s.ResourceClaims, Containers: containers(s.Containers), InitContainers: containers(s.InitContainers),
		},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, ContainerStatuses: statuses(p.Status.ContainerStatuses),
			InitContainerStatuses: statuses(p.Status.InitContainerStatuses),
			Resources:             p.Status.Resources, AllocatedResources: p.Status.AllocatedResources,
		},
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress {
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason})
		}
	}
	for i := range s.Volumes {
		v := &s.Volumes[i]
		source := corev1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}
		switch {
		case v.EmptyDir != nil:
			source.EmptyDir = &corev1.EmptyDirVolumeSource{}
		case v.HostPath != nil:
			source.HostPath = &corev1.HostPathVolumeSource{}
		case v.Ephemeral != nil:
			source.Ephemeral = &corev1.EphemeralVolumeSource{}
		case v.PersistentVolumeClaim == nil:
			continue // comes with the pod wherever it runs
		}
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: source})
	}
	return pod
}

func containers(from []container) []corev1.Container {
	if len(from) == 0 {
		return nil
	}
	out := make([]corev1.Container, len(from))
	for i := range from {
		out[i] = corev1.Container{Name: from[i].Name, Resources: from[i].Resources, RestartPolicy: from[i].RestartPolicy}
		for _, p := range from[i].Ports {
			if p.HostPort != 0 {
				out[i].Ports = append(out[i].Ports, corev1.ContainerPort{
					HostPort: p.HostPort, ContainerPort: p.ContainerPort, HostIP: p.HostIP, Protocol: p.Protocol,
				})
			}
		}
	}
	return out
}

func statuses(from []containerStatus) []corev1.ContainerStatus {
	var out []corev1.ContainerStatus
	for i := range from {
		if from[i].Resources != nil || from[i].AllocatedResources != nil {
			out = append(out, corev1.ContainerStatus{
				Name: from[i].Name, Resources: from[i].Resources, AllocatedResources: from[i].AllocatedResources,
			})
		}
	}
	return out
}
