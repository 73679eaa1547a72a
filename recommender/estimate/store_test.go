package estimate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	testKey      = Key{"shop", "Deployment", "cart", "app"}
	testWorkload = testKey.Workload()
	t0           = time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
)

const mi = 1 << 20

// feed observes values a minute apart from a time on.
func feed(s *Store, pod string, from time.Time, milliCPU, memory []float64) time.Time {
	at := from
	for i := range max(len(milliCPU), len(memory)) {
		c, m := math.NaN(), math.NaN()
		if i < len(milliCPU) {
			c = milliCPU[i]
		}
		if i < len(memory) {
			m = memory[i]
		}
		at = from.Add(time.Duration(i) * time.Minute)
		s.Observe(testKey, pod, at, c, m)
	}
	return at
}

func flat(v float64, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// usageOf reads the usage of the test container by a policy.
func usageOf(t interface{ Fatal(...any) }, s *Store, p Policy) [resources]reading {
	w, sh := s.find(testWorkload)
	defer sh.mu.Unlock()
	if w == nil {
		t.Fatal("the workload is not known")
	}
	return s.read(sh, w.container(testKey.Container), &p)
}

func within(t testing.TB, what string, got, want, share float64) {
	t.Helper()
	if math.Abs(got-want) > share*want+1e-9 {
		t.Errorf("%s: got %v, want %v within %v%%", what, got, want, share*100)
	}
}

func TestAPercentileOfAnyLookbackIsWithinTheStatedErrorOfTheSamplesItCovers(t *testing.T) {
	s := NewStore(Options{})
	r := rand.New(rand.NewPCG(7, 7))
	var cpus []float64
	for i := range 7 * 24 * 60 {
		c, _ := load(r, 100, t0.Add(time.Duration(i)*time.Minute))
		cpus = append(cpus, c)
	}
	feed(s, "a", t0, cpus, nil)
	for _, lookback := range []time.Duration{2 * time.Hour, 7 * day} {
		for _, q := range []float64{1, 50, 90, 95, 99, 100} {
			p := DefaultPolicy()
			p.CPU.Lookback, p.CPU.Percentile = lookback, q
			got := usageOf(t, s, p)[cpu]
			covered := int(got.samples)
			if covered < int(lookback/time.Minute)-1 {
				t.Fatalf("lookback %s holds only %d samples", lookback, covered)
			}
			within(t, fmt.Sprintf("p%v of %s", q, lookback), got.value, exact(cpus[len(cpus)-covered:], q/100), RelativeError)
		}
	}
}

func TestALookbackIsNeverShorterThanAskedForAndLongerByAtMostItsResolution(t *testing.T) {
	s := NewStore(Options{})
	last := feed(s, "a", t0, flat(100, 8*24*60), nil)
	for lookback, most := range map[time.Duration]time.Duration{
		time.Hour: 2 * time.Hour, 3 * time.Hour: 5 * time.Hour, 12 * time.Hour: 19 * time.Hour, 3 * day: 5 * day, 7 * day: 8*day + time.Hour,
	} {
		p := DefaultPolicy()
		p.CPU.Lookback = lookback
		covered := time.Duration(usageOf(t, s, p)[cpu].samples) * time.Minute
		if covered < lookback || covered > most {
			t.Errorf("lookback %s at %s covers %s, want at most %s", lookback, last, covered, most)
		}
	}
}

func TestThePercentileIsTheAverageOfThePodsPercentiles(t *testing.T) {
	s := NewStore(Options{})
	feed(s, "quiet", t0, flat(100, 600), nil)
	feed(s, "busy", t0, flat(300, 600), nil)
	within(t, "average", usageOf(t, s, DefaultPolicy())[cpu].value, 200, RelativeError)
	p := DefaultPolicy()
	p.CPU.Pooled = true
	within(t, "pooled", usageOf(t, s, p)[cpu].value, 300, RelativeError)
	p = DefaultPolicy()
	p.CPU.Percentile = 100
	within(t, "p100 is the maximum over all pods", usageOf(t, s, p)[cpu].value, 300, 0.01)
}

func TestTheLargestPodCountsWhereItIsAskedFor(t *testing.T) {
	p := DefaultPolicy()
	p.CPU.Largest, p.CPU.Burst, p.Memory.Max, p.Memory.Largest = true, 0, false, true
	s := NewStore(Options{})
	for _, small := range []string{"a", "b", "c"} {
		feed(s, small, t0, flat(50, 600), flat(64*mi, 600))
	}
	end := feed(s, "large", t0, flat(900, 600), flat(640*mi, 600))
	u := usageOf(t, s, p)
	within(t, "cpu", u[cpu].value, 900, RelativeError)
	within(t, "memory", u[memory].value, 640*mi, RelativeError)
	feed(s, "starting", end, flat(4000, 10), nil)
	within(t, "cpu beside ten busy minutes of a new pod", usageOf(t, s, p)[cpu].value, 900, RelativeError)
	feed(s, "starting", end.Add(10*time.Minute), flat(4000, 20), nil)
	within(t, "cpu once the new pod has been busy for half an hour", usageOf(t, s, p)[cpu].value, 4000, RelativeError)
}

func TestAPodThatHasJustStartedDoesNotSwayTheAverage(t *testing.T) {
	s := NewStore(Options{})
	end := feed(s, "old", t0, flat(400, 24*60), nil)
	feed(s, "new", end, flat(4, 5), nil)
	if got := usageOf(t, s, DefaultPolicy())[cpu].value; got < 390 {
		t.Errorf("five idle minutes of a new pod brought the average from 400 to %v", got)
	}
}

func TestRolloutsDoNotGrowAWorkload(t *testing.T) {
	s := NewStore(Options{})
	at := t0
	for rollout := range 200 {
		for pod := range 3 {
			feed(s, fmt.Sprintf("pod-%d-%d", rollout, pod), at, flat(100, 30), flat(100*mi, 30))
		}
		at = at.Add(30 * time.Minute)
		if rollout%2 == 0 {
			for pod := range 3 {
				s.PodGone(testWorkload, fmt.Sprintf("pod-%d-%d", rollout, pod))
			}
		} else {
			at = at.Add(15 * time.Minute)
		}
	}
	if got := s.Stats().Seats; got != 3 {
		t.Errorf("200 rollouts of 3 replicas left %d seats", got)
	}
}

func TestASeriesStaysWithinItsBudgetWhateverTheSamples(t *testing.T) {
	s := NewStore(Options{})
	r := rand.New(rand.NewPCG(3, 9))
	peak := 0.0
	for i := range 20 * 24 * 60 {
		m := math.Exp(r.Float64()*12) * mi // everything from 1 MiB to 160 GiB
		if i > 14*24*60 {
			peak = max(peak, m)
		}
		s.Observe(testKey, "a", t0.Add(time.Duration(i)*time.Minute), math.Exp(r.Float64()*11), m)
	}
	w, sh := s.find(testWorkload)
	defer sh.mu.Unlock()
	// Two slices are the least there can be: the open hour and the rest. These samples fill every bin of both.
	if got := cap(w.containers[0].seats[0].data); got > 4*budgetPerSeat {
		t.Errorf("the series takes %d bytes", got)
	}
	p := DefaultPolicy()
	if got := s.read(sh, w.containers[0], &p)[memory].value; got < peak {
		t.Errorf("the peak of the lookback is %v, recommended from %v", peak, got)
	}
}

func TestAMillionContainersFitAGibibyte(t *testing.T) {
	if testing.Short() {
		t.Skip("eight days of samples take a while")
	}
	s := NewStore(Options{})
	const n = 20
	for i := range n {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		k := Key{"team-payments", "Deployment", fmt.Sprintf("service-%d", i), "app"}
		for m := range 8 * 24 * 60 {
			at := t0.Add(time.Duration(m) * time.Minute)
			c, mem := load(r, i*37, at)
			s.Observe(k, fmt.Sprintf("service-%d-7d9fbd6c4f-%05d", i, i), at, c, mem)
		}
	}
	// Two map entries at their average load come on top of what Stats counts.
	if got := s.Stats().Bytes/n + 2*26; got > 1024 {
		t.Errorf("a workload of one container takes %d bytes at 8 d", got)
	}
}

func TestObservingAllocatesNothing(t *testing.T) {
	s := NewStore(Options{})
	at := t0
	r := rand.New(rand.NewPCG(4, 4))
	one := func() {
		at = at.Add(time.Minute)
		c, m := load(r, 5, at)
		s.Observe(testKey, "a", at, c, m)
	}
	for range 3 * 24 * 60 {
		one()
	}
	if got := testing.AllocsPerRun(5000, one); got >= 1 {
		t.Errorf("%v allocations per sample", got)
	}
}

func TestSamplesOutOfOrderCountWhereTheyBelong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		minutes := rapid.SliceOfN(rapid.IntRange(0, 6*24*60), 1, 200).Draw(t, "minutes")
		s := NewStore(Options{})
		s.Observe(testKey, "a", t0.Add(6*day), 50, 50*mi)
		highest := 50.0
		for i, m := range minutes {
			v := float64(10 + i)
			highest = max(highest, v)
			s.Observe(testKey, "a", t0.Add(time.Duration(m)*time.Minute), v, math.NaN())
		}
		got := usageOf(t, s, DefaultPolicy())[cpu]
		if int(got.samples) != len(minutes)+1 {
			t.Fatalf("%d of %d samples are there", got.samples, len(minutes)+1)
		}
		if got.peak < highest || got.peak > highest*(1+RelativeError) {
			t.Fatalf("peak %v, want %v", got.peak, highest)
		}
	})
}

