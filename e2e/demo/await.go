package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"supercargo.dev/e2e/demo/observe"
	"supercargo.dev/e2e/sandbox"
)

const (
	// look is between two looks when nothing happens.
	look = 250 * time.Millisecond
	// tailLines of a component's log go into the message of a wait that was in vain.
	tailLines = 12
)

// expectation is something to wait for.
type expectation struct {
	// what is awaited, to follow "waiting for".
	what string
	// limit of the wait.
	limit time.Duration
	// by is the component that is to bring it about.
	by string
	// met says whether it has come, and what there is instead.
	met func(observe.Snapshot) (ok bool, state string)
}

// await waits for something, at most as long as its limit, and returns the cluster as it was then. It fails at once where a
// component has ended.
func (s *story) await(ctx context.Context, e expectation) (observe.Snapshot, error) {
	timer, ticker := time.NewTimer(e.limit), time.NewTicker(look)
	defer timer.Stop()
	defer ticker.Stop()
	for {
		snapshot := s.observer.Snapshot()
		ok, state := e.met(snapshot)
		if ok {
			return snapshot, nil
		}
		if err := s.alive(); err != nil {
			return snapshot, fmt.Errorf("waiting for %s, %w", e.what, err)
		}
		select {
		case <-ctx.Done():
			return snapshot, ctx.Err()
		case <-timer.C:
			err := fmt.Errorf("waited %s for %s: %s", e.limit, e.what, state)
			if problem := s.observer.Err(); problem != nil {
				err = fmt.Errorf("%w\nthe observer has trouble: %w", err, problem)
			}
			if p := s.parts[e.by]; p != nil {
				err = fmt.Errorf("%w\nthe log of %s ends:\n%s", err, e.by, sandbox.Tail(p.Log(), tailLines))
			}
			return snapshot, err
		case <-s.observer.Changed():
		case <-ticker.C:
		}
	}
}

// alive fails where a component or the sandbox has ended.
func (s *story) alive() error {
	processes := []*sandbox.Process{s.box.Process()}
	for _, name := range sandbox.Components() {
		if p := s.parts[name]; p != nil {
			processes = append(processes, p)
		}
	}
	i := slices.IndexFunc(processes, func(p *sandbox.Process) bool {
		select {
		case <-p.Done():
			return true
		default:
			return false
		}
	})
	if i < 0 {
		return nil
	}
	return fmt.Errorf("%s has ended; its log ends:\n%s", processes[i].Name(), sandbox.Tail(processes[i].Log(), tailLines))
}

// settled is that every pod runs and no machine came or went for a while.
func settled(snapshot observe.Snapshot, pods int, quiet time.Duration) (ok bool, state string) {
	ok = snapshot.Pods.Total == pods && snapshot.Settled() && snapshot.Quiet >= quiet
	return ok, describe(snapshot) + fmt.Sprintf(", quiet for %s", snapshot.Quiet.Round(time.Second))
}

// describe is the state of the cluster in a line.
func describe(s observe.Snapshot) string {
	return fmt.Sprintf("%d of %d pods ready, %d without a node, %d leaving; %d nodes (%d spot), %d of them coming or going; $%.4f/h",
		s.Pods.Ready, s.Pods.Total, s.Pods.Pending, s.Pods.Leaving, len(s.Nodes), s.Spot(), s.NotReady(), s.Bill.PerHour)
}
