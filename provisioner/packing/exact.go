package packing

import (
	"context"
	"math"
	"slices"
)

// Limits of the exact search: the number of multisets of what is left to buy
// for, and of pairs of nested multisets.
const (
	maxStates      = 1 << 13
	maxTransitions = 1 << 21
)

// exact finds the cheapest set of nodes for the copies that are left, by dynamic
// programming over how many of each item remain: the first remaining item is on
// some node, and each of the multisets that contain it is tried as that node's
// fill. It returns false when the problem is too large for that, when something
// fits nowhere, or when pool limits forbid the result.
func (p *packer) exact(ctx context.Context) bool {
	var e exactSearch
	e.p = p
	states, pairs := 1, 1.0
	for i, n := range p.left {
		if n == 0 || p.kindOf(i) < 0 {
			continue
		}
		e.items = append(e.items, i)
		e.most = append(e.most, n)
		e.radix = append(e.radix, states)
		states *= n + 1
		pairs *= float64(n+1) * float64(n+2) / 2
		if states > maxStates || pairs > maxTransitions {
			return false
		}
	}
	if len(e.items) == 0 || len(p.minValues) > 0 {
		return false
	}
	e.slot = make([]int, states)
	e.cost = make([]float64, states)
	e.best = make([]float64, states)
	e.from = make([]int, states)
	if !e.priceFills(ctx) || !e.fillTable(ctx) {
		return false
	}
	return e.build()
}

type exactSearch struct {
	p           *packer
	items       []int
	most, radix []int
	// slot and cost of the cheapest node for each multiset; −1 and +Inf when
	// there is none.
	slot []int
	cost []float64
	// best cost of covering each multiset, and the fill that starts it.
	best []float64
	from []int
}

func (e *exactSearch) count(state, i int) int { return state / e.radix[i] % (e.most[i] + 1) }

// priceFills finds the cheapest node for each multiset.
func (e *exactSearch) priceFills(ctx context.Context) bool {
	c := e.p.c
	e.slot[0], e.cost[0] = -1, math.Inf(1)
	for state := 1; state < len(e.slot); state++ {
		if state&1023 == 0 && ctx.Err() != nil {
			return false
		}
		e.slot[state], e.cost[state] = -1, math.Inf(1)
		used := make(vec, len(c.d.names))
		for i := range e.items {
			used.addN(e.p.items[e.items[i]].u.req, int64(e.count(state, i)))
		}
		for _, of := range e.p.price.offers {
			if of.cost >= e.cost[state] {
				break
			}
			if !used.fits(c.t.all[of.slot].free) {
				continue
			}
			b, ok := e.fill(of.slot, state)
			if !ok {
				continue
			}
			if usd := c.binCost(b, of.slot); usd < e.cost[state] {
				e.cost[state], e.slot[state] = usd, of.slot
			}
		}
	}
	return true
}

// fill puts a multiset on a new bin.
func (e *exactSearch) fill(slot, state int) (*bin, bool) {
	b := newBin(e.p.c.t, slot)
	for i := range e.items {
		if n := e.count(state, i); n > 0 {
			it := e.p.items[e.items[i]]
			if b.room(e.p.c.groups, it, n) < n {
				return nil, false
			}
			b.add(it, n)
		}
	}
	return b, true
}

func (e *exactSearch) fillTable(ctx context.Context) bool {
	counts := make([]int, len(e.items))
	take := make([]int, len(e.items))
	for state := 1; state < len(e.best); state++ {
		if state&255 == 0 && ctx.Err() != nil {
			return false
		}
		first := -1
		for i := range e.items {
			counts[i] = e.count(state, i)
			take[i] = 0
			if first < 0 && counts[i] > 0 {
				first = i
			}
		}
		e.best[state] = math.Inf(1)
		take[first] = 1
		fill := e.radix[first]
		for {
			if usd := e.cost[fill] + e.best[state-fill]; usd < e.best[state] {
				e.best[state], e.from[state] = usd, fill
			}
			i := first
			for ; i < len(take); i++ {
				if take[i] < counts[i] {
					take[i]++
					fill += e.radix[i]
					break
				}
				low := 0
				if i == first {
					low = 1
				}
				fill -= (take[i] - low) * e.radix[i]
				take[i] = low
			}
			if i == len(take) {
				break
			}
		}
	}
	return !math.IsInf(e.best[len(e.best)-1], 1)
}

// build opens the bins of the optimum if the pools' limits allow it.
func (e *exactSearch) build() bool {
	p := e.p
	var bins []*bin
	limits := p.snapshotLimits()
	for state := len(e.best) - 1; state > 0; state -= e.from[state] {
		fill := e.from[state]
		b, ok := e.fill(e.slot[fill], fill)
		s := &p.c.t.all[e.slot[fill]]
		if !ok || !limits[s.pool].allows(p.c.typeOf(s)) {
			return false
		}
		limits[s.pool].take(p.c.typeOf(s), 1)
		bins = append(bins, b)
	}
	p.limits = limits
	for _, b := range bins {
		for _, l := range b.load {
			p.account(l.it.index, -l.n)
		}
	}
	p.bins = slices.Concat(p.bins, bins)
	return true
}