func TestSamplesOlderThanTheRetentionAreDropped(t *testing.T) {
	s := NewStore(Options{Retention: day})
	s.Observe(testKey, "a", t0.Add(40*day), 10, mi)
	s.Observe(testKey, "a", t0, 9000, mi)
	if got := s.Stats().Dropped; got != 1 {
		t.Errorf("%d samples dropped, want 1", got)
	}
	p := DefaultPolicy()
	if got := usageOf(t, s, p)[cpu].peak; got > 11 {
		t.Errorf("peak %v comes from a sample that is too old", got)
	}
}

func TestForgettingAWorkloadLeavesNothing(t *testing.T) {
	s := NewStore(Options{})
	feed(s, "a", t0, flat(1, 3), nil)
	if got := len(s.Workloads()); got != 1 {
		t.Fatalf("%d workloads", got)
	}
	s.Forget(testWorkload)
	if got := s.Stats(); got.Workloads+got.Seats+got.Containers != 0 {
		t.Errorf("left: %+v", got)
	}
	if _, ok := s.LastSample(testWorkload); ok {
		t.Error("a forgotten workload still has samples")
	}
}

func TestASeriesFindsItsPlaceAgain(t *testing.T) {
	s := NewStore(Options{})
	a := s.Series(testKey, "a")
	a.Observe(t0, 100, mi)
	s.Forget(testWorkload)
	a.Observe(t0.Add(time.Minute), 100, mi)
	if got := usageOf(t, s, DefaultPolicy())[cpu].samples; got != 1 {
		t.Errorf("%d samples after the workload was forgotten, want 1", got)
	}
	s.PodGone(testWorkload, "a")
	s.Observe(testKey, "b", t0.Add(2*time.Minute), 100, mi) // takes the seat
	a.Observe(t0.Add(3*time.Minute), 100, mi)
	s.Observe(testKey, "a", t0.Add(4*time.Minute), 100, mi)
	if got := s.Stats().Seats; got != 2 {
		t.Errorf("%d seats for two pods", got)
	}
	if got := usageOf(t, s, DefaultPolicy())[cpu].samples; got != 4 {
		t.Errorf("%d samples, want 4", got)
	}
}

func TestAStoreIsSafeForConcurrentUse(t *testing.T) {
	s := NewStore(Options{})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			pod := fmt.Sprint("pod-", g%2)
			series := s.Series(testKey, pod)
			for i := range 500 {
				at := t0.Add(time.Duration(i) * time.Minute)
				series.Observe(at, float64(i), mi)
				s.Observe(testKey, pod, at, float64(i), mi)
				switch i % 100 {
				case 10:
					s.OOM(testKey, Kill{Pod: pod, At: at}, DefaultPolicy().OOM)
				case 20:
					if _, err := s.Recommend(testWorkload, DefaultPolicy(), inputs(at, requests("1", "1Gi"))); err != nil {
						t.Error(err)
					}
				case 30:
					if h, ok := s.Snapshot(testWorkload); ok {
						if _, err := h.MarshalBinary(); err != nil {
							t.Error(err)
						}
					}
				case 40:
					s.Stats()
					s.PodGone(testWorkload, pod)
				}
			}
		})
	}
	all.Wait()
	if got := usageOf(t, s, DefaultPolicy())[cpu].samples; got != 4000 {
		t.Errorf("%d samples, want 4000", got)
	}
}
