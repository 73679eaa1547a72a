package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/recommender/estimate"
)

const (
	// orphanGrace is how long the history of a workload that no scaler binds is kept.
	orphanGrace = 24 * time.Hour
	// farewell bounds the last save at shutdown; the process has 30 s in all.
	farewell = 15 * time.Second
)

// Recorder records events. *events.Recorder of client-go does.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// Keeper restores the history when it starts, and saves it from time to time and when it ends. It is a manager.Runnable that runs on
// the leader only.
type Keeper struct {
	Objects  *Objects
	Store    *estimate.Store
	Recorder Recorder
	Clock    clock.WithTicker
	// Interval between saves.
	Interval time.Duration
	// Bound lists the workloads that scalers bind; others are forgotten after a day.
	Bound func() sets.Set[estimate.Workload]
	// Ready is closed once the history has been restored, or found to be damaged or missing.
	Ready chan<- struct{}
	// Restored, which may be nil, is called with the newest sample of each workload before Ready is closed.
	Restored func(map[estimate.Workload]time.Time)

	saves, damage prometheus.Counter
	failures      prometheus.Counter
	written       prometheus.Gauge
	orphans       map[estimate.Workload]time.Time
}

// Register registers the keeper's metrics. It must be called before Start.
func (k *Keeper) Register(reg prometheus.Registerer) error {
	k.saves = prometheus.NewCounter(prometheus.CounterOpts{Name: "supercargo_checkpoint_saves_total", Help: "Checkpoints of usage history written."})
	k.failures = prometheus.NewCounter(prometheus.CounterOpts{Name: "supercargo_checkpoint_failures_total", Help: "Checkpoints of usage history that could not be written."})
	k.damage = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "supercargo_checkpoint_damage_total",
		Help: "Parts of a checkpoint that could not be read. Their workloads start cold, which lowers nothing.",
	})
	k.written = prometheus.NewGauge(prometheus.GaugeOpts{Name: "supercargo_checkpoint_timestamp_seconds", Help: "When the newest checkpoint was written, in Unix seconds."})
	for _, c := range []prometheus.Collector{k.saves, k.failures, k.damage, k.written} {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("registering checkpoint metrics, %w", err)
		}
	}
	return nil
}

// NeedLeaderElection makes the manager start the keeper on the leader only.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start restores, then saves until the context ends, and once more then.
func (k *Keeper) Start(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("checkpoint")
	if err := k.restore(ctx); err != nil {
		return nil // the context has ended: every other error is tried again
	}
	close(k.Ready)
	ticker := k.Clock.NewTicker(k.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			if err := k.save(last); err != nil {
				logger.Error(err, "the last checkpoint could not be written; the one before holds")
			}
			return nil
		case <-ticker.C():
			k.forget()
			err := k.save(ctx)
			if errors.Is(err, ErrOtherWriter) {
				// The lease is lost or about to be: the other's checkpoint is the newer one.
				return err
			}
			if err != nil {
				k.failures.Inc()
				logger.Error(err, "checkpoint could not be written; trying again at the next interval")
			}
		}
	}
}

// restore reads the checkpoint until the API server answers.
func (k *Keeper) restore(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("checkpoint")
	backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 100, Cap: 10 * time.Second}
	return wait.ExponentialBackoffWithContext(ctx, backoff, func(ctx context.Context) (bool, error) {
		loaded, err := k.Objects.Load(ctx)
		if err != nil {
			logger.Error(err, "history could not be read; trying again")
			return false, nil
		}
		newest := map[estimate.Workload]time.Time{}
		for _, h := range loaded.Histories {
			if err := k.Store.Restore(h); err != nil {
				loaded.Damage = append(loaded.Damage, err)
				continue
			}
			if at, ok := k.Store.LastSample(h.Workload); ok {
				newest[h.Workload] = at
			}
		}
		for _, err := range loaded.Damage {
			k.damage.Inc()
			logger.Error(err, "a part of the history is damaged; its workloads start cold")
			k.Recorder.Eventf(k.Objects.empty(), nil, corev1.EventTypeWarning, "HistoryDamaged", "Restore", "%v", err)
		}
		if k.Restored != nil {
			k.Restored(newest)
		}
		logger.Info("history restored", "workloads", len(loaded.Histories), "written", loaded.Written, "damaged", len(loaded.Damage))
		return true, nil
	})
}

func (k *Keeper) save(ctx context.Context) error {
	workloads := k.Store.Workloads()
	histories := make([]estimate.History, 0, len(workloads))
	for _, w := range workloads {
		if h, ok := k.Store.Snapshot(w); ok {
			histories = append(histories, h)
		}
	}
	now := k.Clock.Now()
	if err := k.Objects.Save(ctx, histories, now); err != nil {
		return err
	}
	k.saves.Inc()
	k.written.Set(float64(now.Unix()))
	return nil
}

// forget drops the history of workloads that nobody has bound for a day.
func (k *Keeper) forget() {
	bound, now := k.Bound(), k.Clock.Now()
	if k.orphans == nil {
		k.orphans = map[estimate.Workload]time.Time{}
	}
	for w := range k.orphans {
		if bound.Has(w) {
			delete(k.orphans, w)
		}
	}
	for _, w := range k.Store.Workloads() {
		if bound.Has(w) {
			continue
		}
		since, known := k.orphans[w]
		if !known {
			k.orphans[w] = now
		} else if now.Sub(since) >= orphanGrace {
			k.Store.Forget(w)
			delete(k.orphans, w)
		}
	}
}
