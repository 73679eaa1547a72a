package packing

import (
	"cmp"
	"math"
	"slices"
)

const (
	// maxShareRounds bounds its column generation: what a round adds later is little.
	maxShareRounds = 80
	// shareTolerance ends it when the bound is within this share of the LP's value.
	shareTolerance = 0.0005
	// sharePivots bounds the pivots of a round.
	sharePivots = 400
	// shareCentre is the weight of the prices of the best bound so far in those that are
	// tried next, which keeps the prices from swinging (P. Wentges, "Weighted Dantzig-Wolfe
	// decomposition for linear mixed-integer programming", Int. Trans. Oper. Res. 4, 1997).
	shareCentre = 0.85
)

// sharing is the cover with a row for each of many sets of pods, which share the room of
// nodes: where the cover only sees what all pods ask for in total, as if any pod had the
// shape that a node is cheapest for, and lets the smallest node count for every group that
// must be apart at once, a node here counts for the pods that fit on it together. Its columns
// are an offering with pods of the rows on it, found by a knapsack's relaxation (Gilmore and
// Gomory 1961; the prices of every round give a bound, as in Farley 1990). Pods in no row are
// seen in total only.
type sharing struct {
	c      *compiled
	offers []shareOffer
	// most of a resource that one node could be used for.
	gross     []float64
	resources []int
	rows      []shareRow
	sack      knapsack
}

// shareOffer is an offering, for all of equal price and size.
type shareOffer struct {
	slot int
	base lpColumn
	// upper is how many of the pods of each row one node may hold, divided by their most.
	upper []float64
}

// sharingBound is a lower bound on the cost of any plan for the pods, not above the cost of a
// plan that is known: no node of a cheaper plan costs as much as the whole of that.
func (c *compiled) sharingBound(list []wanted, existing []slot, known float64) float64 {
	x := &sharing{c: c}
	demand := x.demand(list, existing)
	if len(demand) == 0 {
		return 0
	}
	x.buildOffers(known)
	singles := make([]lpColumn, len(demand))
	for n := range singles {
		if singles[n] = x.single(n); math.IsInf(singles[n].cost, 1) {
			if math.IsInf(known, 1) {
				return 0 // there is no price for it
			}
			return known // it takes a node that costs as much
		}
	}
	y := x.pricesOf(list, existing, len(demand))
	lp := newMasterLP(demand, singles)
	for i := range x.offers {
		lp.columns = append(lp.columns, x.offers[i].base)
	}
	return min(x.ascend(lp, y), known)
}

// ascend generates columns and returns the best bound that some prices gave.
func (x *sharing) ascend(lp *masterLP, centre []float64) float64 {
	y := slices.Clone(centre)
	theta, _ := x.price(lp, y)
	best := 0.0
	for n := range y {
		centre[n] *= theta
		best += centre[n] * lp.demand[n]
	}
	lp.optimise(sharePivots)
	central := true
	for range maxShareRounds {
		value := 0.0
		for n := range y {
			if y[n] = math.Max(lp.y[n], 0); central {
				y[n] += shareCentre * (centre[n] - y[n])
			}
			value += y[n] * lp.demand[n]
		}
		theta, added := x.price(lp, y)
		if theta*value > best {
			best = theta * value
			for n := range y {
				centre[n] = theta * y[n]
			}
		}
		if !added {
			if !central {
				break
			}
			central = false // the LP's own prices may still find some
			continue
		}
		lp.optimise(sharePivots)
		lp.prune(3*lp.m + len(x.offers))
		central = true
		value = 0
		for n := range lp.y {
			value += math.Max(lp.y[n], 0) * lp.demand[n]
		}
		if value <= best*(1+shareTolerance) {
			break
		}
	}
	return best
}

// pricesOf are the cover's prices, for the rows of the LP.
func (x *sharing) pricesOf(list []wanted, existing []slot, rows int) []float64 {
	y := make([]float64, rows)
	cover := x.c.cover(list, existing, false)
	for n, r := range x.resources {
		y[n] = cover.price[r]
	}
	return y
}

