package succession

import (
	"maps"
	"sync"
	"time"
)

// State is what became of a node that was to be given up.
type State int

const (
	// Gone: it is not there.
	Gone State = iota
	// Going: it is closed to pods, and its own are moved.
	Going
	// Stays: it is open to pods.
	Stays
)

// Departures remembers when nodes went, to tell whether plans still hold. The zero value is ready. It is safe for concurrent use.
type Departures struct {
	mu   sync.Mutex
	left map[string]time.Time
}

// Left notes that a node is gone. Where it is not told, a node counts as gone from when it was first looked for in vain.
func (d *Departures) Left(node string, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leftAt(node, now)
}

func (d *Departures) leftAt(node string, now time.Time) time.Time {
	if at, ok := d.left[node]; ok {
		return at
	}
	if d.left == nil {
		d.left = map[string]time.Time{}
	}
	maps.DeleteFunc(d.left, func(_ string, at time.Time) bool { return now.Sub(at) > MaxAge }) // no plan is older
	d.left[node] = now
	return now
}

// Holds says whether successors may still come to the places of a plan: a node of it is going, is to be closed any moment, or has
// just gone.
func (d *Departures) Holds(plan *Plan, now time.Time, state func(node string) State) bool {
	age := now.Sub(plan.Made.Time)
	if age >= MaxAge {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	holds := false
	for _, node := range plan.From { // each is looked at, so that it is known since when it is gone
		switch state(node) {
		case Going:
			holds = true
		case Stays:
			holds = holds || age < settle
		case Gone:
			holds = now.Sub(d.leftAt(node, now)) < linger || holds
		}
	}
	return holds
}
