package estimate

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// bursty is usage of base with one minute of burst in each of so many.
func bursty(base, burst float64, every, minutes int) []float64 {
	out := flat(base, minutes)
	for i := every - 1; i < minutes; i += every {
		out[i] = burst
	}
	return out
}

func TestBurstsAreCoveredWhileTheyAreCheap(t *testing.T) {
	const minutes = 4 * 24 * 60
	for name, c := range map[string]struct {
		usage []float64
		worth int64
		want  float64 // before overhead
	}{
		"one minute in 50 of 5m more is worth 2 percent of 3m each":      {bursty(20, 25, 50, minutes), 3, 25},
		"one minute in 50 of 10m more is not":                            {bursty(20, 30, 50, minutes), 3, 20},
		"one minute in 50 of 10m more is, at 6m a percent":               {bursty(20, 30, 50, minutes), 6, 30},
		"a burst of 5m more once in a day is not":                        {bursty(20, 25, 1440, minutes), 3, 20},
		"of two bursts the near one is covered alone":                    {append(bursty(20, 24, 25, minutes/2), bursty(20, 500, 50, minutes/2)...), 3, 24},
		"bursts that the percentile covers change nothing":               {bursty(20, 200, 9, minutes), 3, 200},
		"turned off, nothing but the percentile counts":                  {bursty(20, 21, 50, minutes), 0, 20},
		"what is worth everything is the maximum":                        {bursty(20, 4000, 1440, minutes), 1 << 30, 4000},
		"a large workload is not raised for a percent of its own bursts": {bursty(2000, 2400, 50, minutes), 3, 2000},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			end := feed(s, "a", t0, c.usage, nil)
			p := DefaultPolicy()
			p.CPU.Overhead, p.CPU.Burst = 0, c.worth
			need := s.AppendNeeds(nil, testWorkload, &p, end)[0]
			within(t, "request", float64(need.MilliCPU), c.want, RelativeError+0.05)
		})
	}
}

func TestBurstsCountByPodOrOfAllPodsTogether(t *testing.T) {
	for name, c := range map[string]struct {
		pooled bool
		want   float64
	}{
		// One of two pods bursts in 4 minutes of 100, by 10m: worth 12m to it, and 6m where both count, at 3m a percent.
		"averaged over pods": {false, 25},
		"pooled":             {true, 20},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			feed(s, "quiet", t0, flat(20, 2*24*60), nil)
			end := feed(s, "bursty", t0, bursty(20, 30, 25, 2*24*60), nil)
			p := DefaultPolicy()
			p.CPU.Overhead, p.CPU.Burst, p.CPU.Pooled = 0, 3, c.pooled
			need := s.AppendNeeds(nil, testWorkload, &p, end)[0]
			within(t, "request", float64(need.MilliCPU), c.want, RelativeError+0.04)
		})
	}
}

func TestANewcomerGetsMoreUntilMoreIsKnownOfIt(t *testing.T) {
	for name, c := range map[string]struct {
		watched     time.Duration
		mem         float64
		cpu, memory float64
	}{
		"a small one in its first hours gets the least memory":       {7 * time.Hour, 30 * mi, 112, 128 * mi},
		"a tiny one gets no more than six times its peak":            {7 * time.Hour, 8 * mi, 112, 48 * mi},
		"a larger one in its first hours gets room above its peak":   {7 * time.Hour, 400 * mi, 112, 472 * mi},
		"a very large one gets half as much overhead again":          {7 * time.Hour, 2000 * mi, 112, 2300 * mi},
		"after eight hours there is no more than percentile and max": {8*time.Hour + 2*time.Minute, 400 * mi, 110, 440 * mi},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(Options{})
			n := int(c.watched / time.Minute)
			end := feed(s, "a", t0, flat(100, n), flat(c.mem, n))
			p := DefaultPolicy()
			need := s.AppendNeeds(nil, testWorkload, &p, end)[0]
			within(t, "cpu", float64(need.MilliCPU), c.cpu, RelativeError)
			within(t, "memory", float64(need.MemoryBytes), c.memory, 0.03)
		})
	}
}

func TestARequestIsNotRaisedBecauseItsWorkloadIsNew(t *testing.T) {
	s := NewStore(Options{})
	end := feed(s, "a", t0, flat(100, 60), flat(100*mi, 60))
	in := inputs(end, requests("115m", "120Mi"))
	if got := recommend(t, s, DefaultPolicy(), in); request1(got, corev1.ResourceMemory) != "120Mi" || request1(got, corev1.ResourceCPU) != "115m" {
		t.Errorf("requests of 115m and 120Mi became %v", got.Requests)
	}
	in.ByHand = true
	byHand := recommend(t, s, DefaultPolicy(), in).Requests[corev1.ResourceMemory]
	within(t, "memory by hand", float64(byHand.Value()), 172*mi, 0.01)
}