// buildOffers lists the offerings below a price, cheapest first, without those that another
// holds as much as for no more.
func (x *sharing) buildOffers(below float64) {
	t := x.c.t
	order := make([]int, 0, t.first)
	for i := range t.first {
		if sl := &t.all[i]; sl.priced && sl.price < below {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(t.all[a].price, t.all[b].price) })
	var masks []uint64
	for _, i := range order {
		sl, mask := &t.all[i], uint64(0)
		for n := range x.rows {
			if x.rows[n].slots.has(i) {
				mask |= 1 << n
			}
		}
		beaten := false
		for k := range x.offers {
			if beaten = mask&^masks[k] == 0 && sl.free.fits(t.all[x.offers[k].slot].free); beaten {
				break
			}
		}
		if beaten {
			continue
		}
		o := shareOffer{slot: i, base: lpColumn{cost: sl.price}, upper: make([]float64, len(x.rows))}
		for n := range x.rows {
			if row := &x.rows[n]; mask&(1<<n) != 0 {
				o.upper[n] = float64(row.req.times(sl.free, row.limit)) / float64(row.most)
			}
		}
		for n, r := range x.resources {
			if sl.free[r] > 0 {
				o.base.index = append(o.base.index, int32(n))
				o.base.count = append(o.base.count, math.Min(float64(sl.free[r])/x.c.scale[r], x.gross[r]))
			}
		}
		if len(o.base.index) > 0 || mask != 0 {
			x.offers, masks = append(x.offers, o), append(masks, mask)
		}
	}
}

// single is the column that is cheapest for one row of the LP alone.
func (x *sharing) single(n int) lpColumn {
	best := lpColumn{cost: math.Inf(1), index: []int32{int32(n)}, count: []float64{1}}
	for i := range x.offers {
		o := &x.offers[i]
		count := 0.0
		if n >= len(x.resources) {
			count = o.upper[n-len(x.resources)]
		} else if k := slices.Index(o.base.index, int32(n)); k >= 0 {
			count = o.base.count[k]
		}
		if count > 0 && o.base.cost/count < best.cost/best.count[0] {
			best.cost, best.count[0] = o.base.cost, count
		}
	}
	return best
}

// price adds to the LP the columns that the prices pay for, and returns by how much the
// prices must be scaled, at most 1, for no column of all that there are to be worth more
// than it costs.
func (x *sharing) price(lp *masterLP, y []float64) (theta float64, added bool) {
	theta = 1
	first := len(x.resources)
	for i := range x.offers {
		o := &x.offers[i]
		base := 0.0
		for k, at := range o.base.index {
			base += y[at] * o.base.count[k]
		}
		most := base
		for n := range x.rows {
			most += y[first+n] * o.upper[n]
		}
		if most <= o.base.cost {
			continue
		}
		col, worth := x.fill(o, y)
		if worth += base; worth > o.base.cost {
			theta = math.Min(theta, o.base.cost/worth)
		}
		if lp.reduced(&col) < -1e-7*col.cost {
			lp.columns = append(lp.columns, col)
			added = true
		}
	}
	return theta, added
}

// fill finds the pods of groups that are worth most on a node; worth is an upper bound.
func (x *sharing) fill(o *shareOffer, y []float64) (col lpColumn, worth float64) {
	free := x.c.t.all[o.slot].free
	x.sack.reset(len(free))
	for n := range x.rows {
		row, most := &x.rows[n], o.upper[n]
		v := y[len(x.resources)+n]
		if most <= 0 || v <= 0 {
			continue
		}
		for r, q := range row.req {
			a := 0.0
			if q > 0 {
				a = float64(q) * float64(row.most) / float64(free[r])
			}
			x.sack.a = append(x.sack.a, a)
		}
		x.sack.column(int32(len(x.resources)+n), v, most)
	}
	col = lpColumn{cost: o.base.cost, index: slices.Clone(o.base.index), count: slices.Clone(o.base.count)}
	if x.sack.n == 0 {
		return col, 0
	}
	worth = x.sack.solve()
	for j, q := range x.sack.x {
		if q > 1e-9 {
			col.index, col.count = append(col.index, x.sack.id[j]), append(col.count, q)
		}
	}
	return col, worth
}
