package estimate

import (
	"cmp"
	"fmt"
	"slices"
)

// History is what is known of one workload, detached from the store, for a checkpoint.
type History struct {
	Workload   Workload
	containers []containerHistory
}

type containerHistory struct {
	name        string
	first, last uint32
	hours       []uint64
	incidents   *incidents
	pattern     *pattern
	seats       []seatHistory
}

type seatHistory struct {
	pod      string
	last     uint32
	released bool
	data     []byte
}

// Snapshot copies the history of a workload; false if there is none.
func (s *Store) Snapshot(w Workload) (History, bool) {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return History{}, false
	}
	h := History{Workload: known.Workload}
	for _, c := range known.containers {
		copied := containerHistory{name: c.name, first: c.first, last: c.last, hours: slices.Clone(c.hours), incidents: c.incidents.clone()}
		if c.pattern != nil {
			learnt := *c.pattern
			copied.pattern = &learnt
		}
		for _, x := range c.seats {
			x.flush(sh.scratch, s.retention)
			copied.seats = append(copied.seats, seatHistory{pod: x.pod, last: x.last, released: x.released, data: slices.Clone(x.data)})
		}
		h.containers = append(h.containers, copied)
	}
	return h, true
}

func (in *incidents) clone() *incidents {
	if in == nil {
		return nil
	}
	out := *in
	out.kills = slices.Clone(in.kills)
	return &out
}

// Restore puts a history into the store. It adds to what is there already: nothing known is lost by it. Samples that
// both the store and the history hold count twice, so a history is restored once, before or soon after the first
// samples arrive.
func (s *Store) Restore(h History) error {
	id := s.workloadID(h.Workload.Namespace, h.Workload.Kind, h.Workload.Name)
	sh := s.shardOf(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for _, from := range h.containers {
		k := Key{h.Workload.Namespace, h.Workload.Kind, h.Workload.Name, from.name}
		c := s.container(sh, id, k)
		c.restoreHours(from)
		c.restoreIncidents(from.incidents)
		if from.pattern != nil && (c.pattern == nil || c.pattern.next < from.pattern.next) {
			learnt := *from.pattern
			c.pattern = &learnt
		}
		for _, old := range from.seats {
			x := sh.seats[s.seatID(id, from.name, old.pod)]
			if x == nil {
				x = &seat{container: c, pod: old.pod, id: s.seatID(id, from.name, old.pod)}
				c.seats = append(c.seats, x)
				sh.seats[x.id] = x
			}
			x.flush(sh.scratch, s.retention)
			merged, err := sh.scratch.union(x.data, old.data)
			if err != nil {
				return fmt.Errorf("restoring history of %s %s/%s, container %q, %w",
					h.Workload.Kind, h.Workload.Namespace, h.Workload.Name, from.name, err)
			}
			merged, err = sh.scratch.compact(merged, hourOf(max(x.last, old.last))+1, s.retention, budget(s.retention)-reserve)
			x.replace(sh.scratch, merged, err)
			if old.last > x.last {
				x.last, x.released = old.last, old.released
			}
		}
	}
	return nil
}

func (c *container) restoreHours(from containerHistory) {
	if from.last == 0 {
		return
	}
	ring := uint32(len(from.hours) * 64)
	newest := hourOf(from.last)
	for h := newest - min(newest, ring) + 1; h <= newest; h++ {
		if from.hours[h%ring/64]&(1<<(h%64)) != 0 {
			c.saw(min(max(h*secondsPerHour, from.first), from.last))
		}
	}
	c.saw(from.last)
	c.first = min(c.first, from.first)
}

func (c *container) restoreIncidents(from *incidents) {
	if from == nil {
		return
	}
	in := c.incident()
	at := max(in.extraAt, from.extraAt)
	in.extra, in.extraAt = max(in.left(at), from.left(at)), at
	in.watermark = max(in.watermark, from.watermark)
	for _, k := range from.kills {
		if !slices.ContainsFunc(in.kills, func(m killMark) bool { return m.id == k.id }) {
			in.kills = append(in.kills, k)
		}
	}
	slices.SortFunc(in.kills, func(a, b killMark) int { return cmp.Compare(a.at, b.at) })
	if extra := len(in.kills) - maxKills; extra > 0 {
		in.watermark = max(in.watermark, in.kills[extra-1].at)
		in.kills = slices.Delete(in.kills, 0, extra)
	}
	in.floor, in.floorEnd = joinFloors(in.floor, in.floorEnd, from.floor, from.floorEnd)
	for r := range in.held {
		in.held[r] = max(in.held[r], from.held[r])
		in.surge[r] = max(in.surge[r], from.surge[r])
	}
}

// joinFloors of two evictions: the higher until the later ends, where they overlap; else the later, for the earlier is over.
func joinFloors(a float64, aEnd uint32, b float64, bEnd uint32) (floor float64, end uint32) {
	if aEnd < bEnd {
		a, aEnd, b, bEnd = b, bEnd, a, aEnd
	}
	if bEnd+evictionFloorFor < aEnd {
		return a, aEnd
	}
	return max(a, b), aEnd
}

// union joins two series; slices that overlap become one. The result is in memory of the scratch.
func (w *scratch) union(a, b []byte) ([]byte, error) {
	list, err := w.parse(a)
	if err != nil {
		return nil, err
	}
	all := slices.Clone(list)
	if list, err = w.parse(b); err != nil {
		return nil, err
	}
	all = append(all, list...)
	slices.SortFunc(all, func(a, b slice) int { return cmp.Compare(a.start, b.start) })
	out := w.bytes[0][:0]
	prevEnd := uint32(0)
	n := 0
	for i := 0; i < len(all); n++ {
		if n == maxSlices {
			return nil, errCorrupt
		}
		j, end := i+1, all[i].end
		for j < len(all) && all[j].start < end {
			end = max(end, all[j].end)
			j++
		}
		all[j-1].end = end
		if out, err = w.appendMerged(out, prevEnd, all[i:j]); err != nil {
			return nil, err
		}
		prevEnd = end
		i = j
	}
	w.bytes[0] = out
	return out, nil
}
