package workload

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

const (
	// TargetField is the cache index from the key of a workload to the WorkloadScalers that name it.
	TargetField = "supercargo.dev/target"
	// SelectorField is the cache index of the WorkloadScalers that find pods by a selector or by name; its only value is SelectorValue.
	SelectorField = "supercargo.dev/pod-selector"
	// SelectorValue is the value of SelectorField.
	SelectorValue = "true"
)

// TargetKey is the key of the workload that a scaler names, "" where the reference cannot be parsed.
func TargetKey(s *v1alpha1.WorkloadScaler) string {
	gv, err := schema.ParseGroupVersion(s.Spec.TargetRef.APIVersion)
	if err != nil {
		return ""
	}
	return Key(gv.WithKind(s.Spec.TargetRef.Kind).GroupKind(), s.Namespace, s.Spec.TargetRef.Name)
}

// TargetIndex is the index function behind TargetField.
func TargetIndex(o client.Object) []string {
	if s, ok := o.(*v1alpha1.WorkloadScaler); ok {
		return []string{TargetKey(s)}
	}
	return nil
}

// SelectorIndex is the index function behind SelectorField.
func SelectorIndex(o client.Object) []string {
	if s, ok := o.(*v1alpha1.WorkloadScaler); ok && (s.Spec.PodSelector != nil || s.Spec.PodNamePattern != "" || s.Status.PodSelector != "") {
		return []string{SelectorValue}
	}
	return nil
}

// IndexScalers registers TargetField and SelectorField. It must be called before the cache starts.
func IndexScalers(ctx context.Context, indexer client.FieldIndexer) error {
	for field, f := range map[string]client.IndexerFunc{TargetField: TargetIndex, SelectorField: SelectorIndex} {
		if err := indexer.IndexField(ctx, &v1alpha1.WorkloadScaler{}, field, f); err != nil {
			return fmt.Errorf("indexing workloadscalers by %s, %w", field, err)
		}
	}
	return nil
}

// Owner is a controller of a pod.
type Owner struct {
	schema.GroupVersionKind
	Name string
	UID  types.UID
}

// Owners returns the controllers of a pod, the topmost first: Deployment before ReplicaSet, CronJob before Job. A ReplicaSet or
// Job that the cache has not seen yet is read from the API server, since a pod is often created right after its owner.
func (r *Resolver) Owners(ctx context.Context, namespace string, pod *corev1.Pod) ([]Owner, error) {
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return nil, nil
	}
	direct := owner(ref)
	var parent client.Object
	switch direct.GroupKind() {
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		parent = &appsv1.ReplicaSet{}
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		parent = &batchv1.Job{}
	default:
		return []Owner{direct}, nil
	}
	key := types.NamespacedName{Namespace: namespace, Name: ref.Name}
	err := r.Reader.Get(ctx, key, parent)
	if apierrors.IsNotFound(err) && r.Direct != nil {
		err = r.Direct.Get(ctx, key, parent)
	}
	switch {
	case apierrors.IsNotFound(err):
		return []Owner{direct}, nil
	case err != nil:
		return nil, fmt.Errorf("reading the owner of pod %s/%s, %w", namespace, pod.Name, err)
	}
	if grand := metav1.GetControllerOfNoCopy(parent); grand != nil {
		return []Owner{owner(grand), direct}, nil
	}
	return []Owner{direct}, nil
}

func owner(ref *metav1.OwnerReference) Owner {
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil { // the API server validates owner references; a broken one owns nothing that we know
		gv = schema.GroupVersion{}
	}
	return Owner{GroupVersionKind: gv.WithKind(ref.Kind), Name: ref.Name, UID: ref.UID}
}

// ScalerOf returns the WorkloadScaler that governs a pod: that of its topmost controller, else the one whose selector or name pattern matches.
// Of several the oldest governs, and of equally old ones the first by name. It is nil where there is none.
func (r *Resolver) ScalerOf(ctx context.Context, namespace string, pod *corev1.Pod) (*v1alpha1.WorkloadScaler, error) {
	owners, err := r.Owners(ctx, namespace, pod)
	if err != nil {
		return nil, err
	}
	for _, o := range owners {
		var list v1alpha1.WorkloadScalerList
		err := r.Reader.List(ctx, &list, client.InNamespace(namespace),
			client.MatchingFields{TargetField: Key(o.GroupKind(), namespace, o.Name)})
		if err != nil {
			return nil, fmt.Errorf("listing workloadscalers by target, %w", err)
		}
		if s := Oldest(list.Items); s != nil {
			return s, nil
		}
	}
	var list v1alpha1.WorkloadScalerList
	if err := r.Reader.List(ctx, &list, client.InNamespace(namespace), client.MatchingFields{SelectorField: SelectorValue}); err != nil {
		return nil, fmt.Errorf("listing workloadscalers by selector, %w", err)
	}
	matching := list.Items[:0]
	for i := range list.Items {
		match, err := policy.PodMatcher(&list.Items[i])
		if err == nil && match != nil && match(pod) { // the scaler's own status says what is wrong with it
			matching = append(matching, list.Items[i])
		}
	}
	return Oldest(matching), nil
}

// Oldest of the scalers, of equally old ones the first by name; nil of none. Two scalers for one workload must not take turns.
func Oldest(scalers []v1alpha1.WorkloadScaler) *v1alpha1.WorkloadScaler {
	var oldest *v1alpha1.WorkloadScaler
	for i := range scalers {
		s := &scalers[i]
		switch {
		case oldest == nil, s.CreationTimestamp.Before(&oldest.CreationTimestamp):
			oldest = s
		case s.CreationTimestamp.Equal(&oldest.CreationTimestamp) && strings.Compare(s.Name, oldest.Name) < 0:
			oldest = s
		}
	}
	return oldest
}
