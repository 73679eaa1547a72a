package succession_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/succession"
)

func TestAPlanHoldsAsLongAsSuccessorsMayCome(t *testing.T) {
	type states = map[string]succession.State
	for name, tc := range map[string]struct {
		states states // others are gone
		left   map[string]time.Duration
		age    time.Duration
		want   bool
	}{
		"a node is going":                        {states: states{"a": succession.Going}, age: 5 * time.Minute, want: true},
		"one is going, the other gone long ago":  {states: states{"a": succession.Going}, left: map[string]time.Duration{"b": 5 * time.Minute}, age: 6 * time.Minute, want: true},
		"they will be closed any moment":         {states: states{"a": succession.Stays, "b": succession.Stays}, age: 29 * time.Second, want: true},
		"they were not closed, or are open anew": {states: states{"a": succession.Stays, "b": succession.Stays}, age: 30 * time.Second},
		"the last has just gone":                 {left: map[string]time.Duration{"a": time.Minute, "b": 29 * time.Second}, age: 2 * time.Minute, want: true},
		"the last has gone":                      {left: map[string]time.Duration{"a": time.Minute, "b": 30 * time.Second}, age: 2 * time.Minute},
		"nobody knows when they went":            {age: 9 * time.Minute, want: true}, // from now on it is known
		"it is too old":                          {states: states{"a": succession.Going}, age: succession.MaxAge},
	} {
		t.Run(name, func(t *testing.T) {
			d := &succession.Departures{}
			for node, ago := range tc.left {
				d.Left(node, now.Add(-ago))
			}
			plan := &succession.Plan{Made: metav1.NewTime(now.Add(-tc.age)), From: []string{"a", "b"}}
			if got := d.Holds(plan, now, func(node string) succession.State { return tc.states[node] }); got != tc.want {
				t.Errorf("holds: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestANodeThatIsLookedForInVainIsGoneFromThenOn(t *testing.T) {
	d := &succession.Departures{}
	plan := &succession.Plan{Made: metav1.NewTime(now), From: []string{"a"}}
	gone := func(string) succession.State { return succession.Gone }
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{time.Minute, true}, {time.Minute + 29*time.Second, true}, {time.Minute + 30*time.Second, false}, {2 * time.Minute, false}} {
		if got := d.Holds(plan, now.Add(step.after), gone); got != step.want {
			t.Errorf("after %s it holds: %t, want %t", step.after, got, step.want)
		}
	}
}
