package packing

import "slices"

// onlyWith tells whether a unit must join pods on a node that others provide.
func (u *unit) onlyWith(groups []*group) bool {
	for i := range u.parts {
		for _, gi := range u.parts[i].c.topology.affinity {
			if groups[gi].hostname && u.lacks(groups[gi], i, gi) {
				return true
			}
		}
	}
	return false
}

// lacks tells whether part i of a unit needs a match of an affinity group that
// the unit does not bring along: another part may be the match, and a pod may be
// its own when there is none anywhere yet.
func (u *unit) lacks(g *group, i, gi int) bool {
	for k := range u.parts {
		if k != i && slices.Contains(u.parts[k].c.topology.matches, gi) {
			return false
		}
	}
	return g.total > 0 || !u.parts[i].c.topology.selfAffinity
}

// allowed evaluates the hard rules about domains for one more copy in a cell.
func (a *assigner) allowed(u *unit, cl *cell) bool {
	for i, p := range u.parts {
		t := &p.c.topology
		for k := range t.spread {
			r := &t.spread[k]
			g := a.c.groups[r.group]
			if g.hostname {
				continue
			}
			v := a.value(u, cl, g)
			if v < 0 {
				return false
			}
			self := int32(0)
			if r.self {
				self = 1
			}
			if g.matched[v]+self-r.minimum(g) > r.maxSkew {
				return false
			}
		}
		for _, gi := range t.anti {
			if g := a.c.groups[gi]; !g.hostname {
				if v := a.value(u, cl, g); v >= 0 && (g.matched[v] > 0 || p.n > 1 && slices.Contains(t.matches, gi)) {
					return false
				}
			}
		}
		for _, gi := range t.matches {
			if g := a.c.groups[gi]; g.kind == groupAnti && !g.hostname {
				if v := a.value(u, cl, g); v >= 0 && g.owners[v] > 0 {
					return false
				}
			}
		}
		if !a.befriended(u, cl, i) {
			return false
		}
	}
	return true
}

// befriended evaluates required pod affinity: each term's domain holds a match,
// or no match exists anywhere and the pod is its own.
func (a *assigner) befriended(u *unit, cl *cell, part int) bool {
	t := &u.parts[part].c.topology
	if len(t.affinity) == 0 {
		return true
	}
	anywhere, here := false, true
	for _, gi := range t.affinity {
		g := a.c.groups[gi]
		if g.total > 0 {
			anywhere = true
		}
		if g.hostname {
			continue // seen to by bundling, and per bin
		}
		v := a.value(u, cl, g)
		if v < 0 {
			return false
		}
		if g.matched[v] == 0 {
			here = false
		}
	}
	if here {
		return true
	}
	if t.selfAffinity && !anywhere {
		return true
	}
	// A bundle may bring the match along with it.
	for _, gi := range t.affinity {
		g := a.c.groups[gi]
		if !g.hostname && g.matched[a.value(u, cl, g)] == 0 && u.lacks(g, part, gi) {
			return false
		}
	}
	return true
}

// value is the domain of a group's key in a cell; −1 when the label is absent.
func (a *assigner) value(u *unit, cl *cell, g *group) int32 {
	if k, ok := slices.BinarySearch(u.keys, g.key); ok {
		return cl.values[k]
	}
	return -1
}

// joins evaluates affinity over the host name against what is on a bin.
func (a *assigner) joins(u *unit, b *bin) bool {
	for i := range u.parts {
		for _, gi := range u.parts[i].c.topology.affinity {
			g := a.c.groups[gi]
			if !g.hostname || !u.lacks(g, i, gi) {
				continue
			}
			if k, ok := b.at(gi); !ok || b.marks[k].matched == 0 {
				return false
			}
		}
	}
	return true
}

// soft prices the soft rules that one more copy in a cell would break.
func (a *assigner) soft(u *unit, cl *cell) float64 {
	usd := 0.0
	for _, p := range u.parts {
		t := &p.c.topology
		for i := range t.soft {
			r := &t.soft[i]
			if g := a.c.groups[r.group]; !g.hostname {
				if v := a.value(u, cl, g); v >= 0 {
					usd += a.c.p.Options.PreferencePrice * float64(max(0, g.matched[v]+1-r.minimum(g)-r.maxSkew))
				}
			}
		}
		for i := range t.prefer {
			g := a.c.groups[t.prefer[i].group]
			if g.hostname {
				continue
			}
			v := a.value(u, cl, g)
			met := v >= 0 && g.matched[v] > 0
			if t.prefer[i].usd > 0 && !met {
				usd += t.prefer[i].usd
			}
			if t.prefer[i].usd < 0 && met {
				usd -= t.prefer[i].usd
			}
		}
	}
	return usd
}

// crowd breaks ties: pods with spread rules go where fewer of them are.
func (a *assigner) crowd(u *unit, cl *cell) int32 {
	n := int32(0)
	for _, p := range u.parts {
		for _, rules := range [2][]spreadRule{p.c.topology.spread, p.c.topology.soft} {
			for i := range rules {
				if g := a.c.groups[rules[i].group]; !g.hostname {
					if v := a.value(u, cl, g); v >= 0 {
						n += g.matched[v]
					}
				}
			}
		}
	}
	return n
}
