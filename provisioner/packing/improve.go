package packing

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
)

// improver makes a packing cheaper without touching what is right about it: the
// cell of each pod stays, so that rules about domains cannot break.
type improver struct {
	p   *packer
	rng *rand.Rand
	// rounds taken.
	rounds int
}

// waste is what a bin costs beyond what the prices say its pods are worth.
func (m *improver) waste(b *bin) float64 {
	w := m.p.c.binCost(b, b.slot)
	for _, l := range b.load {
		if k := m.p.kindOf(l.it.index); k >= 0 {
			w -= float64(l.n) * m.p.price.y[k]
		}
	}
	return w
}

// empty tries to move the most wasteful bins' pods into the room that others
// have left, and drops the bins that come out empty.
func (m *improver) empty(ctx context.Context, most int) {
	p := m.p
	order := slices.Clone(p.bins)
	slices.SortStableFunc(order, func(a, b *bin) int { return cmp.Compare(m.waste(b), m.waste(a)) })
	for _, b := range order[:min(most, len(order))] {
		if ctx.Err() != nil {
			return
		}
		m.rounds++
		if m.scatter(b) {
			p.drop(b)
		}
	}
}

func (p *packer) drop(b *bin) {
	s := &p.c.t.all[b.slot]
	p.limits[s.pool].take(p.c.typeOf(s), -1)
	p.bins = slices.DeleteFunc(p.bins, func(x *bin) bool { return x == b })
}

// scatter moves all of b into other bins, or nothing.
func (m *improver) scatter(b *bin) bool {
	p := m.p
	type undo struct {
		b   *bin
		was *bin
	}
	var log []undo
	for _, l := range b.load {
		n := l.n
		for _, set := range [2][]*bin{p.existing, p.bins} {
			for _, to := range set {
				if n == 0 {
					break
				}
				if to == b {
					continue
				}
				k := to.room(p.c.groups, l.it, n)
				if k == 0 {
					continue
				}
				was := to.clone()
				to.add(l.it, k)
				if !to.fixed && !p.choiceEnough(to) {
					*to = *was
					continue
				}
				log = append(log, undo{to, was})
				n -= k
			}
		}
		if n > 0 {
			for i := len(log) - 1; i >= 0; i-- {
				*log[i].b = *log[i].was
			}
			return false
		}
	}
	return true
}

// recreate takes a few bins apart and packs their pods anew in another style and
// with shaken prices, keeps the result when it is cheaper, and goes on until work is
// spent or the cost is close to the bound.
func (m *improver) recreate(ctx context.Context, work int) {
	p := m.p
	if len(p.bins) == 0 {
		return
	}
	y, st := p.price.y, p.style
	defer func() { p.price.y, p.style = y, st }()
	cost := p.outcome().cost
	for p.price.work < work && cost > goodEnough*p.price.bound {
		if ctx.Err() != nil || len(p.bins) == 0 {
			return
		}
		m.rounds++
		p.price.work += 200
		p.again = 0
		p.style = anyStyle(m.rng)
		chosen := m.choose()
		before := 0.0
		for _, b := range chosen {
			before += p.c.binCost(b, b.slot)
		}
		keep := len(p.bins) - len(chosen)
		kept := make([]*bin, 0, len(p.bins)+2)
		for _, b := range p.bins {
			if !slices.Contains(chosen, b) {
				kept = append(kept, b)
			}
		}
		old := p.bins
		p.bins = kept
		limits := p.snapshotLimits()
		for _, b := range chosen {
			s := &p.c.t.all[b.slot]
			p.limits[s.pool].take(p.c.typeOf(s), -1)
			for _, l := range b.load {
				p.account(l.it.index, l.n)
			}
		}
		log := m.fillRoom(chosen)
		p.price.y = m.shake(y)
		clear(p.dead)
		p.buy(ctx)
		p.price.y = y
		for _, b := range p.bins[keep:] {
			p.shrink(b)
		}
		after := 0.0
		for _, b := range p.bins[keep:] {
			after += p.c.binCost(b, b.slot)
		}
		if after < before-1e-9 && m.settled(chosen) {
			cost += after - before
			continue
		}
		for _, b := range p.bins[keep:] {
			p.undo(b)
		}
		for i := len(log) - 1; i >= 0; i-- {
			p.account(log[i].it.index, log[i].n)
			*log[i].b = *log[i].was
		}
		for _, b := range chosen {
			for _, l := range b.load {
				p.account(l.it.index, -l.n)
			}
		}
		p.bins = old
		p.limits = limits
	}
}

