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
	}
	for name, rounds := range map[string][]round{
		"savings that come about hold nothing back": {
			{0, 1.0, 10, 0.3, 0}, {time.Minute, 0.7, 10, 0.1, 0}, {3 * time.Minute, 0.6, 10, 0.1, 0}, {6 * time.Minute, 0.5, 10, 0, 0},
		},
		"a move that is undone again and again is made ever more rarely": {
			{0, 1.0, 10, 0.1, 0},
			{30 * time.Second, 1.0, 10, 0.1, 0},
			{2 * time.Minute, 1.0, 10, 0, time.Minute},
			{3 * time.Minute, 1.0, 10, 0.1, 0},
			{5 * time.Minute, 1.0, 10, 0, 2 * time.Minute},
			{7 * time.Minute, 1.0, 10, 0.1, 0},
			{9 * time.Minute, 1.0, 10, 0, 4 * time.Minute},
		},
		"a success ends the doubling": {
			{0, 1.0, 10, 0.1, 0},
			{2 * time.Minute, 1.0, 10, 0, time.Minute},
			{3 * time.Minute, 1.0, 10, 0.1, 0},
			{5 * time.Minute, 0.9, 10, 0.1, 0},
			{7 * time.Minute, 0.9, 10, 0, time.Minute},
		},
		"nodes bought because demand grew are no failure": {
			{0, 1.0, 10, 0.3, 0}, {2 * time.Minute, 1.5, 15, 0, 0},
		},
		"moves are not judged before they can have ended": {
			{0, 1.0, 10, 0.3, 0}, {119 * time.Second, 1.2, 10, 0, 0},
		},
		"no hold is longer than an hour": {
			{0, 1, 1, 1, 0},
			{2 * time.Minute, 1, 1, 0, time.Minute},
			{1 * time.Hour, 1, 1, 1, 0},
			{2 * time.Hour, 1, 1, 1, 2 * time.Minute},
			{3 * time.Hour, 1, 1, 1, 4 * time.Minute},
			{4 * time.Hour, 1, 1, 1, 8 * time.Minute},
			{5 * time.Hour, 1, 1, 1, 16 * time.Minute},
			{6 * time.Hour, 1, 1, 1, 32 * time.Minute},
			{7 * time.Hour, 1, 1, 1, time.Hour},
			{9 * time.Hour, 1, 1, 1, time.Hour},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r Restraint
			for _, in := range rounds {
				now := start.Add(in.after)
				until, held := r.Held(now, in.cost, in.demand)
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
