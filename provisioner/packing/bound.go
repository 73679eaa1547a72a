package packing

import (
	"fmt"
	"math"
)

// boundSlack keeps the bound on the safe side of rounding errors.
const boundSlack = 1 - 1e-9

// bound sets a lower bound on the cost of any plan that places the same pods,
// the better of two:
//
//   - resources only: nodes must be bought for what the pods ask for in total
//     beyond what is free on existing nodes, at the least price per unit that any
//     mixture of offerings has (a linear program with a row per resource);
//   - Farley's: for any non-negative price of each class, no node holds pods
//     worth more than the optimum of a knapsack's relaxation; scaling the prices
//     until no offering holds more than it costs makes them a feasible solution
//     of the packing LP's dual, whose value less what existing nodes can hold is
//     a bound. (A. A. Farley, "A note on bounding a class of linear programming
//     problems, including cutting stock problems", Oper. Res. 38, 1990.)
//
// Both use each class's own rules about nodes and leave out all rules between
// pods, so that they hold for every plan.
func (s *solver) bound(out *Plan) {
	placed := s.placed(out)
	resources := s.resourceBound(placed)
	s.stats.ResourceBound = resources
	out.LowerBound = math.Max(resources, s.farley(placed)) * boundSlack
	switch {
	case out.LowerBound > 0:
		out.Gap = math.Max(out.Cost/out.LowerBound-1, 0)
	case out.Cost > 0:
		out.Gap = math.Inf(1)
	}
}

// placed counts the placed pods of each class that priced nodes could be bought
// for; the others may go where the price is not known, and count for nothing.
func (s *solver) placed(out *Plan) []int {
	left := map[int32]bool{}
	for _, u := range out.Unplaced {
		left[int32(u.Pod)] = true
	}
	counts := make([]int, len(s.c.classes))
	for i, c := range s.c.classes {
		if !s.anyPriced(c) {
			continue
		}
		counts[i] = len(c.pods)
		if len(left) == 0 {
			continue
		}
		for _, pod := range c.pods {
			if left[pod] {
				counts[i]--
			}
		}
	}
	return counts
}

func (s *solver) anyPriced(c *class) bool {
	found := false
	c.fits.each(func(i int) bool {
		found = i < s.c.t.first && s.c.t.all[i].priced
		return !found && i < s.c.t.first
	})
	return found
}

func (s *solver) resourceBound(placed []int) float64 {
	c := s.c
	need := make([]float64, len(c.d.names))
	for i, cl := range c.classes {
		for r, x := range cl.req {
			need[r] += float64(x) * float64(placed[i]) / c.scale[r]
		}
	}
	for _, sl := range c.t.all[c.t.first:] {
		for r, x := range sl.free {
			need[r] -= math.Max(float64(x), 0) / c.scale[r]
		}
	}
	var rows []int
	var demand []float64
	for r, x := range need {
		if x > 1e-12 {
			rows, demand = append(rows, r), append(demand, x)
		}
	}
	if len(rows) == 0 {
		return 0
	}
	columns := make([]lpColumn, 0, c.t.first)
	for i := range c.t.first {
		sl := &c.t.all[i]
		col := lpColumn{cost: sl.price}
		for n, r := range rows {
			if sl.free[r] > 0 {
				col.index = append(col.index, int32(n))
				col.count = append(col.count, float64(sl.free[r])/c.scale[r])
			}
		}
		if sl.priced && len(col.index) > 0 {
			columns = append(columns, col)
		}
	}
	singles := make([]lpColumn, len(rows))
	for n := range rows {
		singles[n] = lpColumn{cost: math.Inf(1), index: []int32{int32(n)}, count: []float64{1}}
		for _, col := range columns {
			for k, at := range col.index {
				if int(at) == n && col.cost/col.count[k] < singles[n].cost/singles[n].count[0] {
					singles[n].cost, singles[n].count[0] = col.cost, col.count[k]
				}
			}
		}
		if math.IsInf(singles[n].cost, 1) {
			return 0
		}
	}
	lp := newMasterLP(demand, singles)
	lp.columns = append(lp.columns, columns...)
	lp.optimise(400)
	// Weak duality, whatever the simplex left: scale until feasible.
	theta := math.Inf(1)
	for i := range columns {
		worth := 0.0
		for k, at := range columns[i].index {
			worth += math.Max(lp.y[at], 0) * columns[i].count[k]
		}
		if worth > 0 {
			theta = math.Min(theta, columns[i].cost/worth)
		}
	}
	value := 0.0
	for n := range rows {
		value += math.Max(lp.y[n], 0) * demand[n]
	}
	if math.IsInf(theta, 1) {
		return 0
	}
	return theta * value
}

