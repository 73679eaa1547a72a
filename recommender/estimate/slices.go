package estimate

import (
	"encoding/binary"
)

// A series is the history of a seat: slices of time, oldest first, each encoded as
//
//	uvarint hours since the end of the slice before (of the first: since 1970)
//	uvarint hours that it spans
//	section of CPU
//	section of memory
//
// Slices are an hour long at first and are merged with age, so that resolution in time is about proportional to age.
// Where a series would grow beyond its budget of bytes, more slices are merged: what is lost is when, never how much.

const (
	cpu       = 0
	memory    = 1
	resources = 2

	// maxSlices is more than the tiers leave of 31 d; a series that claims more is corrupt.
	maxSlices = 96
	// maxHour is in the year 2105, within 32 bits of seconds; a series that claims later is corrupt.
	maxHour = 135 * 8766
)

// tiers says how long a slice may become by the age of its end, in hours.
func tier(age uint32) uint32 {
	switch {
	case age < 4:
		return 1
	case age < 24:
		return 6
	default:
		return 24
	}
}

// slice is one slice of a series. Its sections are either encoded, in body, or none.
type slice struct {
	start, end uint32 // hours since 1970
	body       []byte // both sections
}

// parseSliceHead reads when the slice that follows one that ended at prevEnd was.
func parseSliceHead(b []byte, prevEnd uint32) (s slice, rest []byte, err error) {
	gap, n := binary.Uvarint(b)
	if n <= 0 || gap > maxHour {
		return s, nil, errCorrupt
	}
	b = b[n:]
	span, n := binary.Uvarint(b)
	if n <= 0 || span == 0 || span > maxHour {
		return s, nil, errCorrupt
	}
	b = b[n:]
	s.start = prevEnd + uint32(gap)
	s.end = s.start + uint32(span)
	if s.end > maxHour {
		return s, nil, errCorrupt
	}
	return s, b, nil
}

// parseSlice reads the slice that follows one that ended at prevEnd.
func parseSlice(b []byte, prevEnd uint32) (s slice, rest []byte, err error) {
	s, b, err = parseSliceHead(b, prevEnd)
	if err != nil {
		return s, nil, err
	}
	rest = b
	for range resources {
		if _, rest, err = parseSection(rest); err != nil {
			return s, nil, err
		}
	}
	s.body = b[:len(b)-len(rest)]
	return s, rest, nil
}

func appendSliceHead(b []byte, prevEnd uint32, s slice) []byte {
	b = binary.AppendUvarint(b, uint64(s.start-prevEnd))
	return binary.AppendUvarint(b, uint64(s.end-s.start))
}

// addTo adds the samples of a slice, of either resource whose counts are not nil.
func (s slice) addTo(c *[resources]*counts) error {
	b := s.body
	for r := range resources {
		head, rest, err := parseSection(b)
		if err != nil {
			return err
		}
		if c[r] != nil {
			if err := head.addTo(c[r]); err != nil {
				return err
			}
		}
		b = rest
	}
	return nil
}

// scratch is the working memory of a shard: with it, adding samples allocates nothing.
type scratch struct {
	counts [resources]*counts
	slices [maxSlices + 1]slice
	bytes  [2][]byte
}

func newScratch() *scratch {
	return &scratch{counts: [resources]*counts{newCounts(), newCounts()}}
}

func (w *scratch) reset() {
	for _, c := range w.counts {
		c.reset()
	}
}

// parse reads a whole series into the scratch slices.
func (w *scratch) parse(data []byte) ([]slice, error) {
	n, prevEnd := 0, uint32(0)
	for len(data) > 0 {
		if n == len(w.slices) {
			return nil, errCorrupt
		}
		s, rest, err := parseSlice(data, prevEnd)
		if err != nil {
			return nil, err
		}
		w.slices[n] = s
		prevEnd, data = s.end, rest
		n++
	}
	return w.slices[:n], nil
}

