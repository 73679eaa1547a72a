package provisioning

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/provisioner/karpenter"
)

// reminder is how often a pod that still waits asks again: limits, prices and capacity change without an event on the pod.
const reminder = 10 * time.Second

// Register adds the controller and its watches to a manager: pods that wait, nodes that open, claims that come to nothing or go.
func (c *Controller) Register(mgr manager.Manager) error {
	if err := mgr.Add(c); err != nil {
		return err
	}
	pods := predicate.NewPredicateFuncs(func(o client.Object) bool {
		pod, ok := o.(*corev1.Pod)
		return ok && (karpenter.IsPending(pod) || c.nominations.waits(client.ObjectKeyFromObject(pod)))
	})
	err := ctrl.NewControllerManagedBy(mgr).Named("provisioning.pod").For(&corev1.Pod{}).WithEventFilter(pods).
		WithOptions(controller.Options{MaxConcurrentReconciles: 10}).
		Complete(reconcile.Func(c.reconcilePod))
	if err != nil {
		return err
	}
	opening := predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false }, DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Node)
			now, also := e.ObjectNew.(*corev1.Node)
			return ok && also && !isOpen(before) && isOpen(now)
		},
	}
	err = ctrl.NewControllerManagedBy(mgr).Named("provisioning.node").For(&corev1.Node{}).WithEventFilter(opening).
		WithOptions(controller.Options{MaxConcurrentReconciles: 10}).
		Complete(reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
			c.nominations.opened(ctx, req.Name)
			// A pod that finds its place taken waits for no reminder.
			c.batcher.Retry()
			return reconcile.Result{}, nil
		}))
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("provisioning.nodeclaim").For(&karpv1.NodeClaim{}).
		WithEventFilter(predicate.Funcs{DeleteFunc: c.claimDeleted}).
		// Many nodes register within the same second, and become ready soon after: by then their pods must be nominated.
		WithOptions(controller.Options{MaxConcurrentReconciles: 10}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), reconcile.ObjectReconciler[*karpv1.NodeClaim](claimReconciler{c})))
}

func (c *Controller) reconcilePod(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	if err := c.client.Get(ctx, req.NamespacedName, pod); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading pod, %w", err)
	}
	waiting := pod.UID // "" where there is none
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		waiting = ""
	}
	c.nominations.left(ctx, req.NamespacedName, waiting)
	if !karpenter.IsPending(pod) {
		return reconcile.Result{}, nil
	}
	c.nominations.restore(ctx, pod)
	// kube-scheduler tries pods that wait again and again, and writes that down. It is no news of one whose node is on its way.
	switch {
	case c.nominations.of(pod) == nil:
		c.Trigger()
	case !c.nominations.awaited(ctx, pod), c.clock.Since(time.Unix(0, c.began.Load())) >= reminder:
		c.batcher.Retry()
	}
	return reconcile.Result{RequeueAfter: reminder}, nil
}

// claimDeleted sees the end of a claim. One that was never launched is a failure of its pool, and its pods need another plan
// at once: the cloud provider has taken the offerings that failed out of sale meanwhile.
func (c *Controller) claimDeleted(e event.DeleteEvent) bool {
	nc, ok := e.Object.(*karpv1.NodeClaim)
	if !ok {
		return false
	}
	c.nominations.forget(nc.Name)
	if !nc.StatusConditions().IsTrue(karpv1.ConditionTypeLaunched) {
		c.breaker.Failed(nc.Labels[karpv1.NodePoolLabelKey])
		c.metrics.Failed.Inc()
	}
	c.Trigger()
	return false
}

// NodeComing writes the node of a claim on the pods planned for it, before the node is open to pods.
func (c *Controller) NodeComing(ctx context.Context, claim, node string) {
	c.nominations.registered(ctx, claim, node)
}

type claimReconciler struct{ *Controller }

// Reconcile follows claims: the node of a claim is written on pods that were planned for it since it registered, and pods on a
// claim that is going are planned anew.
func (c claimReconciler) Reconcile(ctx context.Context, nc *karpv1.NodeClaim) (reconcile.Result, error) {
	if !nc.DeletionTimestamp.IsZero() {
		c.Trigger()
		return reconcile.Result{}, nil
	}
	if nc.StatusConditions().IsTrue(karpv1.ConditionTypeLaunched) {
		c.breaker.Succeeded(nc.Labels[karpv1.NodePoolLabelKey])
	}
	if nc.Status.NodeName != "" {
		c.nominations.registered(ctx, nc.Name, nc.Status.NodeName)
	}
	return reconcile.Result{}, nil
}
