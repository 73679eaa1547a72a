package provisioning

import (
	"context"
	"time"

	"k8s.io/utils/clock"
)

// Window is how long a batch of pods stays open.
type Window struct {
	// Idle closes the batch when nothing has come for so long.
	Idle time.Duration
	// Max closes the batch in any case.
	Max time.Duration
}

// batcher joins triggers into batches.
type batcher struct {
	window         Window
	clock          clock.Clock
	trigger, retry chan struct{}
}

func newBatcher(w Window, clk clock.Clock) *batcher {
	return &batcher{window: w, clock: clk, trigger: make(chan struct{}, 1), retry: make(chan struct{}, 1)}
}

// Trigger opens a batch or keeps it open, for a pod that has come and may not be the last. It never blocks.
func (b *batcher) Trigger() { signal(b.trigger) }

// Retry opens a batch where none is open, and keeps none open, for a pod that has lost its place to another. Where one has, more have, and
// find the places that others leave: it ends after the maximum, or with pods that come. It never blocks.
func (b *batcher) Retry() { signal(b.retry) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Wait returns nil at the end of a batch, and the context's error when the context ends first.
func (b *batcher) Wait(ctx context.Context) error {
	window := b.window.Idle
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.trigger:
	case <-b.retry:
		window = b.window.Max
	}
	limit := b.clock.NewTimer(b.window.Max)
	defer limit.Stop()
	for {
		idle := b.clock.NewTimer(window)
		select {
		case <-ctx.Done():
			idle.Stop()
			return ctx.Err()
		case <-limit.C():
			idle.Stop()
			return nil
		case <-idle.C():
			return nil
		case <-b.trigger:
			idle.Stop()
			window = b.window.Idle
		}
	}
}
