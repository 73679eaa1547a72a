package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestARateAllowsItsBurstAndThenOnePerPeriod(t *testing.T) {
	r := Rate{Every: time.Minute, Burst: 3}
	var b Bucket
	now := t0
	for i := range 3 {
		var ok bool
		if b, _, ok = b.Take(r, now); !ok {
			t.Fatalf("change %d of a burst of 3 is refused", i+1)
		}
	}
	_, wait, ok := b.Take(r, now)
	if ok || wait != time.Minute {
		t.Fatalf("the fourth at once: %v, wait %s", ok, wait)
	}
	if b, _, ok = b.Take(r, now.Add(time.Minute)); !ok {
		t.Fatal("a minute later none is allowed")
	}
	if _, _, ok = b.Take(r, now.Add(time.Minute)); ok {
		t.Fatal("a minute later two are allowed")
	}
}

func TestARateSurvivesARestart(t *testing.T) {
	var before Limits
	global, own := Rate{Every: time.Minute, Burst: 2}, Rate{Every: time.Hour, Burst: 1}
	if _, ok := before.Take("a", global, own, t0); !ok {
		t.Fatal("the first change is refused")
	}
	text, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	var after Limits
	if err := json.Unmarshal(text, &after); err != nil {
		t.Fatal(err)
	}
	if wait, ok := after.Take("a", global, own, t0.Add(time.Minute)); ok || wait != 59*time.Minute {
		t.Errorf("the workload changes again: %v, wait %s", ok, wait)
	}
	if _, ok := after.Take("b", global, own, t0.Add(time.Minute)); !ok {
		t.Error("another workload may not change")
	}
}

func TestARefusalSpendsNothing(t *testing.T) {
	var l Limits
	global, own := Rate{Every: time.Minute, Burst: 1}, Rate{Every: time.Hour, Burst: 1}
	l.Take("a", global, own, t0)
	before, _ := json.Marshal(l)
	if _, ok := l.Take("b", global, own, t0); ok {
		t.Fatal("two changes in one minute")
	}
	after, _ := json.Marshal(l)
	if d := cmp.Diff(string(before), string(after)); d != "" {
		t.Error(d)
	}
}

func TestBucketsThatAreFullAgainAreForgotten(t *testing.T) {
	var l Limits
	own := Rate{Every: time.Minute, Burst: 1}
	for _, w := range []string{"a", "b", "c"} {
		l.Take(w, Rate{}, own, t0)
	}
	l.Take("d", Rate{}, own, t0.Add(time.Hour))
	if len(l.Workloads) != 1 {
		t.Errorf("%d buckets are kept", len(l.Workloads))
	}
}

func TestAStateFromTheFutureDoesNotBlockForEver(t *testing.T) {
	b := Bucket{TAT: t0.Add(1000 * time.Hour)}
	if _, wait, ok := b.Take(Rate{Every: time.Minute, Burst: 2}, t0); !ok {
		t.Errorf("blocked for %s", wait)
	}
}

func TestNoWindowHoldsMoreThanTheRateAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Every: time.Duration(rapid.IntRange(1, 100).Draw(t, "every")) * time.Second, Burst: rapid.IntRange(1, 5).Draw(t, "burst")}
		now := t0
		var b Bucket
		var taken []time.Time
		for _, gap := range rapid.SliceOfN(rapid.IntRange(0, 60), 1, 100).Draw(t, "gaps") {
			now = now.Add(time.Duration(gap) * time.Second)
			after, wait, ok := b.Take(r, now)
			if !ok {
				if _, _, then := b.Take(r, now.Add(wait)); !then {
					t.Fatalf("refused again after waiting the %s that were asked for", wait)
				}
				continue
			}
			b = after
			taken = append(taken, now)
		}
		for i, from := range taken {
			for j := i; j < len(taken); j++ {
				most := r.Burst + int(taken[j].Sub(from)/r.Every)
				if n := j - i + 1; n > most {
					t.Fatalf("%d changes within %s, at most %d are allowed", n, taken[j].Sub(from), most)
				}
			}
		}
	})
}
