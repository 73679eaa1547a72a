// Package pricing writes on each node what it costs and how likely it is to be interrupted, where the scheduler, the ledger and
// people find it. It decides nothing.
package pricing

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
)

// refresh is how often a price is looked up again: spot prices move a few times a day, the market's own cache decides how
// fresh the answer is.
const refresh = 5 * time.Minute

// Controller keeps the price and risk annotations of nodes.
type Controller struct {
	client client.Client
	market cloudprovider.Market
}

// NewController makes a controller.
func NewController(c client.Client, m cloudprovider.Market) *Controller {
	return &Controller{client: c, market: m}
}

// Register adds the controller to a manager.
func (c *Controller) Register(mgr manager.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).Named("pricing").For(&corev1.Node{}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), c))
}

// Reconcile writes what the market knows. What it does not know is taken off: an unknown price must not look like an old one.
func (c *Controller) Reconcile(ctx context.Context, node *corev1.Node) (reconcile.Result, error) {
	if !node.DeletionTimestamp.IsZero() || node.Labels[karpv1.NodePoolLabelKey] == "" {
		return reconcile.Result{}, nil
	}
	offering := cloudprovider.Offering{
		InstanceType: node.Labels[corev1.LabelInstanceTypeStable],
		Zone:         node.Labels[corev1.LabelTopologyZone],
		CapacityType: node.Labels[karpv1.CapacityTypeLabelKey],
	}
	stored := node.DeepCopy()
	price, known := c.market.Price(ctx, offering)
	set(node, v1alpha1.PriceAnnotation, price.USDPerHour, known)
	risk, known := c.market.Risk(ctx, offering)
	set(node, v1alpha1.RiskAnnotation, risk, known)
	if stored.Annotations[v1alpha1.PriceAnnotation] != node.Annotations[v1alpha1.PriceAnnotation] ||
		stored.Annotations[v1alpha1.RiskAnnotation] != node.Annotations[v1alpha1.RiskAnnotation] {
		if err := c.client.Patch(ctx, node, client.MergeFrom(stored)); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the price of node %q, %w", node.Name, err))
		}
	}
	return reconcile.Result{RequeueAfter: refresh}, nil
}

func set(node *corev1.Node, annotation string, value float64, known bool) {
	if !known {
		delete(node.Annotations, annotation)
		return
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	node.Annotations[annotation] = strconv.FormatFloat(value, 'g', 6, 64)
}
