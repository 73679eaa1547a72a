package usage

import (
	"math"
	"sync/atomic"
	"time"
)

// Counts of samples, for metrics.
type Counts struct {
	// Taken by the sink.
	Taken int64
	// Resets of a CPU counter: the container restarted.
	Resets int64
	// Stale values: the kubelet had not measured since the visit before.
	Stale int64
	// Skewed samples: the node's clock is off by more than two minutes; they are taken as of now.
	Skewed int64
	// Absurd values: not a number, negative or more than any machine has; they are left out.
	Absurd int64
}

// counters are Counts under way.
type counters struct{ taken, resets, stale, skewed, absurd atomic.Int64 }

func (c *counters) read() Counts {
	return Counts{
		Taken: c.taken.Load(), Resets: c.resets.Load(), Stale: c.stale.Load(),
		Skewed: c.skewed.Load(), Absurd: c.absurd.Load(),
	}
}

const (
	// minWindow and maxWindow bound the time that a rate is taken over: shorter ones amplify the jitter of measurement,
	// longer ones say nothing about load.
	minWindow = time.Second
	maxWindow = time.Hour
	// maxSkew of a node's clock before its samples are taken as of now.
	maxSkew = 2 * time.Minute
	// maxCores and maxBytes are more than any machine has.
	maxCores = 4096
	maxBytes = 1 << 47 // 128 TiB
)

// identity of a container of a pod.
type identity struct{ namespace, pod, container string }

// seen is what is remembered of a container between two samples.
type seen struct {
	cpuAt, memoryAt time.Time
	takenAt         time.Time // by our clock, when cpuAt was taken
	cpuSeconds      float64
	round           uint64
	place           *Place
}

// tracker turns the samples of one place, in the order of time, into usage.
type tracker struct {
	last   map[identity]seen
	counts *counters
	round  uint64
}

func newTracker(c *counters) *tracker { return &tracker{last: map[identity]seen{}, counts: c} }

// keepRounds is for how many rounds without a sample a container is remembered.
const keepRounds = 3

// prune forgets containers that are gone; it is called after each round.
func (t *tracker) prune() {
	t.round++
	for id, s := range t.last {
		if s.round+keepRounds < t.round {
			delete(t.last, id)
		}
	}
}

// stepped tells whether a node's clock was set between two measurements: it went back, or further ahead than ours did.
// taken is when the second was read, zero where nobody's clock ran along.
func (b seen) stepped(at, taken time.Time) bool {
	if b.cpuAt.IsZero() || taken.IsZero() {
		return false
	}
	moved := at.Sub(b.cpuAt)
	return moved < -maxSkew || moved > taken.Sub(b.takenAt)+maxSkew
}

// usage of a container since its sample before, read at a time by our clock; zero where it comes from a file. It is false
// where there is nothing new or right.
func (t *tracker) usage(s Sample, taken time.Time) (Usage, bool) {
	id := identity{s.Namespace, s.Pod, s.Container}
	before, known := t.last[id]
	now := before
	now.round = t.round
	if now.place == nil && !taken.IsZero() {
		now.place = &Place{}
	}
	u := Usage{Namespace: s.Namespace, Pod: s.Pod, Container: s.Container, MilliCPU: math.NaN(), MemoryBytes: math.NaN(), Place: now.place}
	if !s.CPUAt.IsZero() {
		switch {
		case !(s.CPUSeconds >= 0) || math.IsInf(s.CPUSeconds, 1) || s.Rated && !(s.Cores >= 0 && s.Cores <= maxCores):
			t.counts.absurd.Add(1)
		case before.stepped(s.CPUAt, taken):
			// Over which time the counter grew is not known: begin anew.
			now.cpuAt, now.cpuSeconds, now.takenAt = s.CPUAt, s.CPUSeconds, taken
			now.memoryAt = time.Time{}
			if s.Rated {
				u.MilliCPU, u.At = s.Cores*1000, s.CPUAt
			}
		case known && !before.cpuAt.IsZero() && s.CPUAt.Sub(before.cpuAt) < minWindow:
			t.counts.stale.Add(1)
		default:
			if s.Rated {
				u.MilliCPU = s.Cores * 1000
			} else {
				u.MilliCPU = t.rate(before, s)
			}
			u.At = s.CPUAt
			now.cpuAt, now.cpuSeconds, now.takenAt = s.CPUAt, s.CPUSeconds, taken
		}
	}
	if !s.MemoryAt.IsZero() {
		switch {
		case !(s.MemoryBytes >= 0 && s.MemoryBytes <= maxBytes):
			t.counts.absurd.Add(1)
		case known && !s.MemoryAt.After(now.memoryAt):
			t.counts.stale.Add(1)
		default:
			u.MemoryBytes = s.MemoryBytes
			u.At = later(u.At, s.MemoryAt)
			now.memoryAt = s.MemoryAt
		}
	}
	t.last[id] = now
	return u, !math.IsNaN(u.MilliCPU) || !math.IsNaN(u.MemoryBytes)
}

// rate of CPU since the sample before, in thousandths of a core; NaN where there is none.
func (t *tracker) rate(before seen, s Sample) float64 {
	window := s.CPUAt.Sub(before.cpuAt)
	if before.cpuAt.IsZero() || window > maxWindow {
		return math.NaN()
	}
	used := s.CPUSeconds - before.cpuSeconds
	if used < 0 {
		// When the container restarted is not known, hence not over which time the new count is.
		t.counts.resets.Add(1)
		return math.NaN()
	}
	cores := used / window.Seconds()
	if cores > maxCores {
		t.counts.absurd.Add(1)
		return math.NaN()
	}
	return cores * 1000
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
