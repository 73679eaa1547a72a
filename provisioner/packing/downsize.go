package packing

// shrinkAll moves each bin to the cheapest offer that holds it.
func (p *packer) shrinkAll() {
	for _, b := range p.bins {
		p.shrink(b)
	}
}

func (p *packer) shrink(b *bin) {
	used := b.used(len(p.c.d.names))
	now := p.c.binCost(b, b.slot)
	from := &p.c.t.all[b.slot]
	for i := range p.price.offers {
		of := &p.price.offers[i]
		if of.cost >= now-1e-12 {
			break // offers ascend in cost
		}
		s := &p.c.t.all[of.slot]
		if !b.holds(s, of.slot, used, false) || p.c.binCost(b, of.slot) >= now-1e-12 {
			continue
		}
		p.limits[from.pool].take(p.c.typeOf(from), -1)
		old := b.slot
		if p.limits[s.pool].allows(p.c.typeOf(s)) {
			b.retarget(p.c.t, of.slot, used)
			if p.choiceEnough(b) {
				p.limits[s.pool].take(p.c.typeOf(s), 1)
				return
			}
			b.retarget(p.c.t, old, used)
		}
		p.limits[from.pool].take(p.c.typeOf(from), 1)
	}
}
