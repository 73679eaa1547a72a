package estimate

import (
	"math"
	"time"
)

const (
	hoursPerWeek = 7 * 24
	// patternWeeks are remembered of each hour of the week.
	patternWeeks = 4
	// patternNeeds weeks have to be known of an hour before it counts.
	patternNeeds = 2
	// patternSamples are the least of an hour that say anything about it.
	patternSamples = 10
	// patternRecent is how far back usage counts beside the pattern, so that an unusual day is followed, too.
	patternRecent = time.Hour
)

// pattern is the percentile of CPU of each hour of the week, of all pods together, in the last four weeks. It takes
// 1.3 KiB, and only containers have one whose policy asks for it.
type pattern struct {
	next  uint32                             // the first hour since 1970 that is not in it
	weeks [hoursPerWeek][patternWeeks]uint16 // bins and one, the newest first; 0: not known
}

// Learn notes the hours that have ended in the patterns of a workload's containers. It is called at least every three
// hours, while the history still has each hour by itself; an hour that it misses is not known that week.
func (s *Store) Learn(w Workload, p *Policy) {
	if !p.CPU.Pattern {
		return
	}
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return
	}
	for _, c := range known.containers {
		s.learn(sh, c, p.CPU.Percentile/100)
	}
}

func (s *Store) learn(sh *shard, c *container, q float64) {
	newest := hourOf(c.last)
	if c.pattern == nil {
		c.pattern = &pattern{}
	}
	for h := max(c.pattern.next, newest-min(newest, 3)); h < newest; h++ {
		k := sh.scratch.counts[cpu]
		k.reset()
		for _, x := range c.seats {
			x.gatherHour(k, h)
		}
		if k.total < patternSamples {
			continue
		}
		bin := s.scales[cpu].position(k.percentile(q, s.scales[cpu])) >> fractionBits
		week := &c.pattern.weeks[h%hoursPerWeek]
		copy(week[1:], week[:])
		week[0] = uint16(min(bin+1, math.MaxUint16))
	}
	c.pattern.next = max(c.pattern.next, newest)
}

// gatherHour adds the CPU samples of one hour, where the history still has it by itself.
func (x *seat) gatherHour(k *counts, hour uint32) {
	end := uint32(0)
	for data := x.data; len(data) > 0; {
		s, rest, err := parseSlice(data, end)
		if err != nil {
			return // see replace: never seen, and what was read so far holds
		}
		end, data = s.end, rest
		if s.start == hour && s.end == hour+1 {
			if s.addTo(&[resources]*counts{cpu: k}) != nil {
				return
			}
		}
	}
	if x.hour == hour {
		x.pending(&[resources]*counts{cpu: k})
	}
}

// need is what this hour of the week and the next took before; false where too few weeks are known of either.
func (p *pattern) need(at uint32, s *scale) (value float64, weeks int, ok bool) {
	if p == nil {
		return 0, 0, false
	}
	weeks = patternWeeks
	for h := hourOf(at); h <= hourOf(at)+1; h++ {
		known := 0
		for _, bin := range p.weeks[h%hoursPerWeek] {
			if bin > 0 {
				known++
				value = max(value, s.middle(int(bin)-1))
			}
		}
		weeks = min(weeks, known)
	}
	return value, weeks, weeks >= patternNeeds
}
