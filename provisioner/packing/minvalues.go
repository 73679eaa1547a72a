package packing

// minValuesCheck counts, per requirement of a pool that sets minValues, how many
// values the slots that hold a bin offer.
type minValuesCheck struct {
	c     *compiled
	rules []minValuesRule
	// slots of the pool, cheapest first.
	slots []int
}

type minValuesRule struct {
	index *labelIndex
	want  int
}

func (c *compiled) minValueChecks() map[int]*minValuesCheck {
	out := map[int]*minValuesCheck{}
	for i := range c.p.Pools {
		if !c.needsMinValues(i) {
			continue
		}
		m := &minValuesCheck{c: c}
		for j := range c.p.Pools[i].Requirements {
			r := &c.p.Pools[i].Requirements[j]
			if r.MinValues != nil && *r.MinValues > 1 {
				m.rules = append(m.rules, minValuesRule{c.t.byLabel(r.Key), *r.MinValues})
			}
		}
		for s := range c.t.first {
			if c.t.all[s].pool == i {
				m.slots = append(m.slots, s)
			}
		}
		out[i] = m
	}
	return out
}

// choiceEnough tells whether the offerings of its pool that would hold a bin are
// as various as the pool's minValues demand.
func (p *packer) choiceEnough(b *bin) bool {
	m, ok := p.minValues[p.c.t.all[b.slot].pool]
	return !ok || m.enough(b)
}

func (m *minValuesCheck) enough(b *bin) bool {
	used := b.used(len(m.c.d.names))
	seen := make([]map[int32]bool, len(m.rules))
	for i := range seen {
		seen[i] = map[int32]bool{}
	}
	for _, s := range m.slots {
		if !b.holds(&m.c.t.all[s], s, used, false) || !m.c.noLarger(&m.c.t.all[s], &m.c.t.all[b.slot]) {
			continue
		}
		short := false
		for i, r := range m.rules {
			if v := r.index.of[s]; v >= 0 {
				seen[i][v] = true
			}
			short = short || len(seen[i]) < r.want
		}
		if !short {
			return true
		}
	}
	return false
}

// noLarger tells whether s counts for no more than chosen against the limits of
// their pool: only then may it be launched instead whatever else is bought.
func (c *compiled) noLarger(s, chosen *slot) bool {
	l := &c.t.pools[chosen.pool]
	for i := range l.names {
		if l.use(i, c.typeOf(s)) > l.use(i, c.typeOf(chosen)) {
			return false
		}
	}
	return true
}
