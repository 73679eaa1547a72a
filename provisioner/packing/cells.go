package packing

import (
	"encoding/binary"
	"math"
	"strings"
)

// cell is one combination of values of the label keys that a unit's rules are
// about, such as one zone, or one zone and capacity type.
type cell struct {
	id     string
	values []int32 // per key of the unit; −1 where the label is absent
	slots  bitset
	// bins are the existing bins of the cell, fullest first.
	bins []*bin
	// prices caches the estimated price of a request here.
	prices map[string]float64
}

// cellTable enumerates cells once per set of slots and keys.
type cellTable struct {
	c     *compiled
	byKey map[string][]*cell
}

func (t *cellTable) of(u *unit) []*cell {
	key := strings.Join(u.keys, "\x00") + "\x01" + u.fits.key()
	if cells, ok := t.byKey[key]; ok {
		return cells
	}
	var cells []*cell
	byID := map[string]*cell{}
	indexes := make([]*labelIndex, len(u.keys))
	for k, name := range u.keys {
		indexes[k] = t.c.t.byLabel(name)
	}
	var id []byte
	u.fits.each(func(s int) bool {
		id = id[:0]
		for _, ix := range indexes {
			id = binary.AppendVarint(id, int64(ix.of[s]))
		}
		c, ok := byID[string(id)]
		if !ok {
			c = &cell{id: string(id), slots: newBitset(len(t.c.t.all)), prices: map[string]float64{}}
			for _, ix := range indexes {
				c.values = append(c.values, ix.of[s])
			}
			byID[c.id] = c
			cells = append(cells, c)
		}
		c.slots.set(s)
		if s >= t.c.t.first {
			c.bins = append(c.bins, t.c.existing[s-t.c.t.first])
		}
		return true
	})
	for _, c := range cells {
		fullestFirst(t.c, c.bins)
	}
	t.byKey[key] = cells
	return cells
}

// price estimates what one copy of a unit costs on a new node of the cell: the
// least, over the offerings of the best rank, of the offering's cost times the
// share of it that the copy takes. It is +Inf when none can be bought.
func (t *cellTable) price(c *cell, u *unit) float64 {
	var key []byte
	for _, x := range u.req {
		key = binary.AppendVarint(key, x)
	}
	if u.penalty == nil {
		if p, ok := c.prices[string(key)]; ok {
			return p
		}
	}
	best, rank := math.Inf(1), math.MaxInt
	c.slots.each(func(i int) bool {
		if i >= t.c.t.first {
			return false
		}
		s := &t.c.t.all[i]
		if s.rank > rank || !t.c.t.pools[s.pool].allows(t.c.typeOf(s)) || !u.req.fits(s.free) {
			return true
		}
		if s.rank < rank {
			best, rank = math.Inf(1), s.rank
		}
		share := 0.0
		for r, x := range u.req {
			if x > 0 && s.free[r] > 0 {
				share = math.Max(share, float64(x)/float64(s.free[r]))
			}
		}
		p := s.cost * share
		if u.penalty != nil {
			p += u.penalty[i]
		}
		best = math.Min(best, p)
		return true
	})
	if u.penalty == nil {
		c.prices[string(key)] = best
	}
	return best
}

func (c *compiled) typeOf(s *slot) *InstanceType { return &c.p.Pools[s.pool].Types[s.typ] }
