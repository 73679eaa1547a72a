package packing

import "slices"

// check recounts the domains from where pods really are, and takes out pods whose
// spread constraints do not hold. Assignment takes only steps that kube-scheduler
// could take, so that there is an order in which all constraints hold, but for three
// things: nodes bought for other pods may open domains in which it did not count
// the pods, pods that found no room may have left theirs, and pods may wait there
// still when time ran out. Only constraints to which that happened are checked.
func (s *solver) check() {
	for _, it := range s.assign.items {
		if it.todo > 0 && it.cell != nil {
			s.disturb(it.u)
		}
	}
	counts := s.recount()
	for again := true; again; {
		again = false
		for _, b := range s.allBins() {
			for li := range b.load {
				l := &b.load[li]
				for l.n > 0 && (s.broken(counts, b, l.it) || s.lonely(counts, b, l.it)) {
					s.evict(counts, b, li)
					again = true // its going may leave others alone
				}
			}
			b.load = slices.DeleteFunc(b.load, func(l load) bool { return l.n == 0 })
		}
	}
	s.bins = slices.DeleteFunc(s.bins, func(b *bin) bool { return len(b.load) == 0 })
}

func (s *solver) allBins() []*bin { return slices.Concat(s.c.existing, s.bins) }

// domainCounts are the matches of one group per value of its key; values that no
// eligible node carries are absent.
type domainCounts map[int32]int32

func (s *solver) recount() map[int]domainCounts {
	counts := map[int]domainCounts{}
	for gi, g := range s.c.groups {
		if g.hostname || g.kind == groupAnti {
			continue
		}
		of := s.c.t.byLabel(g.key).of
		d := domainCounts{}
		for _, b := range s.allBins() {
			if v := of[b.slot]; v >= 0 && g.counts(b.slot) {
				d[v] += 0
				if b.fixed {
					d[v] += s.c.residing(b.slot, gi)
				}
				for _, l := range b.load {
					d[v] += l.it.u.matched(gi) * int32(l.n)
				}
			}
		}
		counts[gi] = d
	}
	return counts
}

// matched is how many pods of one copy a group counts.
func (u *unit) matched(gi int) int32 {
	n := int32(0)
	for _, p := range u.parts {
		if slices.Contains(p.c.topology.matches, gi) {
			n += int32(p.n)
		}
	}
	return n
}

// broken tells whether a constraint of an item's pods fails on a bin.
func (s *solver) broken(counts map[int]domainCounts, b *bin, it *item) bool {
	for _, p := range it.u.parts {
		for i := range p.c.topology.spread {
			r := &p.c.topology.spread[i]
			g := s.c.groups[r.group]
			if g.hostname {
				continue
			}
			d := counts[r.group]
			if !s.disturbed[r.group] && r.knows(d) {
				continue
			}
			v := s.c.t.byLabel(g.key).of[b.slot]
			least, first := int32(0), true
			if len(d) >= int(r.minDomains) {
				for _, n := range d {
					if first || n < least {
						least, first = n, false
					}
				}
			}
			if d[v]-least > r.maxSkew {
				return true
			}
		}
	}
	return false
}

// knows tells whether the rule counted all the domains that there are.
func (r *spreadRule) knows(d domainCounts) bool {
	for v := range d {
		if _, ok := slices.BinarySearch(r.domains, v); !ok {
			return false
		}
	}
	return true
}

// evict takes one copy off a bin and reports its pods as unplaced.
func (s *solver) evict(counts map[int]domainCounts, b *bin, li int) {
	it := b.load[li].it
	b.load[li].n--
	pods := it.pods[len(it.pods)-it.u.size:]
	it.pods = it.pods[:len(it.pods)-it.u.size]
	s.assign.stuck = append(s.assign.stuck, stuck{it.u, pods})
	s.stats.Evicted += it.u.size
	s.disturb(it.u)
	for gi, d := range counts {
		if v := s.c.t.byLabel(s.c.groups[gi].key).of[b.slot]; v >= 0 && s.c.groups[gi].counts(b.slot) {
			d[v] -= it.u.matched(gi)
		}
	}
}

// counts tells whether pods on a slot count for the group.
func (g *group) counts(slot int) bool { return g.eligible == nil || g.eligible.has(slot) }

// disturb notes that pods of a unit are not where they were counted.
func (s *solver) disturb(u *unit) {
	for _, p := range u.parts {
		for _, g := range p.c.topology.matches {
			s.disturbed[g] = true
		}
	}
}

// lonely tells whether the pods that an item's pods must be with have all found no
// room.
func (s *solver) lonely(counts map[int]domainCounts, b *bin, it *item) bool {
	for i, p := range it.u.parts {
		for _, gi := range p.c.topology.affinity {
			g := s.c.groups[gi]
			if g.hostname || !s.disturbed[gi] {
				continue
			}
			self := int32(0)
			if slices.Contains(p.c.topology.matches, gi) {
				self = 1
			}
			d, total := counts[gi], int32(0)
			for _, n := range d {
				total += n
			}
			if d[s.c.t.byLabel(g.key).of[b.slot]] > self || self == 1 && total == 1 && p.c.topology.selfAffinity {
				continue
			}
			if it.u.size == 1 || it.u.lacks(g, i, gi) {
				return true
			}
		}
	}
	return false
}
