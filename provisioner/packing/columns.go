package packing

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// maxPricingRounds bounds the column generation; quality gains little beyond.
const maxPricingRounds = 60

// columnsPerRound is how many of the best columns of a round enter the LP.
const columnsPerRound = 24

// pricingTolerance ends column generation when the prices are within this share
// of feasible for the LP's dual: then the LP's value is within it of optimal.
const pricingTolerance = 0.003

// pricing runs column generation for the items that are left to buy for.
type pricing struct {
	c      *compiled
	kinds  []*kind
	offers []offer
	// y is the price of one more copy of each kind, in USD per hour.
	y []float64
	// hot are the offers that the prices pay for best, best first.
	hot     []int
	rows    []int // resources that some kind asks for
	sack    knapsack
	lp      *masterLP
	columns int
	// upper bounds the value of the last fill; most is the largest ratio of
	// such a bound to the offer's cost in a round.
	upper, most float64
}

func newPricing(c *compiled, items []*item) *pricing {
	p := &pricing{c: c, kinds: fewKinds(c, items)}
	p.offers = buildOffers(c, p.kinds)
	for r := range c.d.names {
		if slices.ContainsFunc(p.kinds, func(k *kind) bool { return k.req[r] > 0 }) {
			p.rows = append(p.rows, r)
		}
	}
	return p
}

// run generates columns until none improves, or the context ends.
func (p *pricing) run(ctx context.Context) {
	p.y = make([]float64, len(p.kinds))
	if len(p.kinds) == 0 || len(p.offers) == 0 {
		return
	}
	demand := make([]float64, len(p.kinds))
	singles := make([]lpColumn, len(p.kinds))
	for i, k := range p.kinds {
		demand[i] = float64(k.demand)
		singles[i] = p.single(i, k)
		p.y[i] = singles[i].cost / singles[i].count[0]
	}
	p.lp = newMasterLP(demand, singles)
	type candidate struct {
		col     lpColumn
		reduced float64
	}
	for range maxPricingRounds {
		if ctx.Err() != nil {
			break
		}
		var found []candidate
		p.most = 0
		for o := range p.offers {
			col, value := p.fill(o, p.lp.y, nil)
			p.most = max(p.most, p.upper/p.offers[o].cost)
			if r := col.cost - value; r < -1e-7*(1+p.offers[o].cost) {
				found = append(found, candidate{col, r})
			}
		}
		if len(found) == 0 || p.most < 1+pricingTolerance {
			break // no prices can be more than this share too high
		}
		slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.reduced, b.reduced) })
		for _, f := range found[:min(len(found), columnsPerRound)] {
			p.lp.add(f.col)
		}
		p.lp.optimise(2*p.lp.m + 50)
		p.columns += min(len(found), columnsPerRound)
		p.lp.prune(3*p.lp.m + columnsPerRound)
	}
	for i, y := range p.lp.y {
		p.y[i] = max(y, 0)
	}
	p.rankOffers()
}

// single is the offer that is cheapest per copy for one kind alone.
func (p *pricing) single(i int, k *kind) lpColumn {
	best := lpColumn{offer: -1, cost: math.Inf(1), index: []int32{int32(i)}, count: []float64{1}}
	for at, o := range p.offers {
		if !o.kinds.has(i) {
			continue
		}
		n := float64(max(1, min(k.req.times(p.c.t.all[o.slot].free, k.demand), k.perNode)))
		cost := o.cost
		if k.penalty != nil {
			cost += n * k.penalty[o.slot]
		}
		if cost/n < best.cost/best.count[0] {
			best.cost, best.count[0], best.offer = cost, n, at
		}
	}
	if math.IsInf(best.cost, 1) { // all its offers went away, by a limit
		best.cost = 1
	}
	return best
}

// load fills the knapsack for one offer; left limits the copies when not nil. It
// returns false when nothing is worth having.
func (p *pricing) load(o int, y []float64, left []int) bool {
	of := &p.offers[o]
	free := p.c.t.all[of.slot].free
	p.sack.reset(len(p.rows))
	of.kinds.each(func(i int) bool {
		k := p.kinds[i]
		v := y[i]
		if k.penalty != nil {
			v -= k.penalty[of.slot]
		}
		most := k.demand
		if left != nil {
			most = left[i]
		}
		most = min(most, k.perNode)
		if v <= 0 || most <= 0 {
			return true
		}
		for _, r := range p.rows {
			if k.req[r] > 0 && free[r] > 0 {
				p.sack.a = append(p.sack.a, float64(k.req[r])/float64(free[r]))
			} else {
				p.sack.a = append(p.sack.a, 0)
			}
		}
		p.sack.column(int32(i), v, float64(min(most, max(1, k.req.times(free, most)))))
		return true
	})
	return p.sack.n > 0
}

// fill finds a valuable fill of an offer. The column's cost includes penalties,
// and so does not the value.
func (p *pricing) fill(o int, y []float64, left []int) (lpColumn, float64) {
	col := lpColumn{offer: o, cost: p.offers[o].cost}
	if p.upper = 0; !p.load(o, y, left) {
		return col, 0
	}
	p.upper = p.sack.solve()
	p.sack.round()
	value := 0.0
	for j, n := range p.sack.integral {
		if n == 0 {
			continue
		}
		i := p.sack.id[j]
		col.index = append(col.index, i)
		col.count = append(col.count, float64(n))
		value += y[i] * float64(n)
		if pen := p.kinds[i].penalty; pen != nil {
			col.cost += float64(n) * pen[p.offers[o].slot]
		}
	}
	return col, value
}

// rankOffers orders the offers by what the prices pay per dollar of them.
func (p *pricing) rankOffers() {
	ratio := make([]float64, len(p.offers))
	p.hot = make([]int, len(p.offers))
	for o := range p.offers {
		p.hot[o] = o
		if p.load(o, p.y, nil) {
			ratio[o] = p.sack.solve() / p.offers[o].cost
		}
	}
	slices.SortStableFunc(p.hot, func(a, b int) int { return cmp.Compare(ratio[b], ratio[a]) })
}
