package estimate

import (
	"time"

	"supercargo.dev/api/v1alpha1"
)

// reading is the usage of one resource of a container over a lookback.
type reading struct {
	value   float64 // by the function of the rule
	burst   float64 // up to where covering more samples is worth its cost; 0: no further than value
	peak    float64 // the highest sample; never understated
	mean    float64
	samples uint64
	surge   *Rule   // the rule that the value is by, in a surge; nil: there is none
	pattern float64 // the value by the hour of the week, of so many weeks; 0: not known, or not asked for
	weeks   int
}

// usage of both resources over their lookbacks; of one that surges, or follows a pattern, what that calls for. The shard
// is locked.
func (s *Store) usage(sh *shard, c *container, p *Policy, now uint32) (out [resources]reading) {
	out = s.read(sh, c, p)
	if hastened := p.hastened(c); hastened != nil {
		surged := s.read(sh, c, hastened)
		for r := range resources {
			if c.surging(p, r) && surged[r].value > out[r].value {
				out[r].value, out[r].burst = surged[r].value, max(out[r].burst, surged[r].burst)
				out[r].surge = hastened.rule(r)
			}
		}
	}
	if p.CPU.Pattern && out[cpu].samples > 0 {
		if value, weeks, ok := c.pattern.need(min(now, c.latest()), s.scales[cpu]); ok {
			recent := *p
			recent.CPU.Lookback = patternRecent
			out[cpu].pattern, out[cpu].weeks = max(value, s.read(sh, c, &recent)[cpu].value), weeks
			out[cpu].value, out[cpu].burst = out[cpu].pattern, 0
		}
	}
	return out
}

// read computes the usage of both resources over their lookbacks. The shard is locked.
func (s *Store) read(sh *shard, c *container, p *Policy) (out [resources]reading) {
	rules := [resources]*Rule{cpu: &p.CPU, memory: &p.Memory}
	latest := c.latest()
	var from [resources]uint32
	for r, rule := range rules {
		from[r] = latest - min(latest, uint32(rule.Lookback/time.Second))
	}
	w := sh.scratch
	w.reset()
	var weighted, mean, burst [resources]float64
	var largest [resources]struct {
		value, burst float64
		sure         bool
	}
	newcomer := c.newcomer(p)
	for _, x := range c.seats {
		for r, rule := range rules {
			if !rule.Pooled {
				w.counts[r].reset()
			}
		}
		x.gather(&w.counts, from)
		for r, rule := range rules {
			k := w.counts[r]
			if rule.Pooled || k.total == 0 {
				continue
			}
			// A pod counts by how long it was watched: one that has just started sways nothing. Among pods that were
			// watched equally long it is their plain average.
			n := float64(k.total)
			out[r].samples += k.total
			out[r].peak = max(out[r].peak, s.scales[r].at(k.top))
			value, covered := k.percentile(rule.Percentile/100, s.scales[r]), 0.0
			if rule.Burst > 0 {
				covered = k.burst(p.worth(r, newcomer), 1+rule.Overhead, value, s.scales[r])
			}
			weighted[r] += n * value
			burst[r] += n * covered
			// Of fewer samples than this the percentile is the highest: beside others a pod that has just started must not sway everything.
			sure := n*(100-rule.Percentile) >= 100
			if l := &largest[r]; sure && !l.sure || sure == l.sure && value > l.value {
				l.value, l.burst, l.sure = value, covered, sure
			}
			mean[r] += n * k.mean(s.scales[r])
		}
	}
	for r, rule := range rules {
		o := &out[r]
		if rule.Pooled {
			k := w.counts[r]
			if k.total == 0 {
				continue
			}
			o.samples, o.peak, o.mean = k.total, s.scales[r].at(k.top), k.mean(s.scales[r])
			o.value = k.percentile(rule.Percentile/100, s.scales[r])
			if rule.Burst > 0 {
				o.burst = k.burst(p.worth(r, newcomer), 1+rule.Overhead, o.value, s.scales[r])
			}
		} else if o.samples > 0 {
			o.mean = mean[r] / float64(o.samples)
			o.value = weighted[r] / float64(o.samples)
			o.burst = burst[r] / float64(o.samples)
			if rule.Largest {
				o.value, o.burst = largest[r].value, largest[r].burst
			}
		}
		if rule.Max || rule.Percentile >= 100 {
			o.value, o.burst = o.peak, 0
		}
	}
	return out
}

// gather adds the samples since a time to the counts of each resource. A slice that reaches into the lookback counts
// whole: a lookback is never shorter than asked for.
func (x *seat) gather(c *[resources]*counts, from [resources]uint32) {
	end := uint32(0)
	for data := x.data; len(data) > 0; {
		s, rest, err := parseSliceHead(data, end)
		if err != nil {
			return // see replace: never seen, and what was read so far holds
		}
		end, data = s.end, rest
		for r := range resources {
			var head section
			if head, data, err = parseSection(data); err != nil {
				return
			}
			if end*secondsPerHour > from[r] && head.addTo(c[r]) != nil {
				return
			}
		}
	}
	wanted := *c
	for r := range resources {
		if (x.hour+1)*secondsPerHour <= from[r] {
			wanted[r] = nil
		}
	}
	x.pending(&wanted)
}

func (c *container) confidence(p *Policy) v1alpha1.Confidence {
	watched := time.Duration(c.last-c.first) * time.Second
	lookback := max(p.CPU.Lookback, p.Memory.Lookback)
	coverage := c.coverage(uint32(lookback / time.Second))
	level := v1alpha1.ConfidenceLow
	if watched >= p.MinWatched && coverage >= p.Coverage {
		level = v1alpha1.ConfidenceFull
	}
	out := v1alpha1.Confidence{Level: level, CoveragePercent: int32(coverage * 100)}
	out.Watched.Duration = watched
	return out
}

// Need is what one container needs by usage and policy alone: percentile, overhead, burst and newcomer headroom, OOM
// kills, evictions and bounds.
// Confidence, history that was lost, and LimitRanges, which are about the change and not the need, are left out.
type Need struct {
	Container string
	// MilliCPU and MemoryBytes are 0 where there is no usage.
	MilliCPU, MemoryBytes int64
	// MeanMilliCPU and MeanMemoryBytes are the mean usage of one pod over the lookback.
	MeanMilliCPU, MeanMemoryBytes float64
	Confidence                    v1alpha1.ConfidenceLevel
}

// AppendNeeds appends what the containers of a workload need now.
func (s *Store) AppendNeeds(dst []Need, w Workload, p *Policy, now time.Time) []Need {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return dst
	}
	for _, c := range known.containers {
		usage := s.usage(sh, c, p, seconds(now))
		n := Need{
			Container: c.name, MeanMilliCPU: usage[cpu].mean, MeanMemoryBytes: usage[memory].mean,
			Confidence: c.confidence(p).Level,
		}
		var value [resources]int64
		for r := range resources {
			if usage[r].samples > 0 {
				value[r] = p.demand(r, c, usage[r], 0, now, nil)
			}
		}
		n.MilliCPU, n.MemoryBytes = value[cpu], value[memory]
		dst = append(dst, n)
	}
	return dst
}
