package estimate

import "math/bits"

// container is what is known of one container of a workload.
type container struct {
	name        string
	seats       []*seat
	hours       []uint64 // a bit for each hour of the retention: are there samples; a ring by hour since 1970
	first, last uint32   // times of the oldest and the newest sample in seconds since 1970; 0: none
	incidents   *incidents
	pattern     *pattern
}

// incidents are what most containers never have.
type incidents struct {
	extra     float64 // what kills added to the memory factor, as of extraAt
	extraAt   uint32
	kills     []killMark // counted ones, oldest first
	watermark uint32     // kills up to then are counted or too old to count
	floor     float64    // least memory after an eviction, until floorEnd
	floorEnd  uint32
	held      [resources]int64  // requests below which nothing goes until confidence is full: history was lost
	surge     [resources]uint32 // when the latest surge began; 0: there was none
}

type killMark struct {
	id uint64
	at uint32
}

func (c *container) incident() *incidents {
	if c.incidents == nil {
		c.incidents = &incidents{}
	}
	return c.incidents
}

// saw notes that there is a sample at a time.
func (c *container) saw(at uint32) {
	ring := uint32(len(c.hours) * 64)
	hour := hourOf(at)
	if c.last == 0 {
		c.first, c.last = at, at
	}
	if newest := hourOf(c.last); hour > newest {
		if hour-newest >= ring {
			clear(c.hours)
		} else {
			for h := newest + 1; h <= hour; h++ {
				c.hours[h%ring/64] &^= 1 << (h % 64)
			}
		}
	}
	c.first, c.last = min(c.first, at), max(c.last, at)
	if hourOf(c.last)-hour < ring {
		c.hours[hour%ring/64] |= 1 << (hour % 64)
	}
}

// coverage is the share of the hours up to the last sample that hold samples.
func (c *container) coverage(lookback uint32) float64 {
	ring := uint32(len(c.hours) * 64)
	want := min((lookback+secondsPerHour-1)/secondsPerHour, ring)
	if want == 0 || c.last == 0 {
		return 0
	}
	newest := hourOf(c.last)
	if want == ring {
		sum := 0
		for _, w := range c.hours {
			sum += bits.OnesCount64(w)
		}
		return float64(sum) / float64(ring)
	}
	sum := 0
	for h := newest - want + 1; h <= newest; h++ {
		if c.hours[h%ring/64]&(1<<(h%64)) != 0 {
			sum++
		}
	}
	return float64(sum) / float64(want)
}

// latest is the time that recommendations are reckoned from: the newest thing seen. While nothing is seen, time stands
// still, so that a source that fails lowers nothing.
func (c *container) latest() uint32 {
	if c.incidents == nil {
		return c.last
	}
	return max(c.last, c.incidents.extraAt)
}
