package packing

import (
	"context"
	"math"
	"math/rand/v2"
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

// styles are tried first, in this order, which was chosen by measuring on the benchmark mixes.
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
	}
}

// anyStyle draws a style from about where the listed ones are.
func anyStyle(rng *rand.Rand) style {
	return style{
		fewest: 1 + 7*rng.Float64(), largest: 1 + 5*rng.Float64(), evenness: 1 + 2*rng.Float64(),
		early: 0.3 + 0.5*rng.Float64(), boost: 1 + rng.Float64(),
	}
}

// near draws a style that is like another.
func (s style) near(rng *rand.Rand) style {
	vary := func(x float64) float64 { return x * math.Exp(0.8*rng.Float64()-0.4) }
	return style{
		fewest: max(1, vary(s.fewest)), largest: max(1, vary(s.largest)), evenness: max(1.02, vary(s.evenness)),
		early: min(1, vary(s.early)), boost: max(1, vary(s.boost)),
	}
}

// goodEnough is the cost, as a multiple of the bound, at which no more is tried.
const goodEnough = 1.005

// farFromBound is the cost, as a multiple of the bound, from which on better prices
// are worth the time of column generation.
const farFromBound = 1.03

// construct buys nodes over and over, until work is spent, and keeps the best. Each time it
// goes about it in another style, after the listed ones in some that are like the best or just
// any, and with prices corrected by what the last time showed.
func (p *packer) construct(ctx context.Context, rng *rand.Rand, work int) {
	left, kindLeft := slices.Clone(p.left), slices.Clone(p.kindLeft)
	limits := p.snapshotLimits()
	y := slices.Clone(p.price.y)
	p.pilot(ctx, left, kindLeft)
	reset := func() {
		copy(p.left, left)
		copy(p.kindLeft, kindLeft)
		p.bins, p.limits = nil, limits
		limits = p.snapshotLimits()
		clear(p.dead)
	}
	reset()
	listed := styles()
	var best outcome
	last := 0
	for n := 0; n == 0 || ctx.Err() == nil && p.price.work+last < work && best.cost > goodEnough*p.price.bound; n++ {
		last = -p.price.work
		if n > 0 {
			p.correct()
			reset()
		}
		switch {
		case n < len(listed):
			p.style = listed[n]
		case n%2 == 0:
			p.style = best.style.near(rng)
		default:
			p.style = anyStyle(rng)
		}
		p.again = 0
		p.buy(ctx)
		if ctx.Err() != nil && n > 0 {
			break
		}
		p.shrinkAll()
		last += p.price.work
		if o := p.outcome(); n == 0 || o.better(&best) {
			o.bins, o.limits, o.left, o.kindLeft = p.bins, p.limits, slices.Clone(p.left), slices.Clone(p.kindLeft)
			o.style = p.style
			best = o
		}
	}
	copy(p.price.y, y)
	p.sortKinds()
	p.bins, p.limits, p.style = best.bins, best.limits, best.style
	copy(p.left, best.left)
	copy(p.kindLeft, best.kindLeft)
	clear(p.dead)
}

// Of so many pods construction is done but once or twice, so that prices are corrected by what it shows for samples of them first,
// unless the first shows that there is little to correct.
const (
	pilotFrom    = 8000
	pilots       = 6
	pilotPods    = 500
	nothingToFix = 1.1
)

// pilot corrects the prices by constructions for samples of what is left.
func (p *packer) pilot(ctx context.Context, left, kindLeft []int) {
	pods, worth := 0, 0.0
	for k, n := range kindLeft {
		pods += n
		worth += float64(n) * p.price.y[k]
	}
	if pods < pilotFrom {
		return
	}
	every := pods / pilotPods
	limits := p.snapshotLimits()
	for n := 0; n < pilots && ctx.Err() == nil; n++ {
		clear(p.kindLeft)
		sample := 0.0
		for i := range left {
			p.left[i] = 0
			if k := p.kindOf(i); k >= 0 {
				p.account(i, (left[i]+(i+n)%every)/every)
				sample += float64(p.left[i]) * p.price.y[k]
			}
		}
		p.bins, p.limits = nil, limits
		limits = p.snapshotLimits()
		clear(p.dead)
		p.style, p.again = styles()[n], 0
		p.buy(ctx)
		if n == 0 && p.outcome().cost*worth <= nothingToFix*p.price.bound*sample {
			return
		}
		p.correct()
	}
	p.again = 0
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

// How far a price moves at a time towards what was paid: more is quicker to improve, and sooner has nothing
// more to gain. Up to variantPods pods a construction takes so little that there are many.
const (
	correction      = 0.2
	smallCorrection = 0.1
)

// correct moves the price of each kind towards what its pods were bought for, where each
// has the same part in what its node costs as in what it is worth: kinds that were left
// for nodes which they fill badly become dearer, and are taken earlier the next time
// (sequential value correction; G. Belov and G. Scheithauer, "Setup and open-stacks minimization
// in one-dimensional stock cutting", INFORMS J. Comput. 19, 2007).
func (p *packer) correct() {
	y := p.price.y
	paid, copies := make([]float64, len(y)), make([]float64, len(y))
	for _, b := range p.bins {
		worth := 0.0
		for _, l := range b.load {
			worth += y[l.it.kind] * float64(l.n)
		}
		if worth <= 0 {
			continue
		}
		part := p.c.t.all[b.slot].cost / worth
		for _, l := range b.load {
			paid[l.it.kind] += part * y[l.it.kind] * float64(l.n)
			copies[l.it.kind] += float64(l.n)
		}
	}
	step := correction
	if len(p.c.p.Pods) <= variantPods {
		step = smallCorrection
	}
	for k := range y {
		if copies[k] > 0 {
			y[k] += step * (paid[k]/copies[k] - y[k])
		}
	}
	p.sortKinds()
}
