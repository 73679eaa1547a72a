package packing

import (
	"cmp"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// tooLarge tells whether a type is over the cap on node size.
func (o *Options) tooLarge(it *InstanceType) bool {
	for name, most := range o.MaxNode {
		if has := it.Capacity[name]; has.Cmp(most) > 0 {
			return true
		}
	}
	return false
}

// shares tells whether any share of a workload is capped.
func (o *Options) shares() bool { return o.MaxNodeShare < 1 || o.MaxSpotPoolShare < 1 }

// workloadShare is how many pods of a class's workload a node, and a spot pool, may hold;
// limits of 0 mean any number.
type workloadShare struct {
	group       int
	limit, pool int32
}

// shares makes a group for each workload whose share per node is capped.
func (c *compiled) shares(x *topology) map[string]int {
	o := &c.p.Options
	if !o.shares() {
		return nil
	}
	total := map[string]int{}
	count := func(pods []Pod) {
		for i := range pods {
			total[pods[i].Workload]++
		}
	}
	count(c.p.Pods)
	for i := range c.p.Nodes {
		count(c.p.Nodes[i].Pods)
	}
	groups := map[string]int{}
	for _, cl := range c.classes {
		name := cl.rep.Workload
		if name == "" || total[name] < 2 || cl.staysTogether(x.groups) {
			continue
		}
		g, ok := groups[name]
		if !ok {
			g = len(x.groups)
			groups[name] = g
			x.groups = append(x.groups, &group{kind: groupSpread, key: corev1.LabelHostname, hostname: true, workload: name})
		}
		atMost := func(share float64) int32 { return int32(math.Max(1, math.Floor(share*float64(total[name])+1e-9))) }
		cl.topology.share = workloadShare{group: g, limit: atMost(min(o.MaxNodeShare, o.MaxSpotPoolShare)), pool: atMost(o.MaxSpotPoolShare)}
	}
	return groups
}

// staysTogether tells whether a class has required affinity over the host name.
func (c *class) staysTogether(groups []*group) bool {
	return slices.ContainsFunc(c.topology.affinity, func(g int) bool { return groups[g].hostname })
}

// countShares counts the pods that run on existing nodes.
func (c *compiled) countShares(groups map[string]int) {
	if len(groups) == 0 {
		return
	}
	for i := range c.p.Nodes {
		for k := range c.p.Nodes[i].Pods {
			if g, ok := groups[c.p.Nodes[i].Pods[k].Workload]; ok {
				c.resident(c.existing[i], c.t.first+i, g, false)
			}
		}
	}
}

// spotPool is what a cloud takes back together.
type spotPool struct{ instanceType, zone string }

func (c *compiled) spotPool(slot int) (spotPool, bool) {
	s := &c.t.all[slot]
	if s.existing {
		l := c.p.Nodes[s.node].Labels
		return spotPool{l[corev1.LabelInstanceTypeStable], l[corev1.LabelTopologyZone]}, l[LabelCapacityType] == CapacitySpot
	}
	of := &c.typeOf(s).Offerings[s.offering]
	return spotPool{c.typeOf(s).Name, of.Zone}, of.CapacityType == CapacitySpot
}

// diversify moves bought nodes to other offerings where a spot pool holds more of a
// workload than its share: to the cheapest that hold the same pods.
func (s *solver) diversify() {
	if s.c.p.Options.MaxSpotPoolShare >= 1 {
		return
	}
	type key struct {
		pool  spotPool
		group int
	}
	holds := map[key]int32{}
	tally := func(b *bin, n int32) {
		pool, spot := s.c.spotPool(b.slot)
		if !spot {
			return
		}
		for _, m := range b.marks {
			if s.c.groups[m.group].workload != "" {
				holds[key{pool, m.group}] += n * m.matched
			}
		}
	}
	for _, b := range s.allBins() {
		tally(b, 1)
	}
	over := func(b *bin, slot int, others int32) bool {
		pool, spot := s.c.spotPool(slot)
		for _, l := range b.load {
			for _, p := range l.it.u.parts {
				share := p.c.topology.share
				if k, ok := b.at(share.group); spot && share.limit > 0 && ok && holds[key{pool, share.group}]+others*b.marks[k].matched > share.pool {
					return true
				}
			}
		}
		return false
	}
	p := newPacker(s.c, s.assign.items, &pricing{c: s.c})
	var byCost []int
	for _, b := range s.bins {
		if !over(b, b.slot, 0) {
			continue
		}
		if byCost == nil {
			for i := range s.c.t.first {
				byCost = append(byCost, i)
			}
			slices.SortStableFunc(byCost, func(x, y int) int { return cmp.Compare(s.c.t.all[x].cost, s.c.t.all[y].cost) })
		}
		tally(b, -1)
		used := b.used(len(s.c.d.names))
		from := &s.c.t.all[b.slot]
		s.c.t.pools[from.pool].take(s.c.typeOf(from), -1)
		to := b.slot
		for _, i := range byCost {
			sl := &s.c.t.all[i]
			if i == b.slot || !b.holds(sl, i, used, false) || over(b, i, 1) || !s.c.t.pools[sl.pool].allows(s.c.typeOf(sl)) {
				continue
			}
			old := b.slot
			b.retarget(s.c.t, i, used)
			if p.choiceEnough(b) {
				to = i
				break
			}
			b.retarget(s.c.t, old, used)
		}
		sl := &s.c.t.all[to]
		s.c.t.pools[sl.pool].take(s.c.typeOf(sl), 1)
		tally(b, 1)
	}
}
