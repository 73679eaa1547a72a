package estimate

import (
	"fmt"
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestOOMKillsRaiseTheFactorAndItDecays(t *testing.T) {
	p := DefaultPolicy().OOM
	for name, c := range map[string]struct {
		left    float64
		applied bool
		want    float64
	}{
		"the first kill gives 1.2":                                        {0, true, 0.20},
		"a kill before the recommendation was applied gives 1.01":         {0, false, 0.01},
		"a kill before it was applied takes nothing away":                 {0.15, false, 0.15},
		"a repeated kill adds 0.20 to what is left: 1.05 becomes 1.25":    {0.05, true, 0.25},
		"the factor is at most 2.5":                                       {1.45, true, 1.5},
		"above a lowered maximum nothing is added and nothing is taken":   {1.8, true, 1.8},
		"a repeated kill at once gives 1.4 as nothing has worn off since": {0.20, true, 0.40},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.Raise(c.left, c.applied); math.Abs(got-c.want) > 1e-12 {
				t.Errorf("1+%v becomes 1+%v, want 1+%v", c.left, got, c.want)
			}
		})
	}
	for after, want := range map[time.Duration]float64{0: 0.2, 72 * time.Hour: 0.1, 144 * time.Hour: 0.05, 36 * time.Hour: 0.2 / math.Sqrt2} {
		if got := Decay(0.2, after); math.Abs(got-want) > 1e-12 {
			t.Errorf("after %s 0.2 is %v, want %v", after, got, want)
		}
	}
}

// memoryAfter is the memory request at a time, in MiB, of a container that uses 100 MiB all the time.
func memoryAfter(t *testing.T, s *Store, at time.Time) int64 {
	t.Helper()
	got := recommend(t, s, DefaultPolicy(), inputs(at, requests("", "100Mi")))
	q := got.Requests[corev1.ResourceMemory]
	return q.Value() / mi
}

func steady(s *Store) time.Time { return feed(s, "a", t0, nil, flat(100*mi, 4*24*60)) }

func TestMemoryFollowsKillsAndTheirDecay(t *testing.T) {
	s := NewStore(Options{})
	p := DefaultPolicy().OOM
	end := steady(s)
	base := memoryAfter(t, s, end)
	if base != 111 { // 100 MiB rounded up within its bin, plus 10%
		t.Fatalf("without kills memory is %dMi", base)
	}
	if !s.OOM(testKey, Kill{Pod: "a", At: end, Applied: true, ID: "containerd://1"}, p) {
		t.Fatal("the first kill is not new")
	}
	if got := memoryAfter(t, s, end); got != 133 {
		t.Errorf("after the kill memory is %dMi, want 111Mi x 1.2", got)
	}
	if s.OOM(testKey, Kill{Pod: "a", At: end, Applied: true, ID: "containerd://1"}, p) {
		t.Error("the same kill counts twice")
	}
	later := feed(s, "a", end, nil, flat(100*mi, 72*60+1))
	if got := memoryAfter(t, s, later); got != 122 {
		t.Errorf("72 h later memory is %dMi, want 111Mi x 1.1", got)
	}
	s.OOM(testKey, Kill{Pod: "a", At: later, Applied: true, ID: "containerd://2"}, p)
	if got := memoryAfter(t, s, later); got != 144 {
		t.Errorf("after another kill memory is %dMi, want 111Mi x 1.3", got)
	}
}

func TestAKillAtAKnownLimitCountsAsUsage(t *testing.T) {
	s := NewStore(Options{})
	end := steady(s)
	s.OOM(testKey, Kill{Pod: "a", At: end, MemoryBytes: 256 * mi}, DefaultPolicy().OOM)
	if got := memoryAfter(t, s, end); got < 256*11/10 {
		t.Errorf("after a kill at 256Mi memory is %dMi", got)
	}
}

func TestAFreshContainerThatIsKilledIsRaised(t *testing.T) {
	s := NewStore(Options{})
	s.OOM(testKey, Kill{Pod: "a", At: t0, Applied: true, MemoryBytes: 100 * mi}, DefaultPolicy().OOM)
	if got := memoryAfter(t, s, t0); got != 133 {
		t.Errorf("a container killed at its first breath gets %dMi, want 100Mi x 1.1 x 1.2", got)
	}
}

func TestAKillWithoutAnyKnownMemoryRaisesTheCurrentRequest(t *testing.T) {
	s := NewStore(Options{})
	s.OOM(testKey, Kill{Pod: "a", At: t0, Applied: true}, DefaultPolicy().OOM)
	if got := memoryAfter(t, s, t0); got != 120 {
		t.Errorf("got %dMi, want the current 100Mi x 1.2", got)
	}
}

