package packing

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// packer turns items into bins.
type packer struct {
	c     *compiled
	items []*item
	price *pricing
	// left is the number of copies of each item that have no bin yet, and
	// kindLeft of each kind.
	left     []int
	kindLeft []int
	// base is left at the end of construction: what could not be placed.
	base     []int
	bins     []*bin // bought
	existing []*bin
	limits   []poolLimit
	// order of kinds for topping up: dearest first.
	order []int
	// minValues are the checks of pools with minValues, by pool.
	minValues map[int]*minValuesCheck
	// dead slots took not one pod when last tried.
	dead       map[int]bool
	candidates []int // scratch
	apart      []apartness
	style      style
	// recent offers were best when all were looked at last, and lastRatio was the
	// worth of the best; they are looked at again times more.
	recent    []int
	seen      []rated
	lastRatio float64
	again     int
}

func newPacker(c *compiled, items []*item, price *pricing) *packer {
	p := &packer{
		c: c, items: items, price: price, left: make([]int, len(items)), kindLeft: make([]int, len(price.kinds)),
		minValues: c.minValueChecks(), dead: map[int]bool{},
	}
	for i, it := range items {
		p.left[i] = it.todo
	}
	for k, kd := range price.kinds {
		for _, i := range kd.items {
			p.kindLeft[k] += p.left[i]
		}
		p.order = append(p.order, k)
	}
	p.sortKinds()
	for i := range c.t.pools {
		l := c.t.pools[i]
		l.left = slices.Clone(l.left)
		p.limits = append(p.limits, l)
	}
	p.apart = p.apartnesses()
	price.need = make([]float64, len(price.kinds))
	for _, b := range c.existing {
		p.existing = append(p.existing, b.clone())
	}
	return p
}

// sortKinds orders the kinds for topping up.
func (p *packer) sortKinds() {
	slices.SortFunc(p.order, func(a, b int) int {
		return cmp.Or(cmp.Compare(p.price.y[b], p.price.y[a]), cmp.Compare(a, b))
	})
}

// put moves up to n copies of item i onto b and returns how many.
func (p *packer) put(b *bin, i, n int) int {
	it := p.items[i]
	n = min(n, p.left[i])
	if n = b.room(p.c.groups, it, n); n == 0 {
		return 0
	}
	b.add(it, n)
	p.account(i, -n)
	return n
}

// kindOf is the kind of an item, −1 when no node can be bought for it.
func (p *packer) kindOf(i int) int {
	if len(p.price.kinds) == 0 {
		return -1
	}
	return p.items[i].kind
}

// take moves up to n copies of a kind onto b.
func (p *packer) take(b *bin, k, n int) int {
	done := 0
	for _, i := range p.price.kinds[k].items {
		if done == n {
			break
		}
		if p.left[i] > 0 {
			done += p.put(b, i, n-done)
		}
	}
	return done
}

// fillExisting puts items onto existing nodes, which cost nothing: the items
// that are dearest to buy for first, each on the node whose free room is most like it or,
// where there are too many to compare, on the fullest node that takes it.
func (p *packer) fillExisting() {
	bins := slices.Clone(p.existing)
	fullestFirst(p.c, bins)
	order := make([]int, len(p.items))
	worth := make([]float64, len(p.items))
	size := make([]float64, len(p.items))
	for i := range p.items {
		for r, x := range p.items[i].u.req {
			size[i] = max(size[i], float64(x)/p.c.scale[r])
		}
		order[i] = i
		worth[i] = math.Inf(1) // cannot be bought for at all
		if k := p.kindOf(i); k >= 0 {
			worth[i] = p.price.y[k]
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if x, y := p.items[a].u.parts[0].c.priority, p.items[b].u.parts[0].c.priority; x != y {
			return cmp.Compare(y, x)
		}
		return cmp.Or(cmp.Compare(worth[b], worth[a]), cmp.Compare(size[b], size[a]))
	})
	for _, i := range order {
		if p.left[i] > 0 && p.left[i]*len(bins) <= maxFitted {
			p.fitExisting(i)
			continue
		}
		for _, b := range bins {
			if p.left[i] == 0 {
				break
			}
			p.put(b, i, p.left[i])
		}
	}
}

// maxFitted is up to how many copies times nodes the best node is looked for copy by
// copy: beyond it the first that takes them must do, or time would grow with the
// square of the cluster.
const maxFitted = 1 << 16

// fitExisting puts the copies of an item one by one on the node whose free room is
// most like what the item asks for, so that no node runs out of one resource while
// another is left over (the dot-product rule of Panigrahy et al., Heuristics for
// Vector Bin Packing, 2011).
func (p *packer) fitExisting(i int) {
	it := p.items[i]
	for p.left[i] > 0 {
		var best *bin
		most := math.Inf(-1)
		for _, b := range p.existing {
			if b.room(p.c.groups, it, 1) == 0 {
				continue
			}
			if like := p.c.likeness(it.u.req, b.free); like > most {
				best, most = b, like
			}
		}
		if best == nil {
			return
		}
		p.put(best, i, 1)
	}
}

