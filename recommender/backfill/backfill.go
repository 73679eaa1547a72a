// Package backfill reads usage of before a workload was first watched, from a file or a Prometheus server, and puts it into its history
// once.
//
// Where usage comes from is recommender/usage's business; what follows from it is recommender/estimate's. This package knows which
// workloads still lack their past, and which samples are not in their history yet.
package backfill

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/usage"
)

const (
	// gather is how long scalers that ask for their past are collected for one pass over the source.
	gather = 500 * time.Millisecond
	// attempts at a source that fails. Then its workloads start without a past, which lowers nothing.
	attempts = 3
	// pause between attempts.
	pause = 10 * time.Second
)

// Filler fills in the past. It is a manager.Runnable that runs on the leader only.
type Filler struct {
	// Open opens the source; it is called for each pass.
	Open  func() (usage.Stream, error)
	Store *estimate.Store
	Clock clock.Clock
	// Pods names the workload of each pod that exists.
	Pods func(yield func(namespace, pod string, w estimate.Workload))

	mu sync.Mutex
	// since is the newest sample that was restored, by workload: what is older is in the history already.
	since   map[estimate.Workload]time.Time
	waiting map[estimate.Workload]*request
	done    map[estimate.Workload]bool
	asked   chan struct{}
	wake    chan event.GenericEvent
}

type request struct {
	// before is when the workload was bound: from then on its usage is collected.
	before  time.Time
	scalers map[types.NamespacedName]bool
}

// NewFiller returns a filler; it does nothing before Start.
func NewFiller(open func() (usage.Stream, error), store *estimate.Store, c clock.Clock,
	pods func(yield func(namespace, pod string, w estimate.Workload)),
) *Filler {
	return &Filler{
		Open: open, Store: store, Clock: c, Pods: pods,
		since: map[estimate.Workload]time.Time{}, waiting: map[estimate.Workload]*request{}, done: map[estimate.Workload]bool{},
		asked: make(chan struct{}, 1), wake: make(chan event.GenericEvent),
	}
}

// Restored tells the newest sample of each history that was read from a checkpoint.
func (f *Filler) Restored(newest map[estimate.Workload]time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = newest
}

// Wake brings the scalers whose past has been filled in.
func (f *Filler) Wake() <-chan event.GenericEvent { return f.wake }

// Ready says whether the past of a workload has been filled in. Where it has not it is asked for, and Wake will bring the scaler.
func (f *Filler) Ready(scaler types.NamespacedName, w estimate.Workload) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done[w] {
		return true
	}
	r := f.waiting[w]
	if r == nil {
		r = &request{before: f.Clock.Now(), scalers: map[types.NamespacedName]bool{}}
		f.waiting[w] = r
		select {
		case f.asked <- struct{}{}:
		default: // a pass is due already
		}
	}
	r.scalers[scaler] = true
	return false
}

// NeedLeaderElection makes the manager start the filler on the leader only.
func (f *Filler) NeedLeaderElection() bool { return true }

// Start fills in the past of workloads as they are asked for, until the context ends.
func (f *Filler) Start(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.asked:
		}
		if !f.sleep(ctx, gather) {
			return nil
		}
		if !f.pass(ctx) {
			return nil
		}
	}
}

func (f *Filler) sleep(ctx context.Context, d time.Duration) bool {
	timer := f.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// pass reads the source once for all workloads that wait. It is false where the context has ended.
func (f *Filler) pass(ctx context.Context) bool {
	logger := log.FromContext(ctx).WithName("backfill")
	f.mu.Lock()
	batch := make(map[estimate.Workload]request, len(f.waiting))
	for w, r := range f.waiting {
		batch[w] = *r
	}
	f.mu.Unlock()
	var samples int
	reached := map[series]*progress{}
	for attempt := 1; ; attempt++ {
		n, err := f.read(ctx, batch, reached)
		samples += n
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			break
		}
		logger.Error(err, "history could not be read", "attempt", attempt)
		if attempt == attempts {
			logger.Info("going on without history", "workloads", len(batch))
			break
		}
		if !f.sleep(ctx, pause) {
			return false
		}
	}
	logger.Info("history read", "workloads", len(batch), "samples", samples)
	var scalers []types.NamespacedName
	f.mu.Lock()
	for w := range batch {
		for s := range f.waiting[w].scalers { // more may have asked meanwhile
			scalers = append(scalers, s)
		}
		delete(f.waiting, w)
		f.done[w] = true
	}
	f.mu.Unlock()
	for _, s := range scalers {
		o := &v1alpha1.WorkloadScaler{}
		o.Namespace, o.Name = s.Namespace, s.Name
		select {
		case f.wake <- event.GenericEvent{Object: o}:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// series is what one container of one pod used.
type series struct{ namespace, pod, container string }

// progress is how far a series has been read, and where it goes.
type progress struct {
	at time.Time
	to *estimate.Series
}

// read puts the samples of a batch into their histories. reached remembers how far each series has come over attempts, so that one
// that begins anew counts nothing twice.
func (f *Filler) read(ctx context.Context, batch map[estimate.Workload]request, reached map[series]*progress) (samples int, err error) {
	workloads := make([]estimate.Workload, 0, len(batch))
	for w := range batch {
		workloads = append(workloads, w)
	}
	known := map[podName]estimate.Workload{}
	f.Pods(func(namespace, pod string, w estimate.Workload) {
		known[podName{namespace, pod}] = w
	})
	f.mu.Lock()
	since := f.since
	f.mu.Unlock()
	m := newMatcher(workloads, known)
	stream, err := f.Open()
	if err != nil {
		return 0, err
	}
	err = stream(ctx, func(u usage.Usage) error {
		w, ok := m.match(u.Namespace, u.Pod)
		r, wanted := batch[w]
		if !ok || !wanted || !u.At.Before(r.before) || !u.At.After(since[w]) {
			return nil
		}
		s := series{u.Namespace, u.Pod, u.Container}
		p := reached[s]
		if p == nil {
			key := estimate.Key{Namespace: w.Namespace, Kind: w.Kind, Name: w.Name, Container: u.Container}
			p = &progress{to: f.Store.Series(key, u.Pod)}
			reached[s] = p
		}
		if !u.At.After(p.at) {
			return nil
		}
		p.at = u.At
		p.to.Observe(u.At, u.MilliCPU, u.MemoryBytes)
		samples++
		return nil
	})
	return samples, err
}
