package packing

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// assigner gives every pod with rules about domains a cell, one pod at a time, so
// that each step is one that kube-scheduler could have taken, and puts pods with
// such rules on existing nodes where that is free.
type assigner struct {
	c     *compiled
	cells *cellTable
	items []*item
	// byCell finds the item of a unit and cell.
	byCell map[*unit]map[*cell]*item
	// ordered pods in the order in which they got their cells, pods that got another one later more than once; free
	// pods have no rules about domains, so that they can come after all others.
	ordered, free []int32
	// stuck pods have no cell that their rules allow; per unit.
	stuck []stuck
	// rng, when set, varies the estimated prices of cells by factors of up to
	// exp(varied), and down to its inverse.
	rng    *rand.Rand
	varied float64
}

type stuck struct {
	u    *unit
	pods []int32
}

func newAssigner(c *compiled) *assigner {
	return &assigner{c: c, cells: &cellTable{c: c, byKey: map[string][]*cell{}}, byCell: map[*unit]map[*cell]*item{}}
}

// run assigns all units; those that wait for others are tried again as long as
// something moves.
func (a *assigner) run(units []*unit) {
	left := make([]stuck, 0, len(units))
	for _, u := range units {
		left = append(left, stuck{u, u.pods})
	}
	a.seatNarrow(left)
	for progress := true; progress && len(left) > 0; {
		progress = false
		var next []stuck
		for _, s := range left {
			rest := a.assign(s.u, s.pods)
			if len(rest) < len(s.pods) {
				progress = true
			}
			if len(rest) > 0 {
				next = append(next, stuck{s.u, rest})
			}
		}
		left = next
	}
	a.stuck = append(a.stuck, left...)
}

// seatNarrow puts pods without rules about domains on existing nodes where pods with such rules, which may go to more
// places, would otherwise be put first: what is left for the latter is more than what would be left for the former.
func (a *assigner) seatNarrow(list []stuck) {
	if len(a.c.existing) == 0 {
		return
	}
	wide := map[string]*unit{} // the least urgent of the units of each set of slots
	for _, s := range list {
		if len(s.u.keys) == 0 {
			continue
		}
		key := s.u.fits.key()
		if w := wide[key]; w == nil || s.u.priority() < w.priority() {
			wide[key] = s.u
		}
	}
	if len(wide) == 0 {
		return
	}
	narrow := map[string]bool{}
	for i := range list {
		u := list[i].u
		if len(u.keys) > 0 || u.onlyWith(a.c.groups) || u.fits.empty() {
			continue
		}
		key := fmt.Sprint(u.priority(), u.fits.key())
		is, known := narrow[key]
		if !known {
			for _, w := range wide {
				is = is || w.priority() <= u.priority() && w.fits.contains(u.fits) && !u.fits.contains(w.fits)
			}
			narrow[key] = is
		}
		if is {
			list[i].pods = a.seat(u, list[i].pods)
		}
	}
}

// seat puts pods of a unit without rules about domains on existing nodes, the fullest first, and returns the others.
func (a *assigner) seat(u *unit, pods []int32) []int32 {
	it := a.item(u, nil)
	var bins []*bin
	u.fits.each(func(s int) bool {
		if s >= a.c.t.first {
			bins = append(bins, a.c.existing[s-a.c.t.first])
		}
		return true
	})
	fullestFirst(a.c, bins)
	for _, b := range bins {
		n := b.roomAnySlot(a.c.groups, it, len(pods)/u.size)
		if n == 0 {
			continue
		}
		b.add(it, n)
		it.pods = append(it.pods, pods[:n*u.size]...)
		pods = pods[n*u.size:]
		a.tally(u, nil, int32(n))
	}
	return pods
}

