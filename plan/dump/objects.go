package dump

import (
	"fmt"
	"maps"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
)

// used drops the annotations that no plan looks at: some hold the whole object once more.
func used(annotations map[string]string) map[string]string {
	maps.DeleteFunc(annotations, func(key, _ string) bool {
		group, _, _ := strings.Cut(key, "/")
		switch group {
		case v1alpha1.GroupName, "karpenter.sh", "cluster-autoscaler.kubernetes.io", "kubernetes.io", "volume.kubernetes.io":
			return false
		}
		return true
	})
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}

// nodeObject is the part of a node that is used; the list of images that it leaves out is most of a node.
type nodeObject struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		ProviderID    string         `json:"providerID"`
		Taints        []corev1.Taint `json:"taints"`
		Unschedulable bool           `json:"unschedulable"`
	} `json:"spec"`
	Status struct {
		Capacity    corev1.ResourceList `json:"capacity"`
		Allocatable corev1.ResourceList `json:"allocatable"`
	} `json:"status"`
}

func (n *nodeObject) node() *corev1.Node {
	return &corev1.Node{
		ObjectMeta: n.Metadata.object(),
		Spec:       corev1.NodeSpec{ProviderID: n.Spec.ProviderID, Taints: n.Spec.Taints, Unschedulable: n.Spec.Unschedulable},
		Status:     corev1.NodeStatus{Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable},
	}
}

type claimObject struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		VolumeName       string                              `json:"volumeName"`
		StorageClassName *string                             `json:"storageClassName"`
		AccessModes      []corev1.PersistentVolumeAccessMode `json:"accessModes"`
	} `json:"spec"`
}

func (c *claimObject) claim() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: c.Metadata.object(), Spec: corev1.PersistentVolumeClaimSpec{
		VolumeName: c.Spec.VolumeName, StorageClassName: c.Spec.StorageClassName, AccessModes: c.Spec.AccessModes,
	}}
}

type volumeObject struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		NodeAffinity *corev1.VolumeNodeAffinity          `json:"nodeAffinity"`
		AccessModes  []corev1.PersistentVolumeAccessMode `json:"accessModes"`
		CSI          *struct {
			Driver       string `json:"driver"`
			VolumeHandle string `json:"volumeHandle"`
		} `json:"csi"`
	} `json:"spec"`
}

func (v *volumeObject) volume() *corev1.PersistentVolume {
	out := &corev1.PersistentVolume{ObjectMeta: v.Metadata.object(), Spec: corev1.PersistentVolumeSpec{
		NodeAffinity: v.Spec.NodeAffinity, AccessModes: v.Spec.AccessModes,
	}}
	if csi := v.Spec.CSI; csi != nil {
		out.Spec.CSI = &corev1.CSIPersistentVolumeSource{Driver: csi.Driver, VolumeHandle: csi.VolumeHandle}
	}
	return out
}

type classObject struct {
	Metadata          meta                          `json:"metadata"`
	Provisioner       string                        `json:"provisioner"`
	AllowedTopologies []corev1.TopologySelectorTerm `json:"allowedTopologies"`
	VolumeBindingMode *storagev1.VolumeBindingMode  `json:"volumeBindingMode"`
}

func (c *classObject) class() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta: c.Metadata.object(), Provisioner: c.Provisioner, AllowedTopologies: c.AllowedTopologies, VolumeBindingMode: c.VolumeBindingMode,
	}
}

type csiNodeObject struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Drivers []storagev1.CSINodeDriver `json:"drivers"`
	} `json:"spec"`
}

func (n *csiNodeObject) csiNode() *storagev1.CSINode {
	return &storagev1.CSINode{ObjectMeta: n.Metadata.object(), Spec: storagev1.CSINodeSpec{Drivers: n.Spec.Drivers}}
}

type podTemplate struct {
	Metadata meta    `json:"metadata"`
	Spec     podSpec `json:"spec"`
}

// workloadObject is any kind that makes pods of a template.
type workloadObject struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		Replicas    *int32      `json:"replicas"`
		Parallelism *int32      `json:"parallelism"`
		Completions *int32      `json:"completions"`
		Suspend     bool        `json:"suspend"`
		Template    podTemplate `json:"template"`
		JobTemplate struct {
			Spec struct {
				Parallelism *int32      `json:"parallelism"`
				Completions *int32      `json:"completions"`
				Template    podTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
}

func (w *workloadObject) workload(h header) (*Workload, error) {
	out := &Workload{APIVersion: h.APIVersion, Kind: h.Kind, Namespace: w.Metadata.Namespace, Name: w.Metadata.Name, Replicas: 1}
	if out.Namespace == "" {
		out.Namespace = metav1.NamespaceDefault
	}
	template := &w.Spec.Template
	switch h.Kind {
	case "DaemonSet":
		out.Replicas = 0
	case "Job":
		out.Replicas = atOnce(w.Spec.Parallelism, w.Spec.Completions)
	case "CronJob":
		template = &w.Spec.JobTemplate.Spec.Template
		out.Replicas = atOnce(w.Spec.JobTemplate.Spec.Parallelism, w.Spec.JobTemplate.Spec.Completions)
	default:
		if w.Spec.Replicas != nil {
			out.Replicas = *w.Spec.Replicas
		}
	}
	if w.Spec.Suspend {
		out.Replicas = 0
	}
	if out.Replicas < 0 || out.Replicas > maxReplicas {
		return nil, fmt.Errorf("it wants %d pods, which is not between 0 and %d", out.Replicas, maxReplicas)
	}
	if len(template.Spec.Containers) == 0 {
		return nil, fmt.Errorf("its template has no containers")
	}
	p := podObject{Metadata: template.Metadata, Spec: template.Spec}
	p.Metadata.Namespace, p.Metadata.Name = out.Namespace, ""
	out.Pod = p.pod()
	controller := true
	out.Pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: h.APIVersion, Kind: h.Kind, Name: out.Name, Controller: &controller}}
	return out, checkPod(out.Pod)
}

// maxReplicas is what Kubernetes supports in one cluster, as pods; more is a slip of the pen.
const maxReplicas = 150_000

// atOnce is how many pods of a job run at a time.
func atOnce(parallelism, completions *int32) int32 {
	n := int32(1)
	if parallelism != nil {
		n = *parallelism
	}
	if completions != nil {
		n = min(n, *completions)
	}
	return n
}

// checkPod finds what the API server would not have let through.
func checkPod(pod *corev1.Pod) error {
	if len(pod.Spec.Containers) == 0 {
		return fmt.Errorf("it has no containers")
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if name, ok := negative(list[i].Resources.Requests); ok {
				return fmt.Errorf("container %q requests less than nothing of %s", list[i].Name, name)
			}
		}
	}
	if name, ok := negative(pod.Spec.Overhead); ok {
		return fmt.Errorf("its overhead is less than nothing of %s", name)
	}
	return nil
}

func checkNode(node *corev1.Node) error {
	if len(node.Status.Allocatable) == 0 {
		return fmt.Errorf("its status has no allocatable resources")
	}
	for _, list := range []corev1.ResourceList{node.Status.Allocatable, node.Status.Capacity} {
		if name, ok := negative(list); ok {
			return fmt.Errorf("it has less than nothing of %s", name)
		}
	}
	return nil
}

func negative(list corev1.ResourceList) (corev1.ResourceName, bool) {
	for name, q := range list {
		if q.Sign() < 0 {
			return name, true
		}
	}
	return "", false
}