// likeness is the cosine of the angle between what is asked for and what is free, of
// the resources asked for and each in its own scale.
func (c *compiled) likeness(req, free vec) float64 {
	dot, asked, has := 0.0, 0.0, 0.0
	for r, x := range req {
		if x == 0 {
			continue
		}
		a, f := float64(x)/c.scale[r], float64(free[r])/c.scale[r]
		dot += a * f
		asked += a * a
		has += f * f
	}
	if dot <= 0 {
		return 0
	}
	return dot / math.Sqrt(asked*has)
}

// restart takes all bought bins apart.
func (p *packer) restart() {
	for _, b := range p.bins {
		s := &p.c.t.all[b.slot]
		p.limits[s.pool].take(p.c.typeOf(s), -1)
		for _, l := range b.load {
			p.account(l.it.index, l.n)
		}
	}
	p.bins = nil
	clear(p.dead)
}

// boundRest bounds the cost of nodes for what the existing ones have not taken.
func (p *packer) boundRest() float64 {
	var list []wanted
	for i, n := range p.left {
		if n > 0 && p.kindOf(i) >= 0 {
			list = append(list, wanted{u: p.items[i].u, n: n, slots: p.items[i].slots})
		}
	}
	return p.c.cover(list, nil, true).value
}

// buy opens bins for what is left, the fill that is worth most per dollar first.
func (p *packer) buy(ctx context.Context) {
	for ctx.Err() == nil {
		remaining := 0.0
		for k, n := range p.kindLeft {
			remaining += float64(n) * p.price.y[k]
		}
		if !p.anyLeft() {
			return
		}
		col, o := p.choose(remaining)
		if o < 0 {
			return
		}
		if !p.open(o, col) {
			p.dead[p.price.offers[o].slot] = true
		}
	}
}

func (p *packer) anyLeft() bool {
	return slices.ContainsFunc(p.kindLeft, func(n int) bool { return n > 0 })
}

// open buys nodes of one offer for a pattern as often as the pattern can be
// repeated; false means that not one pod went in.
func (p *packer) open(o int, col lpColumn) bool {
	repeat := math.MaxInt32
	for n, i := range col.index {
		repeat = min(repeat, p.kindLeft[i]/max(1, int(col.count[n])))
	}
	opened := false
	for range max(1, repeat) {
		ok, whole := p.openOnce(o, col)
		opened = opened || ok
		if !whole {
			break // the rules did not let the pattern come true: look again
		}
	}
	return opened
}

// openOnce buys one node for a pattern.
func (p *packer) openOnce(o int, col lpColumn) (ok, whole bool) {
	slot := p.price.offers[o].slot
	s := &p.c.t.all[slot]
	if !p.limits[s.pool].allows(p.c.typeOf(s)) {
		return false, false
	}
	b, whole := p.realise(slot, col)
	if b == nil {
		return false, false
	}
	p.limits[s.pool].take(p.c.typeOf(s), 1)
	p.bins = append(p.bins, b)
	return true, whole
}

// realise fills a bin with real items after a pattern; whole tells whether all
// of the pattern came true. Where the pool's minValues want more choice than the
// pattern leaves, the pattern is halved until there is enough.
func (p *packer) realise(slot int, col lpColumn) (b *bin, whole bool) {
	_, choosy := p.minValues[p.c.t.all[slot].pool]
	for scale := 1; ; scale *= 2 {
		b, whole = newBin(p.c.t, slot), scale == 1
		tried := 0
		for n, k := range col.index {
			want := (int(col.count[n]) + scale - 1) / scale
			if scale > 1 && tried > 0 && scale >= int(col.count[n])*4 {
				continue
			}
			tried += want
			whole = p.take(b, int(k), want) == want && whole
		}
		if !choosy {
			p.topUp(b)
		}
		if len(b.load) == 0 {
			return nil, false
		}
		if p.choiceEnough(b) {
			return b, whole
		}
		n := b.copies()
		p.undo(b)
		if n <= 1 {
			return nil, false
		}
	}
}

// topUp adds whatever still fits, dearest first.
func (p *packer) topUp(b *bin) {
	p.price.work += len(p.order) / 2 // it takes about half as long for each kind as a fill
	for _, k := range p.order {
		kd := p.price.kinds[k]
		if p.kindLeft[k] > 0 && kd.slots.has(b.slot) {
			p.take(b, k, p.kindLeft[k])
		}
	}
}

// undo returns what is on a bin to the unplaced.
func (p *packer) undo(b *bin) {
	for _, l := range b.load {
		p.account(l.it.index, l.n)
	}
	b.load = nil
}

// account changes the number of copies of item i that have no bin.
func (p *packer) account(i, n int) {
	p.left[i] += n
	if k := p.kindOf(i); k >= 0 {
		p.kindLeft[k] += n
	}
}

// binCost is what a bin costs at a slot, penalties included.
func (c *compiled) binCost(b *bin, slot int) float64 {
	usd := c.t.all[slot].cost
	for i := range b.load {
		if pen := b.load[i].it.u.penalty; pen != nil {
			usd += pen[slot] * float64(b.load[i].n)
		}
	}
	return usd
}
