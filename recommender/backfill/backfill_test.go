package backfill

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/usage"
)

func workloadOf(kind, name string) estimate.Workload {
	return estimate.Workload{Namespace: "shop", Kind: kind, Name: name}
}

func TestPodsAreMatchedByName(t *testing.T) {
	web, webAPI := workloadOf("Deployment.apps", "web"), workloadOf("Deployment.apps", "web-api")
	db, agent, night := workloadOf("StatefulSet.apps", "db"), workloadOf("DaemonSet.apps", "agent"), workloadOf("CronJob.batch", "night")
	m := newMatcher([]estimate.Workload{web, webAPI, db, agent, night}, map[podName]estimate.Workload{{"shop", "odd"}: web})
	for pod, want := range map[string]estimate.Workload{
		"web-6bdf9c7c5d-abcde": web, "web-api-6bdf9c7c5d-abcde": webAPI, "db-0": db, "db-12": db, "agent-x2b4c": agent,
		"night-29384756-abcde": night, "odd": web,
		"web": {}, "web-abcde": {}, "db-x": {}, "agent-toolong": {}, "other-6bdf9c7c5d-abcde": {}, "": {},
	} {
		got, ok := m.match("shop", pod)
		if got != want || ok != (want != estimate.Workload{}) {
			t.Errorf("pod %q is of %v, want %v", pod, got, want)
		}
	}
	if _, ok := m.match("elsewhere", "web-6bdf9c7c5d-abcde"); ok {
		t.Error("a pod of another namespace matched")
	}
}

// TestEverySampleIsCountedOnce: an attempt fails half way, a history was restored from a checkpoint, and usage goes on being collected.
func TestEverySampleIsCountedOnce(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	store := estimate.NewStore(estimate.Options{})
	opened := 0
	f := NewFiller(func() (usage.Stream, error) {
		return func(_ context.Context, yield func(usage.Usage) error) error {
			opened++
			for i := range 10 {
				if opened == 1 && i == 5 {
					return errors.New("the connection broke")
				}
				u := usage.Usage{Namespace: "shop", Pod: "web-6bdf9c7c5d-abcde", Container: "app", At: now.Add(time.Duration(i-12) * time.Minute), MilliCPU: 100, MemoryBytes: 1e6}
				if err := yield(u); err != nil {
					return err
				}
			}
			return nil
		}, nil
	}, store, clock.RealClock{}, func(func(string, string, estimate.Workload)) {})
	w := workloadOf("Deployment.apps", "web")
	f.Restored(map[estimate.Workload]time.Time{w: now.Add(-10 * time.Minute)}) // three of them are known
	batch := map[estimate.Workload]request{w: {before: now.Add(-3 * time.Minute)}}
	reached := map[series]*progress{}
	first, err := f.read(t.Context(), batch, reached)
	if err == nil || first != 2 {
		t.Errorf("the first attempt put %d samples, error %v", first, err)
	}
	second, err := f.read(t.Context(), batch, reached)
	if err != nil || second != 4 {
		t.Errorf("the second attempt put %d samples, error %v", second, err)
	}
}

func TestAScalerIsWokenWhenItsPastIsThere(t *testing.T) {
	f := NewFiller(func() (usage.Stream, error) {
		return func(context.Context, func(usage.Usage) error) error { return nil }, nil
	}, estimate.NewStore(estimate.Options{}), clock.RealClock{}, func(func(string, string, estimate.Workload)) {})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.Start(ctx) }()
	scaler, w := types.NamespacedName{Namespace: "shop", Name: "web"}, workloadOf("Deployment.apps", "web")
	if f.Ready(scaler, w) {
		t.Error("ready before anything was read")
	}
	if e := <-f.Wake(); e.Object.GetName() != "web" || !f.Ready(scaler, w) {
		t.Errorf("woken %s, ready %t", e.Object.GetName(), f.Ready(scaler, w))
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
