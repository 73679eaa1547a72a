package resize

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/recommender/policy"
)

// RateStateName is the ConfigMap, in the namespace of the installation, that holds the state of the rate limits.
const RateStateName = "supercargo-recommender-rate"

// Kind of change, each with rates of its own.
type Kind string

const (
	// KindResize is a resize in place.
	KindResize Kind = "resize"
	// KindRecreate is an eviction or a rolling update.
	KindRecreate Kind = "recreate"
)

// Rates of one kind of change.
type Rates struct {
	// Global holds for the whole cluster, Workload for each workload.
	Global, Workload policy.Rate
}

// DefaultRates let a cluster of thousands of workloads converge within hours, and no fault replace more pods than a person has
// time to notice: VPA's updater has been seen to evict 2,000 to 3,000 pods in 20 minutes (kubernetes/autoscaler#2180).
func DefaultRates() map[Kind]Rates {
	return map[Kind]Rates{
		KindResize:   {Global: policy.Rate{Every: 200 * time.Millisecond, Burst: 50}, Workload: policy.Rate{Every: 2 * time.Second, Burst: 5}},
		KindRecreate: {Global: policy.Rate{Every: 10 * time.Second, Burst: 10}, Workload: policy.Rate{Every: time.Minute, Burst: 1}},
	}
}

// Limiter limits the rate of changes. Its state is written before a change is made, so that a crash between the two costs a
// change that might have been made and never allows one too many.
type Limiter struct {
	Client client.Client
	// Direct reads the state from the API server: a cache may lag behind what the last leader wrote.
	Direct    client.Reader
	Namespace string
	Clock     clock.PassiveClock
	Rates     map[Kind]Rates

	mu     sync.Mutex
	object *corev1.ConfigMap // as last read or written; nil before
}

// Take spends one change of a workload. Where the rates do not allow it now, it says how long to wait.
func (l *Limiter) Take(ctx context.Context, kind Kind, workload string) (wait time.Duration, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range 2 { // once more if another wrote in between
		if err = l.read(ctx); err != nil {
			return 0, false, err
		}
		if wait, ok, err = l.take(ctx, kind, workload); err == nil {
			return wait, ok, nil
		}
		l.object = nil
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	return 0, false, fmt.Errorf("writing the state of the rate limits, %w", err)
}

func (l *Limiter) read(ctx context.Context) error {
	if l.object != nil {
		return nil
	}
	cm := &corev1.ConfigMap{}
	err := l.Direct.Get(ctx, types.NamespacedName{Namespace: l.Namespace, Name: RateStateName}, cm)
	if apierrors.IsNotFound(err) {
		cm = &corev1.ConfigMap{}
		cm.Namespace, cm.Name = l.Namespace, RateStateName
	} else if err != nil {
		return fmt.Errorf("reading the state of the rate limits, %w", err)
	}
	l.object = cm
	return nil
}

func (l *Limiter) take(ctx context.Context, kind Kind, workload string) (time.Duration, bool, error) {
	rates := l.Rates[kind]
	now := l.Clock.Now()
	var limits policy.Limits
	if text := l.object.Data[string(kind)]; text != "" {
		if err := json.Unmarshal([]byte(text), &limits); err != nil {
			// Somebody wrote rubbish. Starting from an empty bucket rather than a full one keeps the limit.
			limits = policy.Limits{Global: policy.Bucket{TAT: now.Add(time.Duration(rates.Global.Burst) * rates.Global.Every)}}
		}
	}
	if wait, ok := limits.Take(workload, rates.Global, rates.Workload, now); !ok {
		return wait, false, nil
	}
	text, err := json.Marshal(limits)
	if err != nil {
		return 0, false, err
	}
	changed := l.object.DeepCopy()
	if changed.Data == nil {
		changed.Data = map[string]string{}
	}
	changed.Data[string(kind)] = string(text)
	if changed.ResourceVersion == "" {
		err = l.Client.Create(ctx, changed)
	} else {
		err = l.Client.Update(ctx, changed)
	}
	if err != nil {
		return 0, false, err
	}
	l.object = changed
	return 0, true, nil
}
