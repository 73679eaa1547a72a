package packing

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// maxAscents bounds how often prices that no offer pays for are raised.
const maxAscents = 4

// paidFor is the share of its cost that some offer must be worth by the prices of
// each kind on it; below it the prices of kinds that go nowhere else are raised.
const paidFor = 0.97

// pricing finds what one more copy of each kind is worth, and the fills of nodes that
// those prices pay for best.
type pricing struct {
	c      *compiled
	items  []*item
	kinds  []*kind
	offers []offer
	// y is the price of one more copy of each kind, in USD per hour.
	y []float64
	// hot are the offers that the prices pay for best, best first.
	hot []int
	// reach is the share of the offers that each kind may use.
	reach []float64
	// need is the number of nodes that the pods of each kind need because they must
	// be apart.
	need []float64
	// bound is below the cost of nodes for what existing ones were not filled
	// with, in USD per hour.
	bound float64
	// columns counts those of column generation.
	columns int
	// raised is set when the prices are not the cover's alone.
	raised bool
	// work counts what fills cost to find: about 50 ns each.
	work int
	// dearest is the highest cost of an offer.
	dearest float64
	rows    []int // resources that some kind asks for
	sack    knapsack
}

func newPricing(c *compiled, items []*item) *pricing {
	p := &pricing{c: c, items: items, kinds: fewKinds(c, items)}
	p.offers = buildOffers(c, p.kinds)
	for r := range c.d.names {
		if slices.ContainsFunc(p.kinds, func(k *kind) bool { return k.req[r] > 0 }) {
			p.rows = append(p.rows, r)
		}
	}
	return p
}

// run finds prices: those of the cover first, which are right where every pod may
// go everywhere. Where not, the kinds that only dearer offers hold are raised until
// some offer with them on it is worth its cost.
func (p *pricing) run(ctx context.Context) {
	p.y = make([]float64, len(p.kinds))
	if len(p.kinds) == 0 || len(p.offers) == 0 {
		return
	}
	p.byCover()
	p.reaches()
	ratio := make([]float64, len(p.offers))
	for n := 0; ctx.Err() == nil; n++ {
		for o := range p.offers {
			if ratio[o] = 0; p.load(o, fillOf{y: p.y}) {
				ratio[o] = p.sack.solve() / p.offers[o].cost
			}
		}
		if n == maxAscents || !p.ascend(ratio) {
			break
		}
		p.raised = true
	}
	p.hot = make([]int, len(p.offers))
	for o := range p.offers {
		p.hot[o] = o
	}
	for i := range p.offers {
		p.dearest = max(p.dearest, p.offers[i].cost)
	}
	slices.SortStableFunc(p.hot, func(a, b int) int { return cmp.Compare(ratio[b], ratio[a]) })
}

// byCover prices each kind as the mean of its items.
func (p *pricing) byCover() {
	var list []wanted
	for _, k := range p.kinds {
		for _, i := range k.items {
			list = append(list, wanted{u: p.items[i].u, n: p.items[i].todo, slots: p.items[i].slots})
		}
	}
	cover := p.c.cover(list, p.c.t.existing(), true)
	if cover.value <= 0 {
		cover = p.c.cover(list, nil, true) // there is room for all, but in pieces
	}
	n := 0
	for i, k := range p.kinds {
		for range k.items {
			p.y[i] += cover.worth(list[n].u) * float64(list[n].n) / float64(k.demand)
			n++
		}
	}
}

// ascend raises the prices of kinds that no offer pays for; false when there are none.
func (p *pricing) ascend(ratio []float64) bool {
	best := make([]float64, len(p.kinds))
	for o := range p.offers {
		p.offers[o].kinds.each(func(i int) bool {
			best[i] = max(best[i], ratio[o])
			return true
		})
	}
	raised := false
	for i := range p.y {
		switch {
		case p.y[i] <= 0:
			raised = true
			p.y[i] = p.alone(i)
		case best[i] > 0 && best[i] < paidFor:
			raised = true
			p.y[i] /= best[i]
		}
	}
	return raised
}

// alone is what one copy of a kind costs on the offer that is cheapest for it alone.
func (p *pricing) alone(i int) float64 {
	k, least := p.kinds[i], math.Inf(1)
	for o := range p.offers {
		if !p.offers[o].kinds.has(i) {
			continue
		}
		slot := p.offers[o].slot
		n := float64(max(1, min(k.req.times(p.c.t.all[slot].free, k.demand), k.perNode)))
		usd := p.offers[o].cost / n
		if k.penalty != nil {
			usd += k.penalty[slot]
		}
		least = min(least, usd)
	}
	if math.IsInf(least, 1) {
		return 0
	}
	return least
}

// reaches works out which share of the offers each kind may use.
func (p *pricing) reaches() {
	p.reach = make([]float64, len(p.kinds))
	for o := range p.offers {
		p.offers[o].kinds.each(func(i int) bool {
			p.reach[i] += 1 / float64(len(p.offers))
			return true
		})
	}
}

// fillOf says what a fill may hold and what it is worth.
type fillOf struct {
	// y is the worth of one more copy of each kind.
	y []float64
	// left limits the copies; nil means the demand.
	left []int
	// remaining is the worth of all that is left. When it is not 0, a fill takes
	// of each kind little more than the node's share of that: a node that picked
	// what suits it best would leave the others with what suits nobody.
	remaining float64
	style     style
}

// load fills the knapsack for one offer; it returns false when nothing is worth
// having.
func (p *pricing) load(o int, f fillOf) bool {
	of := &p.offers[o]
	free := p.c.t.all[of.slot].free
	p.sack.reset(len(p.rows))
	of.kinds.each(func(i int) bool {
		k := p.kinds[i]
		v := f.y[i]
		if k.penalty != nil {
			v -= k.penalty[of.slot]
		}
		most := k.demand
		if f.left != nil {
			most = f.left[i]
		}
		if f.remaining > 0 {
			if share := f.style.evenness * of.cost / (f.remaining * p.reach[i]); share < 1 {
				most = int(math.Ceil(share * float64(most)))
			}
		}
		if f.remaining > 0 && p.need[i] > f.style.early*f.remaining*p.reach[i]/of.cost {
			v *= f.style.boost
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
	p.work += 20 + p.sack.n
	return p.sack.n > 0
}

// fill finds a valuable fill of an offer. The column's cost includes penalties,
// and so does not the value.
func (p *pricing) fill(o int, f fillOf) (lpColumn, float64) {
	col := lpColumn{offer: o, cost: p.offers[o].cost}
	if !p.load(o, f) {
		return col, 0
	}
	p.sack.relax()
	p.sack.round()
	value := 0.0
	for j, n := range p.sack.integral {
		if n == 0 {
			continue
		}
		i := p.sack.id[j]
		col.index = append(col.index, i)
		col.count = append(col.count, float64(n))
		value += f.y[i] * float64(n)
		if pen := p.kinds[i].penalty; pen != nil {
			col.cost += float64(n) * pen[p.offers[o].slot]
		}
	}
	return col, value
}
