package provisioning

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/karpenter/pkg/events"

	"supercargo.dev/provisioner/karpenter"
	"supercargo.dev/provisioner/packing"
)

const (
	// parallelWrites bounds resizes, launches and nominations that are under way at once.
	parallelWrites = 16
	// retryAfter is how long a round that could not decide, or could not launch all, waits before the next.
	retryAfter = time.Second
)

// Cluster is what provisioning needs of the machinery; *karpenter.Machinery is one.
type Cluster interface {
	Snapshot(ctx context.Context) (*karpenter.Snapshot, error)
	Launch(ctx context.Context, s *karpenter.Snapshot, node packing.PlannedNode, pods []*corev1.Pod) (claim string, err error)
	Protect(ctx context.Context, s *karpenter.Snapshot, bindings []packing.Binding)
	NominationEvent(pod *corev1.Pod, claim string)
	KeepHeadroom(ctx context.Context, s *karpenter.Snapshot, plan packing.Plan) (packing.Plan, error)
}

// Rightsizer gives a pending pod the requests that its policy would give it anyway, before a node is bought for it.
type Rightsizer interface {
	// Rightsize returns the pod as it is after the resize, or the pod itself where nothing is to be done.
	Rightsize(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error)
}

// Controller buys nodes. It runs on the leader only.
type Controller struct {
	client      client.Client
	cluster     Cluster
	rightsizer  Rightsizer
	recorder    events.Recorder
	clock       clock.Clock
	batcher     *batcher
	breaker     *Breaker
	nominations *nominations
	metrics     *Metrics
	// began is when the last round did, in nanoseconds of Unix time.
	began atomic.Int64
}

// Config is what a Controller is made of. Every field is required.
type Config struct {
	Client     client.Client
	Cluster    Cluster
	Rightsizer Rightsizer
	Recorder   events.Recorder
	Clock      clock.Clock
	Window     Window
	Limits     Limits
	Metrics    *Metrics
}

// New makes a controller.
func New(c Config) *Controller {
	return &Controller{
		client: c.Client, cluster: c.Cluster, rightsizer: c.Rightsizer, recorder: c.Recorder, clock: c.Clock,
		batcher: newBatcher(c.Window, c.Clock), breaker: NewBreaker(c.Limits, c.Clock),
		nominations: newNominations(c.Client), metrics: c.Metrics,
	}
}

// Trigger asks for a round. It never blocks.
func (c *Controller) Trigger() { c.batcher.Trigger() }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (c *Controller) NeedLeaderElection() bool { return true }

// Start runs rounds until the context ends.
func (c *Controller) Start(ctx context.Context) error {
	ctx = log.IntoContext(ctx, log.FromContext(ctx).WithName("provisioning"))
	for {
		if err := c.batcher.Wait(ctx); err != nil {
			return nil //nolint:nilerr // the end of the context is how this ends
		}
		again, err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "provisioning failed, trying again", "after", retryAfter.String())
			c.metrics.Errors.Inc()
		}
		if !again && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.clock.After(retryAfter):
			c.Trigger()
		}
	}
}

