package packing

import (
	"cmp"
	"math"
	"slices"
)

// lpColumn is a variable of the master problem: a pattern that covers count[i]
// of row index[i].
type lpColumn struct {
	offer int // index into pricing.offers; −1 when it is none
	cost  float64
	index []int32
	count []float64
}

// masterLP solves min c·x, Ax ≥ d, x ≥ 0. It is a revised primal simplex with an
// explicit inverse: the rows are few and the columns, one per offering, many.
//
// Its answers guide the search and nothing else: the plan is built of real pods,
// and the lower bound is valid for any non-negative prices, so that rounding
// errors cost quality at worst.
type masterLP struct {
	m       int
	demand  []float64
	columns []lpColumn
	basis   []int     // column per row; −1−i is the surplus of row i
	inverse []float64 // m × m, row major
	x       []float64 // values of the basis
	y       []float64 // duals: the price of one more of each row
	alpha   []float64
	pivots  int
}

const (
	lpEps      = 1e-9
	lpRecenter = 64 // pivots between recomputations of x and y from the inverse
)

// newMasterLP starts from one column per row that covers that row alone.
func newMasterLP(demand []float64, singles []lpColumn) *masterLP {
	m := len(demand)
	lp := &masterLP{
		m: m, demand: demand, columns: singles, basis: make([]int, m),
		inverse: make([]float64, m*m), x: make([]float64, m), y: make([]float64, m), alpha: make([]float64, m),
	}
	for i := range m {
		lp.basis[i] = i
		a := singles[i].count[0]
		lp.inverse[i*m+i] = 1 / a
		lp.x[i] = demand[i] / a
		lp.y[i] = singles[i].cost / a
	}
	return lp
}

// reduced is the reduced cost of a column; negative ones improve.
func (lp *masterLP) reduced(c *lpColumn) float64 {
	r := c.cost
	for k, i := range c.index {
		r -= lp.y[i] * c.count[k]
	}
	return r
}

// add appends a column and lets it enter the basis if it improves.
func (lp *masterLP) add(c lpColumn) {
	lp.columns = append(lp.columns, c)
	if lp.reduced(&c) < -lpEps {
		lp.enter(len(lp.columns) - 1)
	}
}

// optimise pivots over the columns at hand until none improves or the budget of
// pivots is spent.
func (lp *masterLP) optimise(budget int) {
	for ; budget > 0; budget-- {
		best, at := -lpEps*10, math.MinInt
		for j := range lp.columns {
			if r := lp.reduced(&lp.columns[j]); r < best {
				best, at = r, j
			}
		}
		for i, y := range lp.y {
			if y < best { // the surplus of row i has reduced cost y
				best, at = y, -1-i
			}
		}
		if at == math.MinInt || !lp.enter(at) {
			return
		}
	}
}

// prune forgets the columns outside the basis that are furthest from improving,
// when there are more than most.
func (lp *masterLP) prune(most int) {
	if len(lp.columns) <= most {
		return
	}
	inBasis := make([]bool, len(lp.columns))
	for _, b := range lp.basis {
		if b >= 0 {
			inBasis[b] = true
		}
	}
	order := make([]int, 0, len(lp.columns))
	cost := make([]float64, len(lp.columns))
	for j := range lp.columns {
		if !inBasis[j] {
			order = append(order, j)
			cost[j] = lp.reduced(&lp.columns[j]) / lp.columns[j].cost
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(cost[a], cost[b]) })
	for _, j := range order[:min(len(order), max(0, most-lp.m))] {
		inBasis[j] = true
	}
	moved := make([]int, len(lp.columns))
	kept := lp.columns[:0]
	for j, keep := range inBasis {
		if keep {
			moved[j] = len(kept)
			kept = append(kept, lp.columns[j])
		}
	}
	lp.columns = kept
	for i, b := range lp.basis {
		if b >= 0 {
			lp.basis[i] = moved[b]
		}
	}
}

// enter brings a column into the basis; false means the step was degenerate
// beyond use.
func (lp *masterLP) enter(j int) bool {
	m := lp.m
	var r float64
	if j < 0 {
		r = lp.y[-1-j]
		for i := range m {
			lp.alpha[i] = -lp.inverse[i*m-1-j]
		}
	} else {
		c := &lp.columns[j]
		r = lp.reduced(c)
		for i := range m {
			row, s := lp.inverse[i*m:(i+1)*m], 0.0
			for k, at := range c.index {
				s += row[at] * c.count[k]
			}
			lp.alpha[i] = s
		}
	}
	leave, step := -1, math.Inf(1)
	for i, a := range lp.alpha {
		if a <= lpEps {
			continue
		}
		t := math.Max(lp.x[i], 0) / a
		if t < step-1e-12 || t < step+1e-12 && leave >= 0 && a > lp.alpha[leave] {
			leave, step = i, math.Min(t, step)
		}
	}
	if leave < 0 {
		return false
	}
	pivot := lp.alpha[leave]
	prow := lp.inverse[leave*m : (leave+1)*m]
	for k := range prow {
		prow[k] /= pivot
	}
	for i, a := range lp.alpha {
		if i == leave || a == 0 {
			continue
		}
		row := lp.inverse[i*m : (i+1)*m]
		for k, v := range prow {
			row[k] -= a * v
		}
		lp.x[i] = math.Max(lp.x[i]-a*step, 0)
	}
	lp.x[leave] = step
	lp.basis[leave] = j
	for k, v := range prow {
		lp.y[k] += r * v
	}
	if lp.pivots++; lp.pivots%lpRecenter == 0 {
		lp.recentre()
	}
	return true
}

func (lp *masterLP) recentre() {
	m := lp.m
	for k := range lp.y {
		lp.y[k] = 0
	}
	for i := range m {
		row, s := lp.inverse[i*m:(i+1)*m], 0.0
		cost := 0.0
		if b := lp.basis[i]; b >= 0 {
			cost = lp.columns[b].cost
		}
		for k, v := range row {
			s += v * lp.demand[k]
			lp.y[k] += cost * v
		}
		lp.x[i] = math.Max(s, 0)
	}
}
