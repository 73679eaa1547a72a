package workload

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// Workload is what a targetRef names, at one moment. Its objects belong to a cache and must not be changed.
type Workload struct {
	// Object is the workload itself; for a custom kind it is an *unstructured.Unstructured.
	Object client.Object
	// GVK of the workload.
	GVK schema.GroupVersionKind
	// Template of its pods; nil for a custom kind that has none at spec.template.
	Template *corev1.PodTemplateSpec
	// Replicas that it wants now. For a DaemonSet it is the number of nodes, for a Job or CronJob that of its active pods.
	Replicas int32
	// Ready says that every replica is of the newest template and available: no rollout is under way.
	Ready bool
	// NotReady says why Ready is false.
	NotReady string
	// PodSelector of the scale subresource, where the pods were found by it.
	PodSelector string
	// Note says why a workload has no pods where it might have some; empty: nothing to say.
	Note string
	// groups of containers, and whether injected ones are treated as the workload's own, as its scaler says.
	groups   []v1alpha1.ContainerGroup
	injected bool
	// wanted is how many replicas the scale subresource states; nil: it was not asked.
	wanted *int32
	// Pods that are neither finished nor being deleted, in the order of the cache.
	Pods []*corev1.Pod
	// Evicted are pods that a kubelet evicted and that are not deleted yet.
	Evicted []*corev1.Pod
	// Finished are the other pods that have ended and are not deleted yet, as those of Jobs are. A container that is not restarted shows
	// only here why it ended.
	Finished []*corev1.Pod
}

// Key is the stable name of the workload: <group kind>/<namespace>/<name>.
func (w *Workload) Key() string {
	return Key(w.GVK.GroupKind(), w.Object.GetNamespace(), w.Object.GetName())
}

// Key is the stable name of a workload, the same for every version of its API.
func Key(kind schema.GroupKind, namespace, name string) string {
	return kind.String() + "/" + namespace + "/" + name
}

// UID of the workload.
func (w *Workload) UID() types.UID { return w.Object.GetUID() }

// Disabled says that the workload has opted out of every change.
func (w *Workload) Disabled() bool {
	return w.Object.GetAnnotations()[v1alpha1.DisabledAnnotation] == "true"
}

// Spec of the pods as the workload states it: its template's, or that of its newest pod where it has no template. Nil where it
// has neither.
func (w *Workload) Spec() *corev1.PodSpec {
	if w.Template != nil {
		return &w.Template.Spec
	}
	if newest := w.newest(); newest != nil {
		return &newest.Spec
	}
	return nil
}

func (w *Workload) newest() *corev1.Pod {
	var newest *corev1.Pod
	for _, p := range w.Pods {
		if newest == nil || newest.CreationTimestamp.Before(&p.CreationTimestamp) {
			newest = p
		}
	}
	return newest
}

// HasVolumeClaims says that the pods mount PersistentVolumeClaims, so that two of them may not be able to run side by side.
func (w *Workload) HasVolumeClaims() bool {
	specs := make([]*corev1.PodSpec, 0, 1+len(w.Pods))
	if w.Template != nil {
		specs = append(specs, &w.Template.Spec)
	}
	for _, p := range w.Pods { // a StatefulSet's claims are in its pods, not in its template
		specs = append(specs, &p.Spec)
	}
	for _, spec := range specs {
		for i := range spec.Volumes {
			if spec.Volumes[i].PersistentVolumeClaim != nil || spec.Volumes[i].Ephemeral != nil {
				return true
			}
		}
	}
	return false
}

// SupportsRollout says that a changed annotation of the pod template replaces the pods by a rolling update.
func (w *Workload) SupportsRollout() bool {
	if w.GVK.Group != "apps" {
		return false
	}
	return w.GVK.Kind == "Deployment" || w.GVK.Kind == "StatefulSet"
}
