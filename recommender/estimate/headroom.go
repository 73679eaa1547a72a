package estimate

import (
	"time"
)

// Burst headroom is what bursts are worth. A percentile treats a workload of 3m like one of 3 cores, though covering
// the bursts of the first costs next to nothing. So beyond percentile and overhead the request is raised as long as
// each further percent of the samples that it covers costs no more than the policy says: of all values v it takes the
// one for which worth·F(v) − v is greatest, F being the share of samples at or below v.
//
// Newcomer headroom is what little history is worth: that half an hour brings a new maximum is the likelier the fewer
// half hours have been seen.

// Newcomer is what a workload gets on top while little is known of it.
type Newcomer struct {
	// For is how long it is a newcomer since its first sample; 0: never.
	For time.Duration
	// MilliCPU is added to the CPU request.
	MilliCPU int64
	// MemoryBytes is the least distance of memory from its peak, where half the overhead again is not more, and
	// MinMemoryBytes the least memory; none of them leads to more than six times the peak.
	MemoryBytes, MinMemoryBytes int64
}

const (
	// newcomerOverhead is a newcomer's overhead on memory in those of others: what is a lot for a small container says
	// nothing about a large one.
	newcomerOverhead = 1.5
	// newcomerMost bounds a newcomer's memory in peaks: what uses 2 MiB has no use for 128.
	newcomerMost = 6
)

// newcomer tells whether little is known of a container.
func (c *container) newcomer(p *Policy) bool {
	return time.Duration(c.last-c.first)*time.Second < p.Newcomer.For
}

// burst is the value up to which covering more samples is worth its cost: each further percent of them costs its
// difference times factor, and no more than worth. It is never below the least, a percentile.
func (c *counts) burst(worth, factor, least float64, s *scale) float64 {
	// Counted from above: covering the samples of a bin is worth their share, and costs the way up to it.
	worthAll := worth * 100 / float64(c.total)
	best, bestValue := 0.0, 0.0
	above := uint64(0)
	for bin := c.hi; bin >= c.lo; bin-- {
		n := uint64(c.n[bin])
		if n == 0 {
			continue
		}
		v := min(s.middle(bin), s.at(c.top))
		// Of all gains only differences matter: samples left above are a loss.
		gain := -worthAll*float64(above) - v*factor
		if bestValue == 0 || gain > best {
			best, bestValue = gain, v
		}
		if v <= least {
			break
		}
		above += n
	}
	return max(bestValue, least)
}

// withNewcomer raises what a container needs while little is known of it, to most at most; 0: without limit.
func (p *Policy) withNewcomer(r int, c *container, v, peak float64, most int64, t *trail) float64 {
	n := &p.Newcomer
	raised := v + float64(n.MilliCPU)
	overhead := newcomerOverhead * p.Memory.Overhead
	if r == memory {
		distance := max(float64(n.MemoryBytes), overhead*peak)
		raised = max(v, min(max(peak+distance, float64(n.MinMemoryBytes)), newcomerMost*peak))
	}
	if most > 0 {
		raised = max(v, min(raised, float64(most)))
	}
	if t == nil || raised <= v {
		return raised
	}
	until := instant(c.first).Add(n.For).Format(time.RFC3339)
	switch r {
	case cpu:
		t.add(r, "Newcomer", raised, "up to %dm more in its first %s, until %s", n.MilliCPU, span(n.For), until)
	default:
		q, least := quantity(r, n.MemoryBytes), quantity(r, n.MinMemoryBytes)
		t.add(r, "Newcomer", raised, "at least %s or %s above the peak and at least %s, up to six times the peak, in its first %s, until %s",
			q.String(), percent(overhead), least.String(), span(n.For), until)
	}
	return raised
}
