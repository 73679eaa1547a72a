package packing

import "math"

// hostRule is a preference of a class not to share a node with its own kind: preferred
// pod anti-affinity, or a ScheduleAnyway constraint, over the host name.
type hostRule struct {
	group int
	// limit is how many pods of the group a node may hold without breaking it.
	limit int32
	// usd is what the rule is worth per pod that breaks it; each says that all pods on
	// a node break it when there are too many, not only those too many.
	usd  float64
	each bool
}

// broken is how many pods of a node break the rule.
func (r *hostRule) broken(matched int32) int32 {
	switch {
	case matched <= r.limit:
		return 0
	case r.each:
		return matched
	}
	return matched - r.limit
}

// hostRules counts what a plan breaks of such rules: the pods, and what the rules are
// worth in USD per hour.
func (s *solver) hostRules() (broken int, usd float64) {
	for _, b := range s.allBins() {
		for _, l := range b.load {
			for _, p := range l.it.u.parts {
				for i := range p.c.topology.hosts {
					r := &p.c.topology.hosts[i]
					k, ok := b.at(r.group)
					if !ok || b.marks[k].matched <= 0 {
						continue
					}
					share := float64(r.broken(b.marks[k].matched)) / float64(b.marks[k].matched)
					pods := float64(l.n*p.n) * share
					broken += int(math.Round(pods))
					usd += pods * r.usd
				}
			}
		}
	}
	return broken, usd
}

// hostCaps says how many pods of each group that such rules are about a node should
// hold: as many as the rules want where the nodes for that may be worth it, else as many
// as they would be if they were spread evenly over the nodes that the plan has anyway.
func (s *solver) hostCaps() map[int]int32 {
	type demand struct {
		pods, nodes int
		limit       int32
		usd         float64
	}
	groups := map[int]*demand{}
	for _, c := range s.c.classes {
		for i := range c.topology.hosts {
			r := &c.topology.hosts[i]
			d := groups[r.group]
			if d == nil {
				d = &demand{limit: r.limit}
				groups[r.group] = d
			}
			d.pods += len(c.pods)
			d.usd += r.usd * float64(len(c.pods))
			d.limit = min(d.limit, r.limit)
			d.nodes = max(d.nodes, s.nodesFor(c))
		}
	}
	cheapest := math.Inf(1)
	for i := range s.c.t.first {
		if sl := &s.c.t.all[i]; sl.priced {
			cheapest = min(cheapest, sl.cost)
		}
	}
	caps := make(map[int]int32, len(groups))
	for g, d := range groups {
		more := (d.pods+int(d.limit)-1)/int(d.limit) - d.nodes
		switch {
		case float64(more)*cheapest < d.usd:
			caps[g] = d.limit
		case d.nodes > 0:
			caps[g] = max(d.limit, int32((d.pods+d.nodes-1)/d.nodes))
		}
	}
	return caps
}

// nodesFor counts the nodes of the plan on which a class has pods or could have.
func (s *solver) nodesFor(c *class) int {
	n := 0
	for _, b := range s.allBins() {
		if c.fits.has(b.slot) && (len(b.load) > 0 || c.req.fits(b.free)) {
			n++
		}
	}
	return n
}

// capHosts makes the caps hard; nil lifts them.
func (c *compiled) capHosts(caps map[int]int32) {
	for i, g := range c.groups {
		g.limit = caps[i]
	}
}

// worthwhile tells whether a plan made to honour more preferred rules is as good as one
// that was not, counting what it costs more against what the rules are worth. At the same
// price it spreads pods more evenly.
func (p *Problem) worthwhile(a, than *Plan) bool {
	if o := p.compareUnplaced(a, than); o != 0 {
		return o < 0
	}
	return a.Stats.UnknownPrices <= than.Stats.UnknownPrices && p.price(a) < p.price(than)+1e-9
}