// round plans and launches once. It reports whether another round is due although nothing may trigger it.
func (c *Controller) round(ctx context.Context) (again bool, err error) {
	c.began.Store(c.clock.Now().UnixNano())
	s, err := c.cluster.Snapshot(ctx)
	if errors.Is(err, karpenter.ErrNotSynced) {
		log.FromContext(ctx).V(1).Info("waiting", "reason", err.Error())
		c.metrics.Unsynced.Inc()
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the cluster, %w", err)
	}
	c.metrics.Pending.Set(float64(s.Pending + len(s.Kept)))
	c.nominations.prune(ctx, s)
	s.Keep(c.nominations.places(), c.clock.Now())
	if len(s.Problem.Pods) == 0 {
		c.cluster.Protect(ctx, s, nil)
		c.nominations.bind(ctx, s, nil)
		_, err := c.cluster.KeepHeadroom(ctx, s, packing.Plan{}) // what was kept for buffers that are gone is no longer
		return false, err
	}
	c.rightsize(ctx, s)
	blocked := c.leaveOutOpenPools(s)

	start := c.clock.Now()
	plan, err := packing.Solve(ctx, s.Problem)
	if err != nil {
		return false, fmt.Errorf("planning nodes for %d pods, %w", len(s.Problem.Pods), err)
	}
	c.metrics.observe(c.clock.Since(start), plan)
	log.FromContext(ctx).Info("planned", "pods", len(s.Problem.Pods), "pending", s.Pending, "kept", len(s.Kept), "launch", len(plan.Nodes), "onExisting", len(plan.Bindings),
		"unplaced", len(plan.Unplaced), "costPerHour", plan.Cost, "lowerBound", plan.LowerBound, "duration", c.clock.Since(start).String())

	if plan, err = c.cluster.KeepHeadroom(ctx, s, plan); err != nil {
		log.FromContext(ctx).Error(err, "saying on capacity buffers whether they have their room")
	}
	c.cluster.Protect(ctx, s, plan.Bindings)
	c.explain(s, plan, blocked)
	c.explainPreferences(plan)
	// Machines first: they take longest, and a nomination is one write for each of maybe thousands of pods.
	denied, err := c.launch(ctx, s, plan.Nodes)
	c.nominations.bind(ctx, s, plan.Bindings)
	return denied > 0 || len(blocked) > 0, err
}

// rightsize resizes pending pods by their policy. A pod that cannot be resized is packed as it is.
func (c *Controller) rightsize(ctx context.Context, s *karpenter.Snapshot) {
	workqueue.ParallelizeUntil(ctx, parallelWrites, s.Pending, func(i int) {
		pod := s.Pod(i)
		resized, err := c.rightsizer.Rightsize(ctx, pod)
		if err != nil {
			log.FromContext(ctx).Error(err, "packing pod without rightsizing it", "pod", client.ObjectKeyFromObject(pod))
			return
		}
		if resized != pod {
			// Requests nil: the packer counts the new spec.
			s.Problem.Pods[i].Pod, s.Problem.Pods[i].Requests = resized, nil
			c.metrics.Rightsized.Inc()
		}
	})
}

// leaveOutOpenPools takes pools that keep failing out of the problem, and returns until when each is left alone.
func (c *Controller) leaveOutOpenPools(s *karpenter.Snapshot) map[string]time.Time {
	blocked := map[string]time.Time{}
	kept := s.Problem.Pools[:0:0]
	for _, p := range s.Problem.Pools {
		if until, open := c.breaker.Open(p.Name); open {
			blocked[p.Name] = until
			continue
		}
		kept = append(kept, p)
	}
	s.Problem.Pools = kept
	return blocked
}

// launch creates the claims of planned nodes, as far as the breaker allows, and returns how many it did not.
func (c *Controller) launch(ctx context.Context, s *karpenter.Snapshot, nodes []packing.PlannedNode) (denied int, err error) {
	allowed := nodes[:0:0]
	for _, node := range nodes {
		if c.breaker.Allow() {
			allowed = append(allowed, node)
		}
	}
	denied = len(nodes) - len(allowed)
	errs := make([]error, len(allowed))
	workqueue.ParallelizeUntil(ctx, parallelWrites, len(allowed), func(i int) {
		errs[i] = c.launchOne(ctx, s, allowed[i])
	})
	if denied > 0 {
		c.metrics.Denied.Add(float64(denied))
		c.warnRateLimited(s, nodes, denied)
		log.FromContext(ctx).Error(errRateLimited, "launches are held back", "denied", denied)
	}
	return denied, errors.Join(errs...)
}

func (c *Controller) launchOne(ctx context.Context, s *karpenter.Snapshot, node packing.PlannedNode) error {
	pods := make([]*corev1.Pod, 0, len(node.Pods))
	for _, p := range node.Pods {
		if !s.IsHeadroom(p) {
			pods = append(pods, s.Pod(p))
		}
	}
	claim, err := c.cluster.Launch(ctx, s, node, pods)
	if err != nil {
		c.breaker.Failed(node.Pool)
		return err
	}
	c.metrics.Launched.WithLabelValues(node.Pool, node.CapacityType).Inc()
	c.nominations.planned(claim, pods)
	for _, pod := range pods {
		c.cluster.NominationEvent(pod, claim)
	}
	return nil
}

var errRateLimited = errors.New("the limit of launches per minute is used up (--launches-per-minute)")
