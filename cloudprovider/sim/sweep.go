package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/awslabs/operatorpkg/reconciler"
	"github.com/awslabs/operatorpkg/singleton"
	controllerruntime "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"
)

const (
	// sweepInterval is the time between two sweeps.
	sweepInterval = 30 * time.Second
	// leakAge is how long an instance may be without a NodeClaim that records it: the time a launch takes from the
	// cloud's answer to the NodeClaim's status.
	leakAge = time.Minute
)

// SweepController terminates leaked instances: those launched for a NodeClaim that no NodeClaim records, because the
// process died, or the NodeClaim was deleted, between the launch and its record. Karpenter's own garbage collection
// does the reverse, NodeClaims without an instance.
type SweepController struct {
	kube  client.Client
	cloud *CloudProvider
}

// NewSweepController returns the controller. The client must read NodeClaims that are not older than a cache's delay.
func NewSweepController(kube client.Client, cloud *CloudProvider) *SweepController {
	return &SweepController{kube: kube, cloud: cloud}
}

// Name of the controller.
func (c *SweepController) Name() string { return "instance.sweep" }

// Register adds the controller to a manager.
func (c *SweepController) Register(_ context.Context, m manager.Manager) error {
	return controllerruntime.NewControllerManagedBy(m).
		Named(c.Name()).
		WatchesRawSource(singleton.Source()).
		Complete(singleton.AsReconciler(c))
}

// Reconcile sweeps once. Instances are listed before NodeClaims, so that what was launched in between is not taken for
// leaked; a failure to list either terminates nothing.
func (c *SweepController) Reconcile(ctx context.Context) (reconciler.Result, error) {
	instances, err := c.cloud.List(ctx)
	if err != nil {
		return reconciler.Result{}, err
	}
	var claims karpv1.NodeClaimList
	if err := c.kube.List(ctx, &claims); err != nil {
		return reconciler.Result{}, fmt.Errorf("listing nodeclaims, %w", err)
	}
	recorded, pending := map[string]bool{}, map[string]bool{}
	for i := range claims.Items {
		if id := claims.Items[i].Status.ProviderID; id != "" {
			recorded[id] = true
		} else if claims.Items[i].DeletionTimestamp.IsZero() {
			// Its launch may be under way or be repeated, which finds this very instance by its client token.
			pending[claims.Items[i].Name] = true
		}
	}
	var errs error
	for _, instance := range instances {
		if recorded[instance.Status.ProviderID] || pending[instance.Name] || !instance.DeletionTimestamp.IsZero() ||
			c.cloud.clock.Since(instance.CreationTimestamp.Time) < leakAge {
			continue
		}
		log.FromContext(ctx).Info("terminating a leaked instance", "provider-id", instance.Status.ProviderID, "NodeClaim", instance.Name)
		errs = errors.Join(errs, karpenter.IgnoreNodeClaimNotFoundError(c.cloud.Delete(ctx, instance)))
	}
	return reconciler.Result{RequeueAfter: sweepInterval}, errs
}
