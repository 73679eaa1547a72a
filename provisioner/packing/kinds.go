package packing

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
)

// maxKinds bounds the rows of the master LP. Beyond it, kinds of similar size
// are priced together; the packing itself always uses exact sizes.
const maxKinds = 160

// kind is a row of the master LP: items of one size and one set of slots.
type kind struct {
	items  []int // indices into packer.items
	req    vec   // of one copy; the largest of the items' when priced together
	slots  bitset
	demand int
	// perNode is how many copies one node may hold by the rules about host
	// names and host ports.
	perNode int
	penalty []float64
}

// offer is a slot to buy that no other slot beats in every respect.
type offer struct {
	slot  int
	cost  float64
	kinds bitset
}

// perNodeCap is how many copies of a unit one node may hold by its own rules.
func (u *unit) perNodeCap(groups []*group) int {
	n := math.MaxInt32
	if len(u.ports) > 0 {
		n = 1
	}
	for i := range u.marks {
		m := &u.marks[i]
		if m.match == 0 {
			continue
		}
		if groups[m.group].kind == groupAnti && m.own {
			n = 1
		}
		if m.limit > 0 {
			n = min(n, int(m.limit/m.match))
		}
	}
	return n
}

// buildKinds groups items. grid 0 keeps sizes apart; otherwise sizes are rounded
// to powers of 1+grid first.
func buildKinds(c *compiled, items []*item, grid float64) []*kind {
	var out []*kind
	byKey := map[string]int{}
	var key []byte
	for i, it := range items {
		it.kind = -1
		if it.todo == 0 || it.rank == 0 {
			continue
		}
		key = key[:0]
		for _, x := range it.u.req {
			if grid > 0 && x > 0 {
				x = int64(math.Round(math.Log(float64(x)) / math.Log1p(grid)))
			}
			key = binary.AppendVarint(key, x)
		}
		key = append(key, it.slots.key()...)
		limit := it.u.perNodeCap(c.groups)
		if it.u.penalty != nil {
			key = binary.AppendVarint(key, int64(i)) // its prices are its own
		}
		if limit < math.MaxInt32 {
			key = append(key, 'c')
		}
		k, ok := byKey[string(key)]
		if !ok {
			k = len(out)
			byKey[string(key)] = k
			out = append(out, &kind{req: it.u.req.clone(), slots: it.slots, penalty: it.u.penalty})
		}
		kd := out[k]
		for r, x := range it.u.req {
			kd.req[r] = max(kd.req[r], x)
		}
		kd.items = append(kd.items, i)
		kd.demand += it.todo
		kd.perNode = min(kd.perNode+min(limit, it.todo), math.MaxInt32)
		it.kind = k
	}
	return out
}

// fewKinds coarsens the grid until the kinds are few enough.
func fewKinds(c *compiled, items []*item) []*kind {
	kinds := buildKinds(c, items, 0)
	for grid := 0.1; len(kinds) > maxKinds && grid < 3; grid *= 1.5 {
		kinds = buildKinds(c, items, grid)
	}
	return kinds
}

// buildOffers lists the slots to buy that some kind may use, cheapest first,
// without those that another beats.
func buildOffers(c *compiled, kinds []*kind) []offer {
	var all []offer
	penalised := false
	for _, k := range kinds {
		penalised = penalised || k.penalty != nil
	}
	for s := range c.t.first {
		o := offer{slot: s, cost: c.t.all[s].cost, kinds: newBitset(len(kinds))}
		for i, k := range kinds {
			if k.slots.has(s) {
				o.kinds.set(i)
			}
		}
		if !o.kinds.empty() && c.t.pools[c.t.all[s].pool].allows(c.typeOf(&c.t.all[s])) {
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b offer) int { return cmp.Compare(a.cost, b.cost) })
	var kept []offer
	var most []vec // of each block of kept, the largest free amounts
	for _, o := range all {
		free := c.t.all[o.slot].free
		beaten := false
		for i := 0; i < len(most) && !beaten; i++ {
			block := kept[i*offerBlock : min(len(kept), (i+1)*offerBlock)]
			beaten = free.fits(most[i]) && slices.ContainsFunc(block, func(k offer) bool { return c.beats(k, o, kinds, penalised) })
		}
		if beaten {
			continue
		}
		if len(kept)%offerBlock == 0 {
			most = append(most, free.clone())
		}
		kept = append(kept, o)
		for r, x := range free {
			last := most[len(most)-1]
			last[r] = max(last[r], x)
		}
	}
	return kept
}

// offerBlock is how many offers are passed over at once where none is as large as what they are compared with. There are
// thousands of offers, and the dearer of two is mostly the larger.
const offerBlock = 32

// beats tells whether a holds whatever b holds, for no more.
func (c *compiled) beats(a, b offer, kinds []*kind, penalised bool) bool {
	x, y := &c.t.all[a.slot], &c.t.all[b.slot]
	if !y.free.fits(x.free) || a.cost > b.cost || x.priced != y.priced || len(x.ports) > 0 || !a.kinds.contains(b.kinds) {
		return false
	}
	if x.pool != y.pool && (len(c.t.pools[x.pool].names) > 0 || c.needsMinValues(x.pool)) {
		return false
	}
	if len(c.t.pools[x.pool].names) > 0 && x.typ != y.typ {
		return false // the cheaper one may count for more against the limit
	}
	if penalised {
		for _, k := range kinds {
			if k.penalty != nil && k.penalty[a.slot] > k.penalty[b.slot] {
				return false
			}
		}
	}
	return true
}

func (c *compiled) needsMinValues(pool int) bool {
	for i := range c.p.Pools[pool].Requirements {
		if m := c.p.Pools[pool].Requirements[i].MinValues; m != nil && *m > 1 {
			return true
		}
	}
	return false
}