func (p *packer) snapshotLimits() []poolLimit {
	out := make([]poolLimit, len(p.limits))
	for i, l := range p.limits {
		out[i] = poolLimit{names: l.names, left: slices.Clone(l.left)}
	}
	return out
}

// settled tells whether all that was taken out has a place again.
func (m *improver) settled(chosen []*bin) bool {
	for _, b := range chosen {
		for _, l := range b.load {
			if m.p.left[l.it.index] > m.p.base[l.it.index] {
				return false
			}
		}
	}
	return true
}

// fewBins is how many bins are few enough for half or more of them to be taken apart
// at once, every third time.
const fewBins = 60

// choose picks two to six bins, or many of few: one of the most wasteful of a small
// sample, and others that could take its pods.
func (m *improver) choose() []*bin {
	p := m.p
	pick := func(sample int) *bin {
		var best *bin
		bestWaste := 0.0
		for range sample {
			b := p.bins[m.rng.IntN(len(p.bins))]
			if w := m.waste(b); best == nil || w > bestWaste {
				best, bestWaste = b, w
			}
		}
		return best
	}
	chosen := []*bin{pick(4)}
	want := 2 + m.rng.IntN(5)
	if len(p.bins) <= fewBins && m.rng.IntN(3) == 0 {
		want = len(p.bins)/2 + m.rng.IntN(len(p.bins)/2+1)
	}
	for range 4 * want {
		if len(chosen) == want {
			break
		}
		b := pick(2)
		if !slices.Contains(chosen, b) && m.related(chosen[0], b) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}

// related tells whether some pod of one bin may run in the slot of the other.
func (m *improver) related(a, b *bin) bool {
	for _, l := range a.load {
		if l.it.slots.has(b.slot) {
			return true
		}
	}
	return slices.ContainsFunc(b.load, func(l load) bool { return l.it.slots.has(a.slot) })
}

type roomUndo struct {
	b, was *bin
	it     *item
	n      int
}

// maxRoomScan bounds how many bins are looked at for room to spare per round.
const maxRoomScan = 64

// fillRoom uses the room that other bins have for what was taken out.
func (m *improver) fillRoom(chosen []*bin) []roomUndo {
	p := m.p
	var log []roomUndo
	if len(p.bins) == 0 {
		return nil
	}
	start := m.rng.IntN(len(p.bins))
	for n := range min(maxRoomScan, len(p.bins)) {
		to := p.bins[(start+n)%len(p.bins)]
		for _, b := range chosen {
			for _, l := range b.load {
				k := to.room(p.c.groups, l.it, min(l.n, p.left[l.it.index]-p.base[l.it.index]))
				if k <= 0 {
					continue
				}
				was := to.clone()
				to.add(l.it, k)
				if !p.choiceEnough(to) {
					*to = *was
					continue
				}
				p.account(l.it.index, -k)
				log = append(log, roomUndo{to, was, l.it, k})
			}
		}
	}
	return log
}

// shaken is by what share prices vary.
const shaken = 0.07

// shake varies prices so that the greedy choice takes other turns.
func (m *improver) shake(y []float64) []float64 {
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = v * (1 - shaken + 2*shaken*m.rng.Float64())
	}
	return out
}
