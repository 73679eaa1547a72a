package consolidation

import (
	"testing"
	"time"
)

func TestRestraint(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	// A round of consolidation: what the cluster costs and its pods demand, and what the moves made then promise.
	type round struct {
		after                  time.Duration
		cost, demand, promised float64
		wantHeldFor            time.Duration
		underway               bool
	}
	at := func(after time.Duration, cost, demand, promised float64, wantHeldFor time.Duration) round {
		return round{after: after, cost: cost, demand: demand, promised: promised, wantHeldFor: wantHeldFor}
	}
	underway := func(r round) round { r.underway = true; return r }
	for name, rounds := range map[string][]round{
		"nodes bought again when the last pods have moved are a failure, however long their drain takes": {
			at(0, 1.0, 10, 0.3, 0),
			underway(at(3*time.Minute, 0.7, 10, 0, 0)),
			at(3*time.Minute+20*time.Second, 0.7, 10, 0, 0),
			at(4*time.Minute, 1.0, 10, 0, time.Minute),
		},
		"pods that do not move for long do not put off the judgement for ever": {
			at(0, 1.0, 10, 0.3, 0),
			underway(at(9*time.Minute, 1.0, 10, 0, 0)),
			underway(at(10*time.Minute, 1.0, 10, 0, time.Minute)),
		},
		"a cost that falls with the demand does not end the doubling": {
			at(0, 1.0, 10, 0.1, 0),
			at(2*time.Minute, 1.0, 10, 0, time.Minute),
			at(3*time.Minute, 1.0, 10, 0.1, 0),
			at(5*time.Minute, 0.5, 5, 0, 0),
			at(6*time.Minute, 0.5, 5, 0.1, 0),
			at(8*time.Minute, 0.5, 5, 0, 2*time.Minute),
		},
		"savings that do not come about though demand falls are a failure": {
			at(0, 1.0, 10, 0.3, 0), at(2*time.Minute, 1.0, 5, 0, time.Minute),
		},
		"savings that come about hold nothing back": {
			at(0, 1.0, 10, 0.3, 0), at(time.Minute, 0.7, 10, 0.1, 0), at(3*time.Minute, 0.6, 10, 0.1, 0), at(6*time.Minute, 0.5, 10, 0, 0),
		},
		"a move that is undone again and again is made ever more rarely": {
			at(0, 1.0, 10, 0.1, 0),
			at(30*time.Second, 1.0, 10, 0.1, 0),
			at(2*time.Minute, 1.0, 10, 0, time.Minute),
			at(3*time.Minute, 1.0, 10, 0.1, 0),
			at(5*time.Minute, 1.0, 10, 0, 2*time.Minute),
			at(7*time.Minute, 1.0, 10, 0.1, 0),
			at(9*time.Minute, 1.0, 10, 0, 4*time.Minute),
		},
		"a success ends the doubling": {
			at(0, 1.0, 10, 0.1, 0),
			at(2*time.Minute, 1.0, 10, 0, time.Minute),
			at(3*time.Minute, 1.0, 10, 0.1, 0),
			at(5*time.Minute, 0.9, 10, 0.1, 0),
			at(7*time.Minute, 0.9, 10, 0, time.Minute),
		},
		"nodes bought because demand grew are no failure": {
			at(0, 1.0, 10, 0.3, 0), at(2*time.Minute, 1.5, 15, 0, 0),
		},
		"nodes that outlast a batch are no failure": {
			at(0, 1.0, 10, 0.3, 0), at(time.Minute, 1.5, 15, 0, 0), at(2*time.Minute, 1.5, 10, 0, 0),
		},
		"demand that wavers excuses nothing": {
			at(0, 1.0, 10, 0.3, 0), at(time.Minute, 1.0, 10.5, 0, 0), at(2*time.Minute, 1.0, 10, 0, time.Minute),
		},
		"moves are not judged before they can have ended": {
			at(0, 1.0, 10, 0.3, 0), at(119*time.Second, 1.2, 10, 0, 0),
		},
		"no hold is longer than an hour": {
			at(0, 1, 1, 1, 0),
			at(2*time.Minute, 1, 1, 0, time.Minute),
			at(1*time.Hour, 1, 1, 1, 0),
			at(2*time.Hour, 1, 1, 1, 2*time.Minute),
			at(3*time.Hour, 1, 1, 1, 4*time.Minute),
			at(4*time.Hour, 1, 1, 1, 8*time.Minute),
			at(5*time.Hour, 1, 1, 1, 16*time.Minute),
			at(6*time.Hour, 1, 1, 1, 32*time.Minute),
			at(7*time.Hour, 1, 1, 1, time.Hour),
			at(9*time.Hour, 1, 1, 1, time.Hour),
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r Restraint
			for _, in := range rounds {
				now := start.Add(in.after)
				until, held := r.Held(now, in.cost, in.demand, in.underway)
				got := time.Duration(0)
				if held {
					got = until.Sub(now)
				}
				if got != in.wantHeldFor {
					t.Errorf("after %s consolidation is held back for %s, want %s", in.after, got, in.wantHeldFor)
				}
				if in.promised > 0 {
					r.Moved(now, in.cost, in.demand, in.promised)
				}
			}
		})
	}
}
