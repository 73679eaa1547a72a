package packing

import "slices"

// bin is a node being filled: an existing one, or one to buy.
type bin struct {
	slot  int
	free  vec
	marks []binMark // ascending by group
	ports []hostPort
	load  []load
	// volumes with several users that are attached.
	volumes []int32
	// fixed bins are existing nodes.
	fixed bool
}

// load is copies of an item on a bin. Which pods they are is settled at the end:
// the copies of an item are interchangeable.
type load struct {
	it *item
	n  int
}

// binMark counts what one per-node group sees on a bin.
type binMark struct {
	group           int
	matched, owners int32
	limit           int32 // least limit of the owners; 0 means none
}

func newBin(t *slotTable, slot int) *bin {
	s := &t.all[slot]
	return &bin{slot: slot, free: s.free.clone(), ports: s.ports, volumes: slices.Clip(s.volumes), fixed: s.existing}
}

func (b *bin) at(g int) (int, bool) {
	return slices.BinarySearchFunc(b.marks, g, func(m binMark, g int) int { return m.group - g })
}

// room is how many copies of it may be added, at most limit.
func (b *bin) room(groups []*group, it *item, limit int) int {
	if limit <= 0 || !it.slots.has(b.slot) {
		return 0
	}
	return b.roomAnySlot(groups, it, limit)
}

// roomAnySlot is room for an item that the slot is known to suit.
func (b *bin) roomAnySlot(groups []*group, it *item, limit int) int {
	n := it.u.req.times(b.free, limit)
	if n == 0 {
		return 0
	}
	if len(it.u.ports) > 0 {
		if portsConflict(it.u.ports, b.ports) {
			return 0
		}
		n = 1
	}
	if len(it.u.shared) > 0 {
		if n = b.attach(it.u, n); n <= 0 {
			return 0
		}
	}
	for i := range it.u.marks {
		m := &it.u.marks[i]
		var cur binMark
		if k, ok := b.at(m.group); ok {
			cur = b.marks[k]
		}
		switch groups[m.group].kind {
		case groupAnti:
			if m.own && cur.matched > 0 || m.match > 0 && cur.owners > 0 {
				return 0
			}
			if m.own && m.match > 0 {
				n = 1
			}
		case groupSpread:
			most := cur.limit
			if m.limit > 0 && (most == 0 || m.limit < most) {
				most = m.limit
			}
			if most == 0 {
				continue
			}
			if m.match == 0 {
				if cur.matched > most {
					return 0
				}
				continue
			}
			n = min(n, int((most-cur.matched)/m.match))
		}
		if n <= 0 {
			return 0
		}
	}
	return n
}

// add puts n copies on the bin. It does not check.
func (b *bin) add(it *item, n int) {
	b.free.addN(it.u.req, -int64(n))
	if len(it.u.ports) > 0 {
		b.ports = append(slices.Clip(b.ports), it.u.ports...)
	}
	for _, v := range it.u.shared {
		if !slices.Contains(b.volumes, v.id) {
			b.volumes = append(slices.Clip(b.volumes), v.id)
			b.free[v.dim]--
		}
	}
	for i := range it.u.marks {
		m := &it.u.marks[i]
		k, ok := b.at(m.group)
		if !ok {
			b.marks = slices.Insert(b.marks, k, binMark{group: m.group})
		}
		cur := &b.marks[k]
		cur.matched += m.match * int32(n)
		if m.own {
			cur.owners += int32(n)
		}
		if m.limit > 0 && (cur.limit == 0 || m.limit < cur.limit) {
			cur.limit = m.limit
		}
	}
	for i := range b.load {
		if b.load[i].it == it {
			b.load[i].n += n
			return
		}
	}
	b.load = append(b.load, load{it: it, n: n})
}

// used is what the pods put on a bin take of it.
func (b *bin) used(width int) vec {
	v := make(vec, width)
	var seen []int32
	for i := range b.load {
		v.addN(b.load[i].it.u.req, int64(b.load[i].n))
		for _, s := range b.load[i].it.u.shared {
			if !slices.Contains(seen, s.id) {
				seen = append(seen, s.id)
				v[s.dim]++
			}
		}
	}
	return v
}

// holds tells whether another slot would hold what is on the bin. The rules
// among its pods do not depend on the slot; the host ports of daemons do. anyRank
// admits slots of pools and prices that the pods would not choose first.
func (b *bin) holds(s *slot, slot int, used vec, anyRank bool) bool {
	if !used.fits(s.free) {
		return false
	}
	for i := range b.load {
		it := b.load[i].it
		if !it.slots.has(slot) && !(anyRank && it.open.has(slot)) || len(it.u.ports) > 0 && portsConflict(it.u.ports, s.ports) {
			return false
		}
	}
	return true
}

// clone copies a bin so that the original may be restored.
func (b *bin) clone() *bin {
	out := *b
	out.free = b.free.clone()
	out.marks = slices.Clone(b.marks)
	out.load = slices.Clone(b.load)
	return &out
}

// copies counts the copies of units on a bin.
func (b *bin) copies() int {
	n := 0
	for i := range b.load {
		n += b.load[i].n
	}
	return n
}

// retarget moves a bin to another slot that holds what is on it.
func (b *bin) retarget(t *slotTable, slot int, used vec) {
	b.slot = slot
	b.free = t.all[slot].free.clone()
	b.free.sub(used)
	b.ports = t.all[slot].ports
	for i := range b.load {
		if len(b.load[i].it.u.ports) > 0 {
			b.ports = append(slices.Clip(b.ports), b.load[i].it.u.ports...)
		}
	}
}
