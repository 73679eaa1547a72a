package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// errUnexpected stands for the reason when a component gave none.
var errUnexpected = errors.New("without an error")

// runner owns the goroutine of one component.
type runner struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{} // closed when the component has returned
	err    error         // what it returned; read after done
}

// run starts f and reports to ended when f returns before it has been told to.
func run(ctx context.Context, name string, f func(context.Context) error, ended func(component string, err error)) *runner {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{name: name, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = f(ctx)
		if ctx.Err() == nil {
			ended(name, cmp.Or(r.err, errUnexpected))
		}
	}()
	return r
}

// stop tells the component to end and waits until it has.
func (r *runner) stop(limit time.Duration) error {
	r.cancel()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-r.done:
		// What a component returns once its context is done is not an error of ours: each of them has its own way to say
		// "cancelled".
		return nil
	case <-timer.C:
		return fmt.Errorf("stopping %s: still running after %s", r.name, limit)
	}
}
