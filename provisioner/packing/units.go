package packing

import "slices"

// unit is what is placed as a whole, count times: one pod of a class, or pods of
// several classes that pod affinity ties to one node.
type unit struct {
	parts []part
	size  int     // pods per copy
	pods  []int32 // size × count pod indices, copy by copy
	req   vec
	ports []hostPort
	// shared volumes count once per node, however many copies use them.
	shared []sharedVolume
	fits   bitset
	marks  []mark
	// penalty per slot in USD per hour, nil when there is none.
	penalty []float64
	keys    []string // label keys, other than the host name, that its rules are about
	banned  map[string]bool
}

type part struct {
	c *class
	n int
}

// mark is what one copy of a unit means to one per-node group.
type mark struct {
	group int
	match int32 // pods that the group counts
	own   bool  // owns the anti-affinity term
	limit int32 // most matches the node may hold; 0 means no limit
}

func newUnit(groups []*group, parts []part, pods []int32) *unit {
	u := &unit{parts: parts, pods: pods}
	for i, p := range parts {
		u.size += p.n
		u.ports = append(u.ports, p.c.ports...)
		for _, v := range p.c.shared {
			if !slices.Contains(u.shared, v) {
				u.shared = append(u.shared, v)
			}
		}
		if i == 0 {
			u.req = make(vec, len(p.c.req))
			u.fits = p.c.fits.clone()
		} else {
			u.fits.and(p.c.fits)
		}
		u.req.addN(p.c.req, int64(p.n))
		if p.c.penalty != nil {
			if u.penalty == nil {
				u.penalty = make([]float64, len(p.c.penalty))
			}
			for s, usd := range p.c.penalty {
				u.penalty[s] += usd * float64(p.n)
			}
		}
		u.rules(groups, p)
	}
	return u
}

func (u *unit) rules(groups []*group, p part) {
	t := &p.c.topology
	for _, g := range t.matches {
		if !u.about(groups[g]) {
			if m := u.mark(g); groups[g].kind != groupAffinity || groups[g].hostname {
				m.match += int32(p.n)
			}
		}
	}
	for _, g := range t.anti {
		if !u.about(groups[g]) {
			u.mark(g).own = true
		}
	}
	for i := range t.spread {
		r := &t.spread[i]
		if !u.about(groups[r.group]) {
			m := u.mark(r.group)
			if m.limit == 0 || r.maxSkew < m.limit {
				m.limit = r.maxSkew
			}
		}
	}
	if t.share.limit > 0 {
		m := u.mark(t.share.group)
		if m.limit == 0 || t.share.limit < m.limit {
			m.limit = t.share.limit
		}
	}
	for i := range t.hosts {
		if most := groups[t.hosts[i].group].limit; most > 0 {
			if m := u.mark(t.hosts[i].group); m.limit == 0 || most < m.limit {
				m.limit = most
			}
		}
	}
	for i := range t.soft {
		u.about(groups[t.soft[i].group])
	}
	for _, g := range t.affinity {
		u.about(groups[g])
	}
	for i := range t.prefer {
		u.about(groups[t.prefer[i].group])
	}
}

// about notes the key of a group that is not per node, and tells whether it was one.
func (u *unit) about(g *group) bool {
	if g.hostname {
		return false
	}
	if i, ok := slices.BinarySearch(u.keys, g.key); !ok {
		u.keys = slices.Insert(u.keys, i, g.key)
	}
	return true
}

func (u *unit) mark(g int) *mark {
	for i := range u.marks {
		if u.marks[i].group == g {
			return &u.marks[i]
		}
	}
	u.marks = append(u.marks, mark{group: g})
	return &u.marks[len(u.marks)-1]
}

// priority is that of the most urgent pods of a unit.
func (u *unit) priority() int32 {
	most := u.parts[0].c.priority
	for _, p := range u.parts[1:] {
		most = max(most, p.c.priority)
	}
	return most
}

// consistent tells whether the parts may share a node at all.
func (u *unit) consistent(groups []*group) bool {
	if u.size == 1 {
		return true
	}
	for i := range u.marks {
		m := &u.marks[i]
		if m.limit > 0 && m.match > m.limit {
			return false
		}
		if groups[m.group].kind == groupAnti && m.own && m.match > 0 {
			return false
		}
	}
	for i, a := range u.parts {
		if len(a.c.ports) > 0 && a.n > 1 || u.avoidsItself(i) {
			return false
		}
		for _, b := range u.parts[i+1:] {
			if portsConflict(a.c.ports, b.c.ports) {
				return false
			}
		}
	}
	return true
}

// avoidsItself tells whether part i avoids others of the unit, over any domain: one
// node is one domain.
func (u *unit) avoidsItself(i int) bool {
	for _, g := range u.parts[i].c.topology.anti {
		for k, other := range u.parts {
			if (k != i || other.n > 1) && slices.Contains(other.c.topology.matches, g) {
				return true
			}
		}
	}
	return false
}

// item is copies of a unit that are bound to one cell: the stuff of packing.
type item struct {
	u *unit
	// cell names the domains that the copies were counted in; nil when the
	// unit has no rules about domains.
	cell *cell
	// open are the slots of the cell by the unit's rules; slots those of the
	// best rank that is still to be had, existing nodes included.
	open, slots bitset
	pods        []int32
	// todo is the number of copies that no bin holds yet.
	todo  int
	index int // in assigner.items
	kind  int
	rank  int
}

// narrow sets slots to the existing nodes and the lowest rank above rank, and
// tells whether there is one.
func (it *item) narrow(t *slotTable, above int) bool {
	best := 0
	it.open.each(func(i int) bool {
		if r := t.all[i].rank; r > above && (best == 0 || r < best) {
			best = r
		}
		return i < t.first
	})
	it.rank = best
	it.slots = newBitset(len(t.all))
	it.open.each(func(i int) bool {
		if r := t.all[i].rank; r == 0 || r == best {
			it.slots.set(i)
		}
		return true
	})
	return best > 0
}