// assign gives pods of u cells and returns those that found none.
func (a *assigner) assign(u *unit, pods []int32) []int32 {
	if len(pods) == 0 || u.fits.empty() {
		return pods
	}
	if len(u.keys) == 0 && !u.onlyWith(a.c.groups) {
		a.put(u, nil, pods)
		a.free = append(a.free, pods...)
		a.tally(u, nil, int32(len(pods)/u.size))
		return nil
	}
	cells := a.cells.of(u)
	cursor := make([]int, len(cells))
	base := make([]float64, len(cells))
	for i, cl := range cells {
		base[i] = a.cells.price(cl, u)
		if a.rng != nil {
			base[i] *= math.Exp(a.varied * (2*a.rng.Float64() - 1))
		}
	}
	for len(pods) > 0 {
		best, bestScore, bestTie := -1, math.Inf(1), int32(0)
		var into *bin
		for i, cl := range cells {
			if u.banned[cl.id] || !a.allowed(u, cl) {
				continue
			}
			b := a.existing(u, cl, &cursor[i])
			score := base[i]
			if b != nil {
				score = 0
			}
			if u.onlyWith(a.c.groups) && b == nil || math.IsInf(score, 1) {
				continue
			}
			score += a.soft(u, cl)
			tie := a.crowd(u, cl)
			if best < 0 || score < bestScore-1e-12 || score < bestScore+1e-12 && tie < bestTie {
				best, bestScore, bestTie, into = i, score, tie, b
			}
		}
		if best < 0 {
			return pods
		}
		one := pods[:u.size:u.size]
		pods = pods[u.size:]
		a.ordered = append(a.ordered, one...)
		if into != nil {
			it := a.item(u, cells[best])
			into.add(it, 1)
			it.pods = append(it.pods, one...)
		} else {
			a.put(u, cells[best], one)
		}
		a.tally(u, cells[best], 1)
	}
	return nil
}

// existing returns an existing bin of the cell with room, moving the cursor past
// bins that have none: they only get fuller.
func (a *assigner) existing(u *unit, cl *cell, cursor *int) *bin {
	for ; *cursor < len(cl.bins); *cursor++ {
		b := cl.bins[*cursor]
		if b.roomAnySlot(a.c.groups, a.item(u, cl), 1) > 0 && a.joins(u, b) {
			return b
		}
	}
	return nil
}

// tally counts n copies of u into, or with a negative n out of, a cell.
func (a *assigner) tally(u *unit, cl *cell, n int32) {
	for _, p := range u.parts {
		for _, gi := range p.c.topology.matches {
			g := a.c.groups[gi]
			if g.hostname {
				g.total += n * int32(p.n)
				continue
			}
			if v := a.value(u, cl, g); v >= 0 && (g.eligible == nil || g.eligible.intersects(cl.slots)) {
				g.matched[v] += n * int32(p.n)
				g.total += n * int32(p.n)
			}
		}
		for _, gi := range p.c.topology.anti {
			if g := a.c.groups[gi]; !g.hostname {
				if v := a.value(u, cl, g); v >= 0 {
					g.owners[v] += n * int32(p.n)
				}
			}
		}
	}
}

// item returns the item of a unit and cell, making it when there is none.
func (a *assigner) item(u *unit, cl *cell) *item {
	if it, ok := a.byCell[u][cl]; ok {
		return it
	}
	it := &item{u: u, cell: cl, open: u.fits, index: len(a.items)}
	if cl != nil {
		it.open = cl.slots
	}
	it.narrow(a.c.t, 0)
	if a.byCell[u] == nil {
		a.byCell[u] = map[*cell]*item{}
	}
	a.byCell[u][cl] = it
	a.items = append(a.items, it)
	return it
}

func (a *assigner) put(u *unit, cl *cell, pods []int32) {
	it := a.item(u, cl)
	it.pods = append(it.pods, pods...)
	it.todo += len(pods) / u.size
}

// fullestFirst orders bins so that filling them in order leaves whole nodes empty.
func fullestFirst(c *compiled, bins []*bin) {
	free := func(b *bin) float64 {
		s := 0.0
		for r, x := range b.free {
			s += float64(x) / c.scale[r]
		}
		return s
	}
	slices.SortStableFunc(bins, func(x, y *bin) int { return cmp.Compare(free(x), free(y)) })
}

// order lists the pods that are placed, those with rules about domains first and each where it last got its cell.
func (a *assigner) order(placed []bool) []int {
	all := slices.Concat(a.ordered, a.free)
	out := make([]int, 0, len(all))
	for _, pod := range slices.Backward(all) {
		if placed[pod] {
			placed[pod] = false
			out = append(out, int(pod))
		}
	}
	slices.Reverse(out)
	return out
}
