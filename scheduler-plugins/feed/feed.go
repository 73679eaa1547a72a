// Package feed brings what the scheduler plugins know from the API server: recommendations, placement policies, node claims,
// and where the replicas of each workload are. One Feed serves all plugins and profiles of a process, so that there is one
// informer for each kind. Plugins read it in memory; nothing on the scheduling path waits for the API.
//
// A kind that is not installed leaves the plugins neutral, is logged once, and is picked up when it appears.
package feed

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/clock"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/departure"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/placement"
	"supercargo.dev/scheduler-plugins/plans"
	"supercargo.dev/scheduler-plugins/replicas"
)

// heldInterval is how often pods that wait for a planned node are tried again even if nothing is known to have changed, so that no
// event that is missed holds one for ever.
const heldInterval = 30 * time.Second

// requeueInterval bounds how often pending pods are tried again because a policy or annotation changed.
const requeueInterval = time.Second

// Feed is what plugins read. Make it with New, and let each plugin factory call Start.
type Feed struct {
	// Demand answers what pods need.
	Demand *demand.Index
	// Replicas counts where the replicas of workloads are.
	Replicas *replicas.Counter
	// Claims knows which nodes are about to go.
	Claims *departure.Claims
	// Plans knows which pods nodes were bought for.
	Plans *plans.Plans
	// Successors knows which places consolidations planned for pods to come.
	Successors *plans.Successors
	// Policies are the PlacementPolicies.
	Policies *placement.Table
	// Metrics of the process.
	Metrics *metrics.Metrics
	// Clock of the process.
	Clock clock.WithTicker

	policies *source
	requeue  chan struct{}
	planned  chan struct{}
	held     atomic.Bool
	kept     atomic.Bool
	running  sync.WaitGroup

	mu       sync.Mutex
	started  bool
	profiles map[string]bool
}

// New returns a feed that knows nothing yet.
func New(m *metrics.Metrics, c clock.WithTicker) *Feed {
	return &Feed{
		Demand:   demand.NewIndex(demand.Options{}),
		Replicas: replicas.New(),
		Claims:   departure.NewClaims(),
		Plans:    plans.New(), Successors: plans.NewSuccessors(),
		Policies: placement.NewTable(),
		Metrics:  m,
		Clock:    c,
		policies: newSource(m, "placementpolicies"),
		requeue:  make(chan struct{}, 1),
		planned:  make(chan struct{}, 1),
		profiles: map[string]bool{},
	}
}

// Start begins to follow the cluster, the first time it is called; later calls only add the profile. Everything that it
// starts ends with ctx, which the scheduler owns.
func (f *Feed) Start(ctx context.Context, handle fwk.Handle) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	profile := handle.ProfileName()
	if client := handle.ClientSet(); client != nil && !f.profiles[profile] {
		if err := f.followRefused(ctx, client, profile); err != nil {
			return err
		}
	}
	f.profiles[profile] = true
	if f.started {
		return nil
	}
	factory := handle.SharedInformerFactory()
	if factory == nil {
		return nil // a framework without a cluster behind it
	}
	f.started = true

	pods := factory.Core().V1().Pods()
	if err := f.followPods(pods.Informer()); err != nil {
		return err
	}
	if err := f.followNodes(ctx, factory.Core().V1().Nodes().Informer()); err != nil {
		return err
	}
	if err := f.followNamespaces(factory.Core().V1().Namespaces().Informer()); err != nil {
		return err
	}
	f.running.Go(func() { f.requeuePending(ctx, handle, pods.Informer().HasSynced, pods.Lister()) })
	if handle.KubeConfig() == nil {
		f.policies.set(absent)
		return nil
	}
	if err := f.followCustom(ctx, handle.KubeConfig()); err != nil {
		return fmt.Errorf("following custom resources, %w", err)
	}
	return nil
}

// Wait returns when everything that Start began has ended, after its context has.
func (f *Feed) Wait() { f.running.Wait() }

// PoliciesKnown says whether the placement policies were read, or are known not to be installed. Until then nobody can say
// that a pod may go to spot.
func (f *Feed) PoliciesKnown() bool { return f.policies.known() }

// Requeue has pending pods tried again soon.
func (f *Feed) Requeue() {
	select {
	case f.requeue <- struct{}{}:
	default:
	}
}

// RequeuePlanned has pending pods for which nodes were bought tried again soon.
func (f *Feed) RequeuePlanned() {
	select {
	case f.planned <- struct{}{}:
	default:
	}
}

// Hold notes that a pod is kept waiting for a planned node.
func (f *Feed) Hold() { f.held.Store(true) }

// KeepOff notes that a pod was kept off a node whose room is planned for others. Nothing happens when the plan ends, so pending
// pods are tried again now and then.
func (f *Feed) KeepOff() { f.kept.Store(true) }

func (f *Feed) serves(profile string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.profiles[profile]
}

func (f *Feed) addHandler(informer cache.SharedInformer, what string, handler cache.ResourceEventHandlerFuncs) error {
	if _, err := informer.AddEventHandler(handler); err != nil {
		return fmt.Errorf("following %s, %w", what, err)
	}
	return nil
}

func last[T any](object any) (T, bool) {
	if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = tombstone.Obj
	}
	typed, ok := object.(T)
	return typed, ok
}

// live says whether a pod counts as a replica: it has neither finished nor is it going.
func live(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && !finished(pod)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}
