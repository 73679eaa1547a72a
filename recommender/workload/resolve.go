package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// InvalidTargetError says that a targetRef cannot name a workload whatever the cluster holds.
type InvalidTargetError struct{ Reason, Message string }

// Error implements error.
func (e *InvalidTargetError) Error() string { return e.Message }

// Resolver resolves targetRefs.
type Resolver struct {
	// Reader is a cache with the indexes of IndexFields.
	Reader client.Reader
	// Direct reads custom kinds from the API server, so that no informer is started for a kind that one scaler names.
	Direct client.Reader
	// Scales reads the scale subresource of custom kinds whose pods no owner reference leads to; nil: they have no pods.
	Scales client.SubResourceReader
}

// Resolve reads the workload of a scaler with its template, pods and readiness. The error is an *InvalidTargetError, the API's
// (NotFound, Forbidden), meta.NoKindMatchError where the kind is not served, or that of the transport.
func (r *Resolver) Resolve(ctx context.Context, s *v1alpha1.WorkloadScaler) (*Workload, error) {
	w, err := r.Object(ctx, s)
	if err != nil {
		return nil, err
	}
	all, err := r.findPods(ctx, w, s)
	if err != nil {
		return nil, err
	}
	w.takePods(all)
	w.settle()
	return w, nil
}

// Object reads the workload of a scaler with its template only. Errors are those of Resolve.
func (r *Resolver) Object(ctx context.Context, s *v1alpha1.WorkloadScaler) (*Workload, error) {
	ref := s.Spec.TargetRef
	if ref.Namespace != "" && ref.Namespace != s.Namespace {
		return nil, &InvalidTargetError{
			Reason:  "OtherNamespace",
			Message: fmt.Sprintf("targetRef names namespace %s; a scaler serves its own, %s", ref.Namespace, s.Namespace),
		}
	}
	gv, err := schema.ParseGroupVersion(ref.APIVersion)
	if err != nil {
		return nil, &InvalidTargetError{Reason: "InvalidAPIVersion", Message: fmt.Sprintf("targetRef.apiVersion, %v", err)}
	}
	w := &Workload{
		GVK: gv.WithKind(ref.Kind), groups: s.Spec.Resources.ContainerGroups,
		injected: s.Spec.Resources.InjectedContainers == v1alpha1.InjectedOptimize,
	}
	key := types.NamespacedName{Namespace: s.Namespace, Name: ref.Name}
	if err := r.read(ctx, w, key); err != nil {
		return nil, err
	}
	return w, nil
}

// builtin returns an empty object for the kinds that are read through the cache, nil for others.
func builtin(gk schema.GroupKind) client.Object {
	switch gk {
	case schema.GroupKind{Group: "apps", Kind: "Deployment"}:
		return &appsv1.Deployment{}
	case schema.GroupKind{Group: "apps", Kind: "StatefulSet"}:
		return &appsv1.StatefulSet{}
	case schema.GroupKind{Group: "apps", Kind: "DaemonSet"}:
		return &appsv1.DaemonSet{}
	case schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}:
		return &appsv1.ReplicaSet{}
	case schema.GroupKind{Group: "batch", Kind: "Job"}:
		return &batchv1.Job{}
	case schema.GroupKind{Group: "batch", Kind: "CronJob"}:
		return &batchv1.CronJob{}
	}
	return nil
}

func (r *Resolver) read(ctx context.Context, w *Workload, key types.NamespacedName) error {
	if o := builtin(w.GVK.GroupKind()); o != nil {
		if err := r.Reader.Get(ctx, key, o); err != nil {
			return fmt.Errorf("reading target, %w", err)
		}
		w.Object, w.Template = o, TemplateOf(o)
		return nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(w.GVK)
	if err := r.Direct.Get(ctx, key, u); err != nil {
		return fmt.Errorf("reading target, %w", err)
	}
	w.Object, w.Template = u, unstructuredTemplate(u)
	return nil
}

// TemplateOf returns the pod template of a built-in kind, nil for any other object.
func TemplateOf(o client.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	case *appsv1.ReplicaSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template
	}
	return nil
}