// farley evaluates the class prices that the search ended with.
func (s *solver) farley(placed []int) float64 {
	c := s.c
	worth := s.classWorth()
	kinds, y := s.boundKinds(placed, worth)
	if len(kinds) == 0 {
		return 0
	}
	p := &pricing{c: c, kinds: kinds}
	for r := range c.d.names {
		p.rows = append(p.rows, r)
	}
	limits := c.t.pools
	c.t.pools = make([]poolLimit, len(limits)) // bought up or not, they count
	p.offers = buildOffers(c, kinds)
	c.t.pools = limits
	theta := math.Inf(1)
	for o := range p.offers {
		sl := &c.t.all[p.offers[o].slot]
		if !sl.priced || !p.load(o, y, nil) {
			continue
		}
		if most := p.sack.solve(); most > 0 {
			theta = math.Min(theta, s.least(p, o)/most)
		}
	}
	if math.IsInf(theta, 1) {
		return 0
	}
	value := 0.0
	for i, k := range kinds {
		value += y[i] * float64(k.demand)
	}
	for i := c.t.first; i < len(c.t.all); i++ {
		p.offers = append(p.offers[:0], offer{slot: i, kinds: newBitset(len(kinds))})
		for k := range kinds {
			if kinds[k].slots.has(i) {
				p.offers[0].kinds.set(k)
			}
		}
		if p.load(0, y, nil) {
			value -= p.sack.solve()
		}
	}
	return theta * value
}

// least is a floor on the price of an offer and of all that it beat: those are
// compared by cost, which may charge this offer's risk more than theirs less.
func (s *solver) least(p *pricing, o int) float64 {
	sl := &s.c.t.all[p.offers[o].slot]
	if s.c.p.Options.InterruptionCost == 0 {
		return sl.price
	}
	worst := 0.0
	for i := range s.c.t.first {
		if x := &s.c.t.all[i]; x.priced {
			worst = max(worst, x.cost-x.price-s.c.p.Options.NodeFee)
		}
	}
	return max(0, sl.cost-s.c.p.Options.NodeFee-worst)
}

// classWorth is the price of one more pod of each class: the mean over the items
// its pods are in, which share a bundle's by the size of their requests.
func (s *solver) classWorth() map[*class]float64 {
	sum, n := map[*class]float64{}, map[*class]float64{}
	for _, it := range s.assign.items {
		if it.index >= len(s.worth) {
			continue
		}
		total := 0.0
		for _, p := range it.u.parts {
			total += s.share(p.c.req) * float64(p.n)
		}
		copies := float64(len(it.pods) / it.u.size)
		for _, p := range it.u.parts {
			w := s.worth[it.index]
			if total > 0 {
				w *= s.share(p.c.req) / total
			}
			sum[p.c] += w * copies * float64(p.n)
			n[p.c] += copies * float64(p.n)
		}
	}
	for c := range sum {
		if n[c] > 0 {
			sum[c] /= n[c]
		}
	}
	return sum
}

func (s *solver) share(req vec) float64 {
	w := 0.0
	for r, x := range req {
		w += float64(x) / s.c.scale[r]
	}
	return w
}

// boundKinds groups classes of one request and one set of priced slots.
func (s *solver) boundKinds(placed []int, worth map[*class]float64) ([]*kind, []float64) {
	c := s.c
	priced := newBitset(len(c.t.all))
	for i := range c.t.all {
		if c.t.all[i].existing || c.t.all[i].priced {
			priced.set(i)
		}
	}
	var kinds []*kind
	var value []float64
	byKey := map[string]int{}
	for i, cl := range c.classes {
		if placed[i] == 0 || worth[cl] <= 0 {
			continue
		}
		slots := cl.fits.clone()
		slots.and(priced)
		u := newUnit(c.groups, []part{{cl, 1}}, cl.pods)
		most := min(u.perNodeCap(c.groups), placed[i])
		key := string(appendVec(nil, cl.req)) + slots.key()
		if most < placed[i] {
			key += "c"
		}
		k, ok := byKey[key]
		if !ok {
			k = len(kinds)
			byKey[key] = k
			kinds = append(kinds, &kind{req: cl.req, slots: slots})
			value = append(value, 0)
		}
		kinds[k].demand += placed[i]
		kinds[k].perNode += most
		value[k] += worth[cl] * float64(placed[i])
	}
	for k := range value {
		value[k] /= float64(kinds[k].demand)
	}
	return kinds, value
}

// ResourceBound is the resource-only lower bound on what any plan that places all
// pods of a problem costs, in USD per hour: quick, and blind to every rule but
// the sums of resources. Pods that no priced offering could hold count for
// nothing.
func ResourceBound(p Problem) (float64, error) {
	p.Options = p.Options.withDefaults()
	c, err := compile(&p, false)
	if err != nil {
		return 0, fmt.Errorf("compiling problem, %w", err)
	}
	s := &solver{c: c}
	return s.resourceBound(s.placed(&Plan{})) * boundSlack, nil
}
