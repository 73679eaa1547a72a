package packing

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// plan turns bins into the answer.
func (s *solver) plan(ctx context.Context) Plan {
	var out Plan
	taken := make([]int, len(s.assign.items)) // pods of each item handed out
	placed := make([]bool, len(s.c.p.Pods))
	hand := func(b *bin) []int {
		var pods []int
		for _, l := range b.load {
			n := l.n * l.it.u.size
			for _, pod := range l.it.pods[taken[l.it.index] : taken[l.it.index]+n] {
				pods = append(pods, int(pod))
				placed[pod] = true
			}
			taken[l.it.index] += n
		}
		slices.Sort(pods)
		return pods
	}
	for i, b := range s.c.existing {
		for _, pod := range hand(b) {
			out.Bindings = append(out.Bindings, Binding{Pod: pod, Node: s.c.p.Nodes[i].Name})
		}
	}
	slices.SortFunc(out.Bindings, func(a, b Binding) int { return cmp.Compare(a.Pod, b.Pod) })
	alt := newAlternatives(s.c)
	for _, b := range s.bins {
		n := s.node(b, alt)
		n.Pods = hand(b)
		out.Nodes = append(out.Nodes, n)
		if math.IsNaN(n.Price) {
			s.stats.UnknownPrices++
		} else {
			out.Cost += n.Price
		}
	}
	slices.SortStableFunc(out.Nodes, func(a, b PlannedNode) int { return cmp.Compare(a.Pods[0], b.Pods[0]) })
	out.Order = s.assign.order(placed)
	out.Classes = make([]int, len(placed))
	for i, c := range s.c.classes {
		for _, pod := range c.pods {
			out.Classes[pod] = i
		}
	}
	out.Unplaced = s.unplaced(ctx, taken)
	s.priceDropped()
	s.bound(&out)
	return out
}

func (s *solver) node(b *bin, alt *alternatives) PlannedNode {
	sl := &s.c.t.all[b.slot]
	it := s.c.typeOf(sl)
	of := &it.Offerings[sl.offering]
	requests := b.used(len(s.c.d.names))
	requests.add(sl.used)
	return PlannedNode{
		Pool: s.c.p.Pools[sl.pool].Name, InstanceType: it.Name, Zone: of.Zone, CapacityType: of.CapacityType,
		Price: sl.price, Labels: s.c.t.labels(sl), Alternatives: alt.of(b), Requests: s.c.d.list(requests),
	}
}

// alternatives finds offerings that hold the same pods.
type alternatives struct {
	c *compiled
	// slots of each pool, cheapest first.
	slots map[int][]int
	// spare is what of each pool's limits the plan leaves.
	checks map[int]*minValuesCheck
}

func newAlternatives(c *compiled) *alternatives {
	a := &alternatives{c: c, slots: map[int][]int{}, checks: c.minValueChecks()}
	for i := range c.t.first {
		pool := c.t.all[i].pool
		a.slots[pool] = append(a.slots[pool], i)
	}
	for _, slots := range a.slots {
		slices.SortStableFunc(slots, func(x, y int) int { return cmp.Compare(c.t.all[x].cost, c.t.all[y].cost) })
	}
	return a
}

// of lists the alternatives of a bin: the same pool, the same values of every
// label that the rules of its pods about domains look at, and room under the
// pool's limits for what they are larger.
func (a *alternatives) of(b *bin) []Alternative {
	chosen := &a.c.t.all[b.slot]
	used := b.used(len(a.c.d.names))
	type triple struct{ t, z, ct string }
	seen := map[triple]bool{}
	var out []Alternative
	add := func(i int) {
		s := &a.c.t.all[i]
		it := a.c.typeOf(s)
		of := &it.Offerings[s.offering]
		key := triple{it.Name, of.Zone, of.CapacityType}
		if !seen[key] {
			seen[key] = true
			out = append(out, Alternative{it.Name, of.Zone, of.CapacityType, s.price})
		}
	}
	add(b.slot)
	check := a.checks[chosen.pool]
	var count []map[int32]bool
	if check != nil {
		count = make([]map[int32]bool, len(check.rules))
		for i := range count {
			count[i] = map[int32]bool{check.rules[i].index.of[b.slot]: true}
		}
	}
	priceCap := chosen.cost * a.c.p.Options.AlternativePriceCap
	for _, i := range a.slots[chosen.pool] {
		s := &a.c.t.all[i]
		if check == nil && (s.cost > priceCap || len(out) >= a.c.p.Options.MaxAlternatives) {
			break // cheapest first: nothing that follows is wanted
		}
		if i == b.slot || !sameOpen(s, chosen) || !a.within(s, chosen) || !b.holds(s, i, used, true) {
			continue
		}
		wanted := s.cost <= priceCap && len(out) < a.c.p.Options.MaxAlternatives && s.priced == chosen.priced
		for r := range count {
			v := check.rules[r].index.of[i]
			if v >= 0 && len(count[r]) < check.rules[r].want && !count[r][v] {
				wanted = true
			}
		}
		if !wanted {
			continue
		}
		for r := range count {
			if v := check.rules[r].index.of[i]; v >= 0 {
				count[r][v] = true
			}
		}
		add(i)
	}
	return out
}

// within tells whether the pool's limits leave room to launch s in place of the
// chosen slot.
func (a *alternatives) within(s, chosen *slot) bool {
	l := &a.c.t.pools[s.pool]
	for i := range l.names {
		if l.use(i, a.c.typeOf(s))-l.use(i, a.c.typeOf(chosen)) > l.left[i] {
			return false
		}
	}
	return true
}

// sameOpen tells whether two slots carry the same values of open labels.
func sameOpen(a, b *slot) bool {
	if len(a.open) != len(b.open) {
		return false
	}
	for k, v := range a.open {
		if b.open[k] != v {
			return false
		}
	}
	return true
}

// priceDropped sums up what the plan breaks of preferred rules about nodes and about
// being apart on them.
func (s *solver) priceDropped() {
	broken, usd := s.hostRules()
	s.stats.PreferencesDropped += broken
	s.stats.PreferencePrice += usd
	tell := func(b *bin) {
		for _, l := range b.load {
			if pen := l.it.u.penalty; pen != nil && pen[b.slot] > 0 {
				s.stats.PreferencesDropped += l.n
				s.stats.PreferencePrice += float64(l.n) * pen[b.slot]
			}
		}
	}
	for _, b := range s.c.existing {
		tell(b)
	}
	for _, b := range s.bins {
		tell(b)
	}
}