// unstructuredTemplate reads spec.template of a custom kind where it is a pod template, as an Argo Rollout's is.
func unstructuredTemplate(u *unstructured.Unstructured) *corev1.PodTemplateSpec {
	m, found, err := unstructured.NestedMap(u.Object, "spec", "template")
	if err != nil || !found {
		return nil
	}
	t := &corev1.PodTemplateSpec{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(m, t); err != nil || len(t.Spec.Containers) == 0 {
		return nil
	}
	return t
}

// findPods finds the pods of a workload: as its scaler says, else by their owners, else by the scale subresource.
func (r *Resolver) findPods(ctx context.Context, w *Workload, s *v1alpha1.WorkloadScaler) ([]*corev1.Pod, error) {
	stated := s.DeepCopy()
	stated.Status.PodSelector = "" // what was found last time is found anew
	match, err := policy.PodMatcher(stated)
	if err != nil {
		return nil, &InvalidTargetError{Reason: "InvalidPodSelector", Message: err.Error()}
	}
	if match == nil {
		owned, err := r.ownedPods(ctx, w)
		if err != nil || len(owned) > 0 || builtin(w.GVK.GroupKind()) != nil {
			return owned, err
		}
		if err := r.scale(ctx, w); err != nil || w.PodSelector == "" {
			return nil, err
		}
		stated.Status.PodSelector = w.PodSelector
		if match, err = policy.PodMatcher(stated); err != nil {
			return nil, &InvalidTargetError{Reason: "InvalidPodSelector", Message: err.Error()}
		}
	}
	return r.matchingPods(ctx, w.Object.GetNamespace(), match)
}

// scale reads the scale subresource of a custom kind: how many pods it wants, and which they are. A kind that has none, or whose own
// may not be read, leaves the workload without pods.
func (r *Resolver) scale(ctx context.Context, w *Workload) error {
	u, custom := w.Object.(*unstructured.Unstructured)
	if !custom || r.Scales == nil {
		return nil
	}
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(autoscalingv1.SchemeGroupVersion.WithKind("Scale"))
	err := r.Scales.Get(ctx, u, found)
	switch {
	case apierrors.IsForbidden(err):
		w.Note = "no pod has it as its owner, and its scale subresource may not be read: " + err.Error()
		return nil
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		w.Note = "no pod has it as its owner, and it has no scale subresource; podSelector or podNamePattern would find its pods"
		return nil
	case err != nil:
		return fmt.Errorf("reading the scale subresource of %s, %w", w.Key(), err)
	}
	scale := &autoscalingv1.Scale{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, scale); err != nil {
		return fmt.Errorf("reading the scale subresource of %s, %w", w.Key(), err)
	}
	w.PodSelector, w.wanted = scale.Status.Selector, &scale.Spec.Replicas
	if w.PodSelector == "" {
		w.Note = "no pod has it as its owner, and its scale subresource states no selector; podSelector or podNamePattern would find its pods"
	}
	return nil
}

func (r *Resolver) ownedPods(ctx context.Context, w *Workload) ([]*corev1.Pod, error) {
	owners := []types.UID{w.UID()}
	switch w.GVK.Kind { // pods hang under ReplicaSets and Jobs
	case "CronJob":
		var jobs batchv1.JobList
		if err := r.owned(ctx, w, w.UID(), &jobs); err != nil {
			return nil, err
		}
		for i := range jobs.Items {
			owners = append(owners, jobs.Items[i].UID)
		}
	case "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
	default:
		var sets appsv1.ReplicaSetList
		if err := r.owned(ctx, w, w.UID(), &sets); err != nil {
			return nil, err
		}
		for i := range sets.Items {
			owners = append(owners, sets.Items[i].UID)
		}
	}
	var out []*corev1.Pod
	for _, uid := range owners {
		var list corev1.PodList
		if err := r.owned(ctx, w, uid, &list); err != nil {
			return nil, err
		}
		out = appendPods(out, &list)
	}
	return out, nil
}

func (r *Resolver) owned(ctx context.Context, w *Workload, owner types.UID, list client.ObjectList) error {
	err := r.Reader.List(ctx, list, client.InNamespace(w.Object.GetNamespace()), client.MatchingFields{ControllerField: string(owner)},
		client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("listing what %s owns, %w", w.Key(), err)
	}
	return nil
}

func (r *Resolver) matchingPods(ctx context.Context, namespace string, match func(*corev1.Pod) bool) ([]*corev1.Pod, error) {
	var list corev1.PodList
	if err := r.Reader.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the pods of namespace %s, %w", namespace, err)
	}
	var matching []*corev1.Pod
	for i := range list.Items {
		if match(&list.Items[i]) {
			matching = append(matching, &list.Items[i])
		}
	}
	return matching, nil
}

func appendPods(out []*corev1.Pod, list *corev1.PodList) []*corev1.Pod {
	for i := range list.Items {
		out = append(out, &list.Items[i])
	}
	return out
}

// evicted tells whether a kubelet evicted a pod. One whose containers end well within their grace counts as succeeded, and only its
// condition tells.
func evicted(p *corev1.Pod) bool {
	return p.Status.Reason == "Evicted" || slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonTerminationByKubelet
	})
}

// takePods tells the pods that run or will from those that were evicted and those that ended otherwise.
func (w *Workload) takePods(all []*corev1.Pod) {
	for _, p := range all {
		finished := p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		switch {
		case finished && evicted(p):
			w.Evicted = append(w.Evicted, p)
		case finished:
			w.Finished = append(w.Finished, p)
		case p.DeletionTimestamp == nil:
			w.Pods = append(w.Pods, p)
		}
	}
}

func (w *Workload) settle() {
	switch o := w.Object.(type) {
	case *appsv1.Deployment:
		w.Replicas, w.NotReady = deploymentReadiness(o)
	case *appsv1.StatefulSet:
		w.Replicas, w.NotReady = statefulSetReadiness(o)
	case *appsv1.DaemonSet:
		w.Replicas, w.NotReady = daemonSetReadiness(o)
	case *appsv1.ReplicaSet:
		w.Replicas, w.NotReady = replicaSetReadiness(o)
	default:
		w.Replicas, w.NotReady = podsReadiness(w.Pods)
		if w.wanted != nil {
			if w.Replicas = *w.wanted; w.NotReady == "" && int(w.Replicas) != len(w.Pods) {
				w.NotReady = fmt.Sprintf("%d pods, %d wanted", len(w.Pods), w.Replicas)
			}
		}
	}
	w.Ready = w.NotReady == ""
}

// NotServed says that the kind of a target is not served by the cluster.
func NotServed(err error) bool {
	var invalid *InvalidTargetError
	return !errors.As(err, &invalid) && (meta.IsNoMatchError(err) || runtime.IsNotRegisteredError(err))
}
