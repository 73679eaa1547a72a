package discovery

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
)

// batch is how long events on workloads are gathered before the rules look at all of them once.
const batch = time.Second

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr manager.Manager) error {
	b := builder.ControllerManagedBy(mgr).Named("discovery").
		For(&v1alpha1.WorkloadScalerRule{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.WorkloadScaler{}, later(r.rulesOfScaler), builder.WithPredicates(scalerChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1})
	for _, o := range []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &appsv1.ReplicaSet{}, &batchv1.Job{}, &batchv1.CronJob{},
	} {
		b = b.Watches(o, later(r.allRules), builder.WithPredicates(selectionChanged()))
	}
	if err := b.Complete(r); err != nil {
		return fmt.Errorf("building the discovery controller, %w", err)
	}
	return nil
}

// later enqueues after the batch time; requests that are waiting already are not doubled.
func later(m func(context.Context, client.Object) []reconcile.Request) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(ctx context.Context, o client.Object, q queue) {
		for _, req := range m(ctx, o) {
			q.AddAfter(req, batch)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { enqueue(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			enqueue(ctx, e.ObjectOld, q) // a scaler that lost its rule's label concerns that rule
			enqueue(ctx, e.ObjectNew, q)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { enqueue(ctx, e.Object, q) },
	}
}

func (r *Reconciler) allRules(ctx context.Context, _ client.Object) []reconcile.Request {
	var rules v1alpha1.WorkloadScalerRuleList
	if err := r.Client.List(ctx, &rules); err != nil { // from the cache: it cannot fail once the cache has started
		return nil
	}
	out := make([]reconcile.Request, 0, len(rules.Items))
	for i := range rules.Items {
		out = append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: rules.Items[i].Name}})
	}
	return out
}

// rulesOfScaler maps a scaler to every rule, since its coming or going may free or take a workload, and to the rule that it names
// even where that rule is gone, so that a scaler whose rule was deleted while nobody watched is removed.
func (r *Reconciler) rulesOfScaler(ctx context.Context, o client.Object) []reconcile.Request {
	out := r.allRules(ctx, o)
	label := o.GetLabels()[v1alpha1.RuleLabel]
	if label == "" {
		return out
	}
	for _, req := range out {
		if RuleLabelValue(req.Name) == label {
			return out
		}
	}
	return append(out, reconcile.Request{NamespacedName: types.NamespacedName{Name: label}})
}

func scalerChanged() predicate.Predicate {
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{})
}

// selectionChanged passes what may change whether a workload is selected, and not the rest of its life.
func selectionChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return eligible(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			return eligible(e.ObjectOld) != eligible(e.ObjectNew) ||
				!equality.Semantic.DeepEqual(e.ObjectOld.GetLabels(), e.ObjectNew.GetLabels())
		},
	}
}
