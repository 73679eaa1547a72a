package packing

import (
	"context"
	"slices"
	"time"
)

// settle offers pods without a cell the domains again once nothing else waits to be
// packed, as kube-scheduler would see them: it counts the domains of eligible nodes
// that there are, not those of nodes that nobody buys.
func (s *solver) settle(ctx context.Context, clock *time.Time) {
	for range maxPackRounds {
		if ctx.Err() != nil || s.stats.TooDear || !s.dropVacant() || !s.again(s.takeStuck()) {
			return
		}
		s.lap(&s.stats.Construct, clock)
		s.pack(ctx, clock)
	}
}

// dropVacant forgets, for pods without a cell, the domains that have no node. Such a
// domain holds the least of the pods that a constraint counts, so the constraint would
// admit one more there: that the pods are not there means that something else keeps them
// out, such as a pod that they must not meet. Nor has any other pod opened it. It tells
// whether there were any.
func (s *solver) dropVacant() bool {
	dropped := false
	for _, st := range s.assign.stuck {
		for _, p := range st.u.parts {
			for i := range p.c.topology.spread {
				if r := &p.c.topology.spread[i]; !s.c.groups[r.group].hostname {
					dropped = r.keep(s.inhabited(s.c.groups[r.group])) || dropped
				}
			}
		}
	}
	return dropped
}

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
				dropped = r.keep(s.openDomains(c, g)) || dropped
			}
		}
	}
	return dropped
}

// keep forgets all other domains of a rule, and tells whether there were any.
func (r *spreadRule) keep(domains map[int32]bool) bool {
	before := len(r.domains)
	r.domains = slices.DeleteFunc(r.domains, func(v int32) bool { return !domains[v] })
	return len(r.domains) < before
}

// inhabited are the values of a group's key that have an eligible node.
func (s *solver) inhabited(g *group) map[int32]bool {
	of := s.c.t.byLabel(g.key).of
	out := map[int32]bool{}
	for _, b := range s.allBins() {
		if v := of[b.slot]; v >= 0 && g.counts(b.slot) {
			out[v] = true
		}
	}
	return out
}

// openDomains are the values of a group's key that have an eligible node, or may
// yet have one for a class.
func (s *solver) openDomains(c *class, g *group) map[int32]bool {
	of := s.c.t.byLabel(g.key).of
	open := s.inhabited(g)
	g.eligible.each(func(i int) bool {
		sl := &s.c.t.all[i]
		if v := of[i]; v >= 0 && !open[v] {
			open[v] = !sl.existing && c.opens.has(i) && s.c.t.pools[sl.pool].allows(s.c.typeOf(sl))
		}
		return true
	})
	return open
}
