package packing

import (
	"cmp"
	"context"
	"math"
	"slices"
)

const (
	// maxPricingRounds bounds the column generation; quality gains little beyond.
	maxPricingRounds = 40
	// columnsPerRound is how many of the best columns of a round enter the LP.
	columnsPerRound = 24
	// pricingTolerance ends column generation when the prices are within this share
	// of feasible for the LP's dual: then the LP's value is within it of optimal.
	pricingTolerance = 0.01
)

// generate refines the prices by column generation (Gilmore and Gomory 1961): a
// column is a filled node, a master LP over columns prices the kinds, and a knapsack
// per offering finds the columns that those prices pay for best. It is worth its
// time where the cover is far from what nodes cost, as where many pods may only go
// to dearer offerings, or where cheap nodes have little of some resource.
func (p *pricing) generate(ctx context.Context) {
	demand := make([]float64, len(p.kinds))
	singles := make([]lpColumn, len(p.kinds))
	for i, k := range p.kinds {
		demand[i] = float64(k.demand)
		singles[i] = p.single(i, k)
	}
	lp := newMasterLP(demand, singles)
	type candidate struct {
		col     lpColumn
		reduced float64
	}
	y, ratio := p.y, make([]float64, len(p.offers))
	for range maxPricingRounds {
		if ctx.Err() != nil {
			return
		}
		var found []candidate
		most := 0.0
		for o := range p.offers {
			col, value := p.fill(o, fillOf{y: y})
			ratio[o] = value / col.cost
			most = max(most, ratio[o])
			r := col.cost
			for k, i := range col.index {
				r -= lp.y[i] * col.count[k]
			}
			if r < -1e-7*(1+p.offers[o].cost) {
				found = append(found, candidate{col, r})
			}
		}
		if len(found) == 0 || most < 1+pricingTolerance && &y[0] == &lp.y[0] {
			break
		}
		slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(a.reduced, b.reduced) })
		for _, f := range found[:min(len(found), columnsPerRound)] {
			lp.add(f.col)
			p.columns++
		}
		lp.optimise(2*lp.m + 50)
		lp.prune(3*lp.m + columnsPerRound)
		y = lp.y // the first columns were those of the cover's prices
	}
	for i, v := range lp.y {
		p.y[i] = max(v, 0)
	}
	p.raised = true
	slices.SortStableFunc(p.hot, func(a, b int) int { return cmp.Compare(ratio[b], ratio[a]) })
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