// insert adds the samples in w.counts, which are of one hour, wherever they belong in a series, and returns the series
// in memory of the scratch.
func (w *scratch) insert(data []byte, hour uint32) ([]byte, error) {
	list, err := w.parse(data)
	if err != nil {
		return nil, err
	}
	at := 0
	for at < len(list) && list[at].end <= hour {
		at++
	}
	into := slice{start: hour, end: hour + 1}
	tail := list[at:]
	if at < len(list) && list[at].start <= hour {
		into.start, into.end = list[at].start, list[at].end
		if err := list[at].addTo(&w.counts); err != nil {
			return nil, err
		}
		tail = list[at+1:]
	}
	out := w.bytes[0][:0]
	prevEnd := uint32(0)
	for _, s := range list[:at] {
		out = append(appendSliceHead(out, prevEnd, s), s.body...)
		prevEnd = s.end
	}
	out = appendSliceHead(out, prevEnd, into)
	for _, c := range w.counts {
		out = c.appendTo(out)
	}
	prevEnd = into.end
	for _, s := range tail {
		out = append(appendSliceHead(out, prevEnd, s), s.body...)
		prevEnd = s.end
	}
	w.bytes[0] = out
	return out, nil
}

// compact drops what is older than the retention, merges slices by their tier and then as many more as the budget
// demands, and returns the series in memory of the scratch. It overwrites w.counts.
func (w *scratch) compact(data []byte, now, retention uint32, budget int) ([]byte, error) {
	w.bytes[1] = append(w.bytes[1][:0], data...) // what merging reads, while it writes bytes[0]
	list, err := w.parse(w.bytes[1])
	if err != nil {
		return nil, err
	}
	for len(list) > 0 && list[0].end+retention < now {
		list = list[1:]
	}
	out := w.bytes[0][:0]
	prevEnd := uint32(0)
	for i := 0; i < len(list); {
		j := i + 1
		for j < len(list) {
			length := tier(now - min(now, list[j].end))
			if list[i].start/length != (list[j].end-1)/length {
				break
			}
			j++
		}
		if out, err = w.appendMerged(out, prevEnd, list[i:j]); err != nil {
			return nil, err
		}
		prevEnd = list[j-1].end
		i = j
	}
	w.bytes[0] = out
	for len(out) > budget {
		if list, err = w.parse(out); err != nil {
			return nil, err
		}
		pick := cheapest(list, now)
		if pick < 0 {
			break
		}
		merged := w.bytes[1][:0]
		prevEnd = 0
		for i := 0; i < len(list); i++ {
			group := list[i : i+1]
			if i == pick {
				group = list[i : i+2]
				i++
			}
			if merged, err = w.appendMerged(merged, prevEnd, group); err != nil {
				return nil, err
			}
			prevEnd = group[len(group)-1].end
		}
		w.bytes[0], w.bytes[1] = merged, out
		out = merged
	}
	return out, nil
}

// cheapest finds the neighbours whose merging loses the least resolution relative to their age, the open hour left out.
func cheapest(list []slice, now uint32) int {
	pick, least := -1, 0.0
	for i := 0; i+2 < len(list); i++ {
		span := float64(list[i+1].end - list[i].start)
		loss := span / float64(now-min(now, list[i].start)+1)
		if pick < 0 || loss < least {
			pick, least = i, loss
		}
	}
	return pick
}

func (w *scratch) appendMerged(out []byte, prevEnd uint32, group []slice) ([]byte, error) {
	whole := slice{start: group[0].start, end: group[len(group)-1].end}
	out = appendSliceHead(out, prevEnd, whole)
	if len(group) == 1 {
		return append(out, group[0].body...), nil
	}
	w.reset()
	for _, s := range group {
		if err := s.addTo(&w.counts); err != nil {
			return nil, err
		}
	}
	for _, c := range w.counts {
		out = c.appendTo(out)
	}
	return out, nil
}
