package spot

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
)

const (
	// NoticedAnnotation on a NodeClaim holds the time, as RFC 3339, at which the cloud gave notice.
	NoticedAnnotation = v1alpha1.GroupName + "/interruption-noticed"
	// DeadlineAnnotation on a NodeClaim holds the time, as RFC 3339, at which the cloud takes the instance back. Written on the
	// claim, it makes the handling survive a restart.
	DeadlineAnnotation = v1alpha1.GroupName + "/interruption-deadline"
	// drainShare of the notice is kept for draining: the drain begins at the latest when so much of it is left, whether the
	// replacement is ready or not.
	drainShare = 0.5
	// pollReplacement is how often it is looked whether the replacement is ready.
	pollReplacement = time.Second
	// ReasonInterrupted is the reason of the event on the node's claim.
	ReasonInterrupted = "Interrupted"
)

// Nodes is what the controller needs of the machinery.
type Nodes interface {
	// Leave closes a node: nothing more is scheduled or planned on it, and its pods are planned anew.
	Leave(ctx context.Context, providerID string) error
	// Replaced reports whether every pod on the node that must move has a place on a node that is ready.
	Replaced(ctx context.Context, providerID string) (bool, error)
}

// Config is what a Controller is made of. Every field is required.
type Config struct {
	Client   client.Client
	Source   cloudprovider.Interruptions
	Nodes    Nodes
	Recorder events.Recorder
	Clock    clock.Clock
	// Plan asks for a round of provisioning.
	Plan    func()
	Metrics *Metrics
}

// Controller answers interruption notices: the node is closed to new pods, a replacement is bought, and when it is ready, or
// half of the notice is over, the node is drained within its disruption budgets and given back.
type Controller struct{ Config }

// New makes a controller.
func New(c Config) *Controller { return &Controller{Config: c} }

// Register adds the controller to a manager.
func (c *Controller) Register(mgr manager.Manager) error {
	if err := mgr.Add(c); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("spot.interruption").For(&karpv1.NodeClaim{}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), c))
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (c *Controller) NeedLeaderElection() bool { return true }

// Start writes each notice on its NodeClaim until the context ends; Reconcile acts on what is written there.
func (c *Controller) Start(ctx context.Context) error {
	notices, err := c.Source.Notices(ctx)
	if err != nil {
		return fmt.Errorf("opening the stream of interruption notices, %w", err)
	}
	for notice := range notices {
		if err := c.record(ctx, notice); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "recording an interruption notice", "providerID", notice.ProviderID, "kind", notice.Kind)
			c.Metrics.Errors.Inc()
		}
	}
	return nil
}

// record writes the deadline of a notice on the claim of its instance. A rebalance recommendation is shown and no more: the
// instance may live on for days, and moving its pods would cost more than it saves.
func (c *Controller) record(ctx context.Context, notice cloudprovider.Notice) error {
	nc, err := c.claim(ctx, notice.ProviderID)
	if err != nil || nc == nil {
		return err
	}
	// The end of an instance that is being given up is what was asked for, not an interruption.
	asked := notice.Kind == cloudprovider.Terminated && !nc.DeletionTimestamp.IsZero()
	if !asked {
		c.Metrics.Notices.WithLabelValues(string(notice.Kind)).Inc()
	}
	if notice.Kind == cloudprovider.Rebalance {
		c.event(nc, corev1.EventTypeNormal, "The cloud says that this instance is more likely to be interrupted than before.")
		return nil
	}
	if nc.Annotations[DeadlineAnnotation] != "" {
		return nil
	}
	deadline := notice.Deadline
	if deadline.IsZero() {
		deadline = notice.At
	}
	stored := nc.DeepCopy()
	if nc.Annotations == nil {
		nc.Annotations = map[string]string{}
	}
	nc.Annotations[NoticedAnnotation] = notice.At.UTC().Format(time.RFC3339)
	nc.Annotations[DeadlineAnnotation] = deadline.UTC().Format(time.RFC3339)
	// Karpenter drains by PDBs until this time and removes what is left then: the instance goes anyway.
	nc.Annotations[karpv1.NodeClaimTerminationTimestampAnnotationKey] = deadline.UTC().Format(time.RFC3339)
	if err := c.Client.Patch(ctx, nc, client.MergeFrom(stored)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("writing the deadline on nodeclaim %q, %w", nc.Name, err))
	}
	if asked {
		return nil
	}
	c.event(nc, corev1.EventTypeWarning, fmt.Sprintf("The cloud takes this instance back at %s (%s).", deadline.UTC().Format(time.RFC3339), notice.Kind))
	return nil
}

func (c *Controller) claim(ctx context.Context, providerID string) (*karpv1.NodeClaim, error) {
	list := &karpv1.NodeClaimList{}
	if err := c.Client.List(ctx, list, client.MatchingFields{"status.providerID": providerID}); err != nil {
		return nil, fmt.Errorf("finding the nodeclaim of %s, %w", providerID, err)
	}
	if len(list.Items) == 0 {
		return nil, nil // an instance of somebody else, or one that is gone
	}
	return &list.Items[0], nil
}

func (c *Controller) event(nc *karpv1.NodeClaim, eventType, message string) {
	c.Recorder.Publish(events.Event{
		InvolvedObject: nc, Type: eventType, Reason: ReasonInterrupted, Message: message, DedupeValues: []string{string(nc.UID), message},
	})
}

// Reconcile brings a claim with a deadline to its end.
func (c *Controller) Reconcile(ctx context.Context, nc *karpv1.NodeClaim) (reconcile.Result, error) {
	if nc.Annotations[DeadlineAnnotation] == "" || !nc.DeletionTimestamp.IsZero() || nc.Status.ProviderID == "" {
		return reconcile.Result{}, nil
	}
	noticed, err := timeOf(nc, NoticedAnnotation)
	if err != nil {
		return reconcile.Result{}, err
	}
	deadline, err := timeOf(nc, DeadlineAnnotation)
	if err != nil {
		return reconcile.Result{}, err
	}
	if err := c.Nodes.Leave(ctx, nc.Status.ProviderID); err != nil {
		return reconcile.Result{}, err
	}
	if c.Clock.Now().Before(drainBy(noticed, deadline)) {
		c.Plan()
		replaced, err := c.Nodes.Replaced(ctx, nc.Status.ProviderID)
		if err != nil {
			return reconcile.Result{}, err
		}
		if !replaced {
			return reconcile.Result{RequeueAfter: pollReplacement}, nil
		}
	}
	if err := c.Client.Delete(ctx, nc); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(fmt.Errorf("deleting interrupted nodeclaim %q, %w", nc.Name, err))
	}
	return reconcile.Result{}, nil
}

func timeOf(nc *karpv1.NodeClaim, annotation string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, nc.Annotations[annotation])
	if err != nil {
		return time.Time{}, reconcile.TerminalError(fmt.Errorf("annotation %s of nodeclaim %q is not a time, %w", annotation, nc.Name, err))
	}
	return t, nil
}

// drainBy is when the drain begins even without a replacement.
func drainBy(noticed, deadline time.Time) time.Time {
	return deadline.Add(-time.Duration(drainShare * float64(deadline.Sub(noticed))))
}
