package packing

import (
	"cmp"
	"math"
	"slices"
)

// hotOffers is how many of the best offers of the wanted size are looked at.
const hotOffers = 20

// wellFilled is the worth of a fill, as a share of its cost, that ends the search
// for a better one.
const wellFilled = 0.985

// Between two searches among all offers, the few that were best last time are
// looked at again, as long as they fill about as well.
const (
	recentOffers = 4
	recentTimes  = 8
	recentDrop   = 0.01
)

// choose finds the fill to buy next: of a node of the size that nodes should have,
// or of a smaller one when those do not fill well.
func (p *packer) choose(remaining float64) (lpColumn, int) {
	if p.again > 0 {
		p.again--
		enough := math.Inf(1)
		if len(p.c.p.Pods) >= largePods {
			enough = p.lastRatio
		}
		if col, o, ratio := p.best(p.recent, remaining, enough); o >= 0 && ratio >= p.lastRatio-recentDrop {
			return col, o
		}
	}
	p.recent = p.recent[:0]
	col, o, ratio := p.best(p.sized(remaining), remaining, math.Inf(1))
	p.remember()
	if o >= 0 && ratio < wellFilled {
		if c, smaller, r := p.best(p.smaller(p.price.offers[o].cost), remaining, math.Inf(1)); r > ratio {
			col, o, ratio = c, smaller, r
		}
		p.remember()
	}
	if o < 0 {
		col, o, ratio = p.best(p.price.hot, remaining, math.Inf(1))
	}
	p.again, p.lastRatio = recentTimes, ratio
	return col, o
}

// remember adds the best of the offers just looked at to the recent ones.
func (p *packer) remember() {
	slices.SortStableFunc(p.seen, func(a, b rated) int { return cmp.Compare(b.ratio, a.ratio) })
	for _, r := range p.seen[:min(len(p.seen), recentOffers)] {
		p.recent = append(p.recent, r.offer)
	}
}

// rated is an offer with the worth of its best fill per dollar.
type rated struct {
	offer int
	ratio float64
}

// sized are the best offers of about the size that nodes should have: large, for
// large nodes fill well and waste little on daemons, but not so large that pods
// that must be apart are left without company, nor that the last node is half empty.
func (p *packer) sized(remaining float64) []int {
	target := remaining / max(p.style.fewest, p.nodesNeeded())
	low, high := min(target/2, p.price.dearest/4), target*p.style.largest
	p.candidates = p.candidates[:0]
	for _, o := range p.price.hot {
		if usd := p.price.offers[o].cost; usd >= low && usd <= high {
			if p.candidates = append(p.candidates, o); len(p.candidates) == hotOffers {
				break
			}
		}
	}
	if len(p.candidates) == 0 {
		return p.price.hot[:min(hotOffers, len(p.price.hot))]
	}
	return p.candidates
}

// offersPerSize is how many offers of each smaller size, by powers of two of their
// cost, are looked at.
const offersPerSize = 6

// smaller are the best offers of each of some sizes below a cost.
func (p *packer) smaller(below float64) []int {
	p.candidates = p.candidates[:0]
	var count [16]int
	for _, o := range p.price.hot {
		c := p.price.offers[o].cost
		if c >= below {
			continue
		}
		if step := int(math.Log2(below / c)); step < len(count) && count[step] < offersPerSize {
			count[step]++
			p.candidates = append(p.candidates, o)
		}
	}
	return p.candidates
}

// best looks for the offer of which a fill is worth most per dollar, and for no other once one is worth enough.
func (p *packer) best(offers []int, remaining, enough float64) (lpColumn, int, float64) {
	var best lpColumn
	at, ratio := -1, 0.0
	p.seen = p.seen[:0]
	for _, o := range offers {
		of := &p.price.offers[o]
		s := &p.c.t.all[of.slot]
		if p.dead[of.slot] || !p.limits[s.pool].allows(p.c.typeOf(s)) {
			continue
		}
		col, value := p.price.fill(o, fillOf{p.price.y, p.kindLeft, remaining, p.style})
		if len(col.index) == 0 {
			col, value = p.worthless(o)
		}
		if len(col.index) > 0 {
			p.seen = append(p.seen, rated{o, value / col.cost})
		}
		if len(col.index) > 0 && (at < 0 || value/col.cost > ratio) {
			if best, at, ratio = col, o, value/col.cost; ratio >= enough {
				break
			}
		}
	}
	return best, at, ratio
}

// worthless fills an offer with kinds that have no price: those that only ride
// along in the LP's solution, or whose penalty eats their value.
func (p *packer) worthless(o int) (lpColumn, float64) {
	of := &p.price.offers[o]
	for _, k := range p.order {
		if p.kindLeft[k] > 0 && of.kinds.has(k) {
			return lpColumn{cost: of.cost, index: []int32{int32(k)}, count: []float64{1}}, 1e-9
		}
	}
	return lpColumn{}, 0
}
