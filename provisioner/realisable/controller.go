package realisable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/recommender/insight"
)

// DefaultInterval is how often the packings are made.
const DefaultInterval = 10 * time.Minute

// Cluster shows what there is to pack.
type Cluster interface {
	// Everything is the problem of packing all pods anew.
	Everything(ctx context.Context) (packing.Problem, error)
}

// Controller writes onNodePools and realisable in status.costImpact of WorkloadScalers. It is a manager.Runnable of the leader.
type Controller struct {
	Client   client.Client
	Cluster  Cluster
	Clock    clock.WithTicker
	Interval time.Duration
}

// NeedLeaderElection says that one replica is enough.
func (c *Controller) NeedLeaderElection() bool { return true }

// Start packs every interval until the context ends. A round that fails is logged; what was written before stands.
func (c *Controller) Start(ctx context.Context) error {
	ticker := c.Clock.NewTicker(c.Interval)
	defer ticker.Stop()
	for {
		if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "finding out what of the savings is realisable")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// Round packs once and writes what it finds.
func (c *Controller) Round(ctx context.Context) error {
	var list v1alpha1.WorkloadScalerList
	if err := c.Client.List(ctx, &list); err != nil {
		return fmt.Errorf("listing workloadscalers, %w", err)
	}
	index := demand.NewIndex(demand.Options{})
	counted := map[types.NamespacedName]float64{}
	for i := range list.Items {
		s := &list.Items[i]
		item := insight.ItemOf("", s)
		if item.Net == nil || item.Confidence != v1alpha1.ConfidenceFull {
			continue
		}
		if err := index.SetScaler(demand.AsIfApplied(s)); err != nil {
			continue // it governs no pod; its own conditions say why
		}
		counted[client.ObjectKeyFromObject(s)] = *item.Net
	}
	if len(counted) == 0 {
		return nil
	}
	problem, err := c.Cluster.Everything(ctx)
	if err != nil {
		return fmt.Errorf("reading the cluster, %w", err)
	}
	saved, packed, err := Saved(ctx, problem, index.Wanted)
	if err != nil {
		return err
	}
	inside, net := map[types.NamespacedName]int32{}, 0.0
	for i := range packed {
		if id, ok := index.Scaler(packed[i].Pod); ok {
			inside[id]++
		}
	}
	for i := range list.Items {
		s := &list.Items[i]
		id := client.ObjectKeyFromObject(s)
		if _, ok := counted[id]; ok { // all pods of a workload get the same, so what falls on some of them is their share
			counted[id] *= float64(inside[id]) / float64(max(s.Status.Applied.Pods, inside[id], 1))
			net += counted[id]
		}
	}
	share := Share(saved*insight.HoursPerMonth, net)
	log.FromContext(ctx).V(1).Info("packed all pods at their requests and as recommended", "savedPerHour", saved, "netPerMonth", net, "share", share)
	var failed []error
	for i := range list.Items {
		s := &list.Items[i]
		id := client.ObjectKeyFromObject(s)
		onNodePools, realisable := "", "" // not known, of what was not counted
		if worth, ok := counted[id]; ok {
			onNodePools = usd(worth)
			if inside[id] > 0 { // packing is about none of the others
				realisable = usd(worth * share)
			}
		}
		failed = append(failed, c.write(ctx, s, onNodePools, realisable))
	}
	return errors.Join(failed...)
}

// usd writes an amount with two decimals. Adding 0 makes a negative zero positive.
func usd(f float64) string { return strconv.FormatFloat(f+0, 'f', 2, 64) }

func (c *Controller) write(ctx context.Context, s *v1alpha1.WorkloadScaler, onNodePools, realisable string) error {
	if s.Status.CostImpact == nil || s.Status.CostImpact.Realisable == realisable && s.Status.CostImpact.OnNodePools == onNodePools {
		return nil
	}
	after := s.DeepCopy()
	after.Status.CostImpact.OnNodePools, after.Status.CostImpact.Realisable = onNodePools, realisable
	patch := client.MergeFrom(s)
	err := c.Client.Status().Patch(ctx, after, patch)
	if apierrors.IsNotFound(err) || apierrors.IsInvalid(err) { // gone, or its impact is: there is nothing to add to
		return nil
	}
	if err != nil {
		return fmt.Errorf("writing the status of workloadscaler %s/%s, %w", s.Namespace, s.Name, err)
	}
	return nil
}
