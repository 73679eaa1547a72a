package packing

import (
	"context"
	"slices"
)

// style is a way to construct: no one is best for all problems, and all are quick.
type style struct {
	// fewest is the least number of nodes that what is left is thought to need: the
	// nodes bought are of about the size that makes as many. largest is by how
	// much they may be larger.
	fewest, largest float64
	// evenness is how much more than its share of a kind a node may take.
	evenness float64
	// Pods that must be apart, on more nodes than early of those that are still to
	// be bought, count for boost of their worth in the choice of a fill: what of
	// them is left in the end needs nodes of its own.
	early, boost float64
}

// styles are tried in this order, which was chosen by measuring on the benchmark mixes.
func styles() []style {
	return []style{
		{fewest: 6, largest: 6, evenness: 1.1, early: 0.3, boost: 2},
		{fewest: 7, largest: 4, evenness: 1.3, early: 0.5, boost: 1.6},
		{fewest: 3, largest: 8, evenness: 1.2, early: 0.3, boost: 1.3},
		{fewest: 2, largest: 4, evenness: 1.5, early: 0.8, boost: 1.3},
		{fewest: 5, largest: 2, evenness: 2.5, early: 0.5, boost: 2},
		{fewest: 5, largest: 4, evenness: 1.75, early: 0.6, boost: 1.2},
		{fewest: 6, largest: 3, evenness: 1.35, early: 0.4, boost: 1.5},
		{fewest: 4, largest: 4, evenness: 1.5, early: 0.5, boost: 1.3},
		{fewest: 8, largest: 4, evenness: 1.5, early: 0.5, boost: 1.3},
		{fewest: 3, largest: 2, evenness: 1.5, early: 0.8, boost: 1.1},
		{fewest: 12, largest: 4, evenness: 2, early: 0.5, boost: 1.3},
		{fewest: 4, largest: 2, evenness: 1.2, early: 0.3, boost: 1.3},
		{fewest: 2, largest: 2, evenness: 2.5, early: 0.5, boost: 1.3},
		{fewest: 8, largest: 1.5, evenness: 1.2, early: 0.5, boost: 1.3},
		{fewest: 16, largest: 4, evenness: 1.2, early: 0.3, boost: 1.3},
		{fewest: 10, largest: 2, evenness: 1.5, early: 0.3, boost: 1.3},
	}
}

// goodEnough is the cost, as a multiple of the bound, at which no more is tried.
const goodEnough = 1.005

// farFromBound is the cost, as a multiple of the bound, from which on better prices
// are worth the time of column generation.
const farFromBound = 1.03

// construct buys nodes in one style after another, until work is spent, and keeps
// the best.
func (p *packer) construct(ctx context.Context, work int) {
	left, kindLeft := slices.Clone(p.left), slices.Clone(p.kindLeft)
	limits := p.snapshotLimits()
	var best outcome
	for n, st := range styles() {
		if n > 0 {
			if ctx.Err() != nil || p.price.work >= work || best.cost <= goodEnough*p.price.bound {
				break
			}
			copy(p.left, left)
			copy(p.kindLeft, kindLeft)
			p.bins, p.limits = nil, limits
			limits = p.snapshotLimits()
			clear(p.dead)
		}
		p.style, p.again = st, 0
		p.buy(ctx)
		if ctx.Err() != nil && n > 0 {
			break
		}
		p.shrinkAll()
		if o := p.outcome(); n == 0 || o.better(&best) {
			o.bins, o.limits, o.left, o.kindLeft = p.bins, p.limits, slices.Clone(p.left), slices.Clone(p.kindLeft)
			o.style = st
			best = o
		}
	}
	p.bins, p.limits, p.style = best.bins, best.limits, best.style
	copy(p.left, best.left)
	copy(p.kindLeft, best.kindLeft)
	clear(p.dead)
}

// outcome is a construction's result.
type outcome struct {
	unplaced       int
	cost           float64
	style          style
	bins           []*bin
	limits         []poolLimit
	left, kindLeft []int
}

func (p *packer) outcome() outcome {
	var o outcome
	for _, n := range p.kindLeft {
		o.unplaced += n
	}
	for _, b := range p.bins {
		o.cost += p.c.binCost(b, b.slot)
	}
	return o
}

// better prefers pods placed to money saved.
func (o *outcome) better(than *outcome) bool {
	if o.unplaced != than.unplaced {
		return o.unplaced < than.unplaced
	}
	return o.cost < than.cost-1e-9
}
