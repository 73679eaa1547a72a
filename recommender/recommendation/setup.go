package recommendation

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/workload"
)

// gather is how long events are collected before a scaler is reconciled once for all of them.
const gather = 500 * time.Millisecond

// SetupWithManager registers the controller. wake, which may be nil, brings the scalers to reconcile for reasons that the API server
// does not know: a history that has been read.
func (r *Reconciler) SetupWithManager(mgr manager.Manager, wake <-chan event.GenericEvent, workers int) error {
	changed := builder.WithPredicates(predicate.Or[client.Object](
		predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{}))
	b := builder.ControllerManagedBy(mgr).Named("recommendation").
		For(&v1alpha1.WorkloadScaler{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.AutoscalingPolicy{}, gathered(r.everyScaler), changed).
		Watches(&v1alpha1.RecommendationPolicy{}, gathered(r.everyScaler), changed).
		Watches(&corev1.ConfigMap{}, gathered(r.everyScaler)). // the cache holds the switches only
		Watches(&corev1.LimitRange{}, gathered(r.scalersOfNamespace)).
		Watches(&autoscalingv2.HorizontalPodAutoscaler{}, gathered(r.scalersOfNamespace), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, gathered(r.scalerOfPod), builder.WithPredicates(podChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, o := range []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &batchv1.Job{}, &batchv1.CronJob{},
	} {
		b = b.Watches(o, gathered(r.scalersOfWorkload(mgr)), changed)
	}
	if wake != nil {
		b = b.WatchesRawSource(source.Channel(wake, gathered(self)))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("building the recommendation controller, %w", err)
	}
	return nil
}

func gathered(m handler.MapFunc) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, o client.Object, q queue) {
		for _, req := range m(ctx, o) {
			q.AddAfter(req, gather)
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, e.Object, q) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { enqueue(ctx, e.ObjectNew, q) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, e.Object, q) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { enqueue(ctx, e.Object, q) },
	}
}

func self(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(o)}}
}

func (r *Reconciler) everyScaler(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.scalers(ctx)
}

func (r *Reconciler) scalersOfNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	return r.scalers(ctx, client.InNamespace(o.GetNamespace()))
}

func (r *Reconciler) scalersOfWorkload(mgr manager.Manager) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		gvk, err := apiutil.GVKForObject(o, mgr.GetScheme())
		if err != nil { // every kind watched here is in the scheme
			return nil
		}
		key := workload.Key(gvk.GroupKind(), o.GetNamespace(), o.GetName())
		return r.scalers(ctx, client.InNamespace(o.GetNamespace()), client.MatchingFields{workload.TargetField: key})
	}
}

// scalerOfPod asks the cache only: where an owner has not arrived there yet, the next evaluation finds the pod.
func (r *Reconciler) scalerOfPod(ctx context.Context, o client.Object) []reconcile.Request {
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	cached := workload.Resolver{Reader: r.Client}
	s, err := cached.ScalerOf(ctx, pod.Namespace, pod)
	if err != nil || s == nil {
		return nil
	}
	return self(ctx, s)
}

func (r *Reconciler) scalers(ctx context.Context, o ...client.ListOption) []reconcile.Request {
	var list v1alpha1.WorkloadScalerList
	if err := r.Client.List(ctx, &list, append(o, client.UnsafeDisableDeepCopy)...); err != nil { // from the cache: it cannot fail once started
		return nil
	}
	out := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return out
}

// podChanged passes what bears on a recommendation or its application: resources, readiness, resizes, restarts, its end.
func podChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Pod)
		after, is := e.ObjectNew.(*corev1.Pod)
		if !ok || !is {
			return true
		}
		return before.Generation != after.Generation || before.Status.Phase != after.Status.Phase ||
			(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
			workload.PodReady(before) != workload.PodReady(after) || restarts(before) != restarts(after) ||
			!equality.Semantic.DeepEqual(resizing(before), resizing(after))
	}}
}

func restarts(p *corev1.Pod) (n int32) {
	for i := range p.Status.ContainerStatuses {
		n += p.Status.ContainerStatuses[i].RestartCount
		if p.Status.ContainerStatuses[i].State.Terminated != nil {
			n++
		}
	}
	return n
}

func resizing(p *corev1.Pod) (out []corev1.PodCondition) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress {
			out = append(out, c)
		}
	}
	return out
}
