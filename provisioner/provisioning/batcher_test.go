package provisioning

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// batch waits for one batch and returns how long it took; retries and triggers come at the times given.
func batch(t *testing.T, w Window, retries, triggers []time.Duration) time.Duration {
	t.Helper()
	b := newBatcher(w, clock.RealClock{})
	start := time.Now()
	call := func(f func(), times []time.Duration) {
		for _, at := range times {
			time.Sleep(time.Until(start.Add(at)))
			f()
		}
	}
	go call(b.Retry, retries)
	go call(b.Trigger, triggers)
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	synctest.Wait()
	return took
}

func TestBatches(t *testing.T) {
	window := Window{Idle: time.Second, Max: 5 * time.Second}
	for name, tc := range map[string]struct {
		retries, triggers []time.Duration
		want              time.Duration
	}{
		"a batch ends when nothing came for the idle window":    {nil, []time.Duration{0}, time.Second},
		"a batch begins with the first pod":                     {nil, []time.Duration{time.Hour}, time.Hour + time.Second},
		"a batch stays open while pods come":                    {nil, []time.Duration{0, 900 * time.Millisecond, 1800 * time.Millisecond}, 2800 * time.Millisecond},
		"a batch ends after the maximum however many pods come": {nil, every(500*time.Millisecond, 20), 5 * time.Second},
		"pods that lost their places wait for more of them":     {[]time.Duration{0}, nil, 5 * time.Second},
		"they do not hold up pods that come":                    {every(300*time.Millisecond, 20), []time.Duration{100 * time.Millisecond}, 1100 * time.Millisecond},
		"and are planned with them":                             {[]time.Duration{0}, []time.Duration{500 * time.Millisecond}, 1500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := batch(t, window, tc.retries, tc.triggers); got != tc.want {
					t.Errorf("the batch took %s, want %s", got, tc.want)
				}
				time.Sleep(time.Hour) // virtual: let the triggers that are left come
			})
		})
	}
}

func every(d time.Duration, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = time.Duration(i) * d
	}
	return out
}

func TestWaitEndsWithItsContext(t *testing.T) {
	b := newBatcher(Window{Idle: time.Second, Max: time.Second}, clock.RealClock{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
