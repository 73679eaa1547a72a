package packing

import "slices"

// dropDomains forgets domains of spread constraints that have no node and where,
// by the pools' limits or minValues, none can be bought any more: they will not
// exist. It tells whether there were any.
func (s *solver) dropDomains() bool {
	dropped := false
	for _, c := range s.c.classes {
		for _, rules := range [2][]spreadRule{c.topology.spread, c.topology.soft} {
			for i := range rules {
				r := &rules[i]
				g := s.c.groups[r.group]
				if g.hostname {
					continue
				}
				open := s.openDomains(c, g)
				before := len(r.domains)
				r.domains = slices.DeleteFunc(r.domains, func(v int32) bool { return !open[v] })
				dropped = dropped || len(r.domains) < before
			}
		}
	}
	return dropped
}

// openDomains are the values of a group's key that have an eligible node, or may
// yet have one for a class.
func (s *solver) openDomains(c *class, g *group) map[int32]bool {
	of := s.c.t.byLabel(g.key).of
	open := map[int32]bool{}
	for _, b := range s.bins {
		if g.eligible.has(b.slot) {
			open[of[b.slot]] = true
		}
	}
	g.eligible.each(func(i int) bool {
		sl := &s.c.t.all[i]
		if v := of[i]; v >= 0 && !open[v] {
			open[v] = sl.existing || c.opens.has(i) && s.c.t.pools[sl.pool].allows(s.c.typeOf(sl))
		}
		return true
	})
	return open
}