func TestEachKillCountsOnceAcrossRestartsHoweverMany(t *testing.T) {
	s := NewStore(Options{})
	p := OOM{Step: 0.001, Max: 100}
	kill := func(i int) Kill {
		return Kill{Pod: "a", At: t0.Add(time.Duration(i) * time.Minute), Applied: true, ID: fmt.Sprint(i)}
	}
	for i := range 200 {
		if !s.OOM(testKey, kill(i), p) {
			t.Fatalf("kill %d is not new", i)
		}
	}
	h, _ := s.Snapshot(testWorkload)
	b, err := h.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var read History
	if err := read.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	restarted := NewStore(Options{})
	if err := restarted.Restore(read); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if restarted.OOM(testKey, kill(i), p) {
			t.Fatalf("kill %d counts again after a restart", i)
		}
	}
	if !restarted.OOM(testKey, kill(200), p) {
		t.Error("a new kill does not count after a restart")
	}
}

func TestAnEvictionUnderMemoryPressureHoldsMemoryForEightHours(t *testing.T) {
	s := NewStore(Options{})
	end := steady(s)
	s.Evicted(testKey, end, 200*mi)
	if got := memoryAfter(t, s, end.Add(time.Minute)); got != 220 {
		t.Errorf("after the eviction memory is %dMi, want 200Mi + 10%%", got)
	}
	feed(s, "a", end, nil, flat(100*mi, 8*60+1))
	if got := memoryAfter(t, s, end.Add(8*time.Hour-time.Minute)); got != 220 {
		t.Errorf("just before 8 h memory is %dMi", got)
	}
	if got := memoryAfter(t, s, end.Add(8*time.Hour)); got != 111 {
		t.Errorf("after 8 h memory is %dMi", got)
	}
	s.Evicted(testKey, end, math.NaN())
	s.Evicted(testKey, end, 0)
	if got := memoryAfter(t, s, end.Add(8*time.Hour)); got != 111 {
		t.Errorf("an eviction of which no usage is known changed memory to %dMi", got)
	}
}

func TestAnEvictedPodThatLiesAroundCountsOnce(t *testing.T) {
	s := NewStore(Options{})
	at := func(hours float64) time.Time { return t0.Add(time.Duration(hours * float64(time.Hour))) }
	for i, c := range []struct {
		hours, bytes float64
		want         bool
	}{
		{0, 600 * mi, true},
		{0, 600 * mi, false},  // seen again
		{1, 300 * mi, true},   // longer
		{0, 600 * mi, false},  // seen again
		{2, 700 * mi, true},   // more
		{20, 100 * mi, true},  // all before is over
		{2, 700 * mi, false},  // still there
		{1, 300 * mi, false},  // still there
		{20, 100 * mi, false}, // seen again
	} {
		if got := s.Evicted(testKey, at(c.hours), c.bytes); got != c.want {
			t.Errorf("step %d: new %v, want %v", i, got, c.want)
		}
	}
	s.Observe(testKey, "a", at(21), 10, 50*mi)
	p := DefaultPolicy()
	p.Newcomer = Newcomer{}
	within(t, "memory", float64(s.AppendNeeds(nil, testWorkload, &p, at(21))[0].MemoryBytes), 110*mi, 0.02)
}

func TestAnEvictionThatWasOverIsNotBroughtBackByACheckpoint(t *testing.T) {
	for name, c := range map[string]struct {
		between time.Duration // from the eviction in the checkpoint to that in the store
		want    int64         // MiB, before overhead
	}{
		"of two that overlap the higher holds":       {4 * time.Hour, 900},
		"an earlier one that was over is over":       {9 * time.Hour, 300},
		"a later one in the checkpoint holds alone":  {-9 * time.Hour, 900},
		"also where it is later and the two overlap": {-4 * time.Hour, 900},
	} {
		t.Run(name, func(t *testing.T) {
			saved := NewStore(Options{})
			end := steady(saved)
			saved.Evicted(testKey, end, 900*mi)
			h, _ := saved.Snapshot(testWorkload)
			s := NewStore(Options{})
			later := end.Add(c.between)
			s.Evicted(testKey, later, 300*mi)
			if err := s.Restore(h); err != nil {
				t.Fatal(err)
			}
			last := end
			if later.After(end) {
				last = feed(s, "a", end, nil, flat(100*mi, int(c.between/time.Minute)+1))
			}
			if got, want := memoryAfter(t, s, last), c.want*11/10; got != want {
				t.Errorf("memory is %dMi, want %dMi", got, want)
			}
		})
	}
}
