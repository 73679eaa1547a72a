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
	window  Window
	clock   clock.Clock
	trigger chan struct{}
}

func newBatcher(w Window, clk clock.Clock) *batcher {
	return &batcher{window: w, clock: clk, trigger: make(chan struct{}, 1)}
}

// Trigger opens a batch or keeps it open. It never blocks.
func (b *batcher) Trigger() {
	select {
	case b.trigger <- struct{}{}:
	default:
	}
}

// Wait returns nil at the end of a batch, and the context's error when the context ends first.
func (b *batcher) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-b.trigger:
	}
	limit := b.clock.NewTimer(b.window.Max)
	defer limit.Stop()
	for {
		idle := b.clock.NewTimer(b.window.Idle)
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
		}
	}
}
