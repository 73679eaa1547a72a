package packing

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// wanted is pods to buy for, as the cover sees them.
type wanted struct {
	u     *unit
	n     int // copies
	slots bitset
}

// maxCoverRows bounds the rows of a cover that count nodes.
const maxCoverRows = 12

// coverRow demands a number of nodes among some slots: pods of one group may
// not share a node, or only so many of them.
type coverRow struct {
	group int
	most  int32 // pods of the group that one node may hold
	slots bitset
	need  float64 // nodes
	dual  float64 // USD per hour for one more node
}

// cover is the least cost of nodes, bought in fractions, that have the room that
// pods ask for in total and are as many as the pods that must be apart need.
type cover struct {
	c     *compiled
	value float64   // USD per hour
	price []float64 // of one unit of each resource, per compiled.scale
	rows  []coverRow
}

// worth is what the cover's prices say that one copy of a unit is worth. No node
// holds copies that are worth more than it costs.
func (v *cover) worth(u *unit) float64 {
	usd := 0.0
	for r, x := range u.req {
		usd += v.price[r] * float64(x) / v.c.scale[r]
	}
	for i := range v.rows {
		row := &v.rows[i]
		for k := range u.marks {
			if m := &u.marks[k]; m.group == row.group && m.apart(v.c.groups) > 0 {
				usd += row.dual * float64(m.match) / float64(row.most)
			}
		}
	}
	return usd
}

// apart is how many pods of the mark's group a node may hold by the unit's own
// rule; 0 means any number.
func (m *mark) apart(groups []*group) int32 {
	switch {
	case m.match == 0:
		return 0
	case groups[m.group].kind == groupAnti && m.own:
		return 1
	case groups[m.group].kind == groupSpread && m.limit > 0:
		return m.limit
	}
	return 0
}

// wantedPods lists the pods that a plan places, by class.
func (c *compiled) wantedPods(placed []int) []wanted {
	out := make([]wanted, 0, len(c.classes))
	for i, cl := range c.classes {
		if placed[i] > 0 {
			out = append(out, wanted{u: newUnit(c.groups, []part{{cl, 1}}, cl.pods), n: placed[i], slots: cl.fits})
		}
	}
	return out
}

// apart finds the groups whose pods need the most nodes, one for each set of slots.
func (c *compiled) apart(list []wanted, existing bool) []coverRow {
	type tally struct {
		pods  float64
		most  int32
		slots bitset
	}
	groups := map[int]*tally{}
	for i := range list {
		w := &list[i]
		for k := range w.u.marks {
			m := &w.u.marks[k]
			most := m.apart(c.groups)
			if most == 0 {
				continue
			}
			t := groups[m.group]
			if t == nil {
				t = &tally{slots: newBitset(len(c.t.all))}
				groups[m.group] = t
			}
			t.pods += float64(w.n) * float64(m.match)
			t.most = max(t.most, most)
			t.slots.or(w.slots)
		}
	}
	best := map[string]coverRow{}
	for g, t := range groups {
		row := coverRow{group: g, most: t.most, slots: t.slots, need: math.Ceil(t.pods / float64(t.most))}
		for i := c.t.first; i < len(c.t.all); i++ {
			if existing && t.slots.has(i) {
				row.need--
			}
		}
		key := t.slots.key()
		if old, ok := best[key]; row.need > 1 && (!ok || row.need > old.need || row.need == old.need && g < old.group) {
			best[key] = row
		}
	}
	rows := make([]coverRow, 0, len(best))
	for _, row := range best {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b coverRow) int { return cmp.Or(cmp.Compare(b.need, a.need), cmp.Compare(a.group, b.group)) })
	return rows[:min(len(rows), maxCoverRows)]
}

// cover solves a linear program with a row per resource and, when apart is set, a
// row per set of slots of which pods that must be apart need a number of nodes.
// Its value bounds from below the cost of every plan that uses no other free
// capacity than that of the existing slots given.
func (c *compiled) cover(list []wanted, existing []slot, apart bool) cover {
	out := cover{c: c, price: make([]float64, len(c.d.names))}
	need := make([]float64, len(c.d.names))
	for i := range list {
		for r, x := range list[i].u.req {
			need[r] += float64(x) * float64(list[i].n) / c.scale[r]
		}
	}
	for _, sl := range existing {
		for r, x := range sl.free {
			need[r] -= math.Max(float64(x), 0) / c.scale[r]
		}
	}
	var resources []int
	var demand []float64
	for r, x := range need {
		if x > 1e-12 {
			resources, demand = append(resources, r), append(demand, x)
		}
	}
	if apart {
		out.rows = c.apart(list, len(existing) > 0)
		for i := range out.rows {
			demand = append(demand, out.rows[i].need)
		}
	}
	if len(demand) == 0 {
		return out
	}
	columns := c.coverColumns(resources, out.rows)
	singles := make([]lpColumn, len(demand))
	for n := range demand {
		singles[n] = lpColumn{cost: math.Inf(1), index: []int32{int32(n)}, count: []float64{1}}
	}
	for _, col := range columns {
		for k, n := range col.index {
			if s := &singles[n]; col.cost/col.count[k] < s.cost/s.count[0] {
				s.cost, s.count[0] = col.cost, col.count[k]
			}
		}
	}
	for n := range singles {
		if math.IsInf(singles[n].cost, 1) {
			return out
		}
	}
	lp := newMasterLP(demand, singles)
	lp.columns = append(lp.columns, columns...)
	lp.optimise(400)
	out.settle(lp, columns, resources)
	return out
}

// coverColumns has one column per priced offering, without those that another
// of the same use is cheaper than.
func (c *compiled) coverColumns(resources []int, rows []coverRow) []lpColumn {
	columns := make([]lpColumn, 0, c.t.first)
	for i := range c.t.first {
		sl := &c.t.all[i]
		if !sl.priced {
			continue
		}
		col := lpColumn{cost: sl.price, index: make([]int32, 0, len(resources)+len(rows)), count: make([]float64, 0, len(resources)+len(rows))}
		for n, r := range resources {
			if sl.free[r] > 0 {
				col.index = append(col.index, int32(n))
				col.count = append(col.count, float64(sl.free[r])/c.scale[r])
			}
		}
		for n := range rows {
			if rows[n].slots.has(i) {
				col.index = append(col.index, int32(len(resources)+n))
				col.count = append(col.count, 1)
			}
		}
		if len(col.index) > 0 {
			columns = append(columns, col)
		}
	}
	return columns
}

// settle takes the prices from the simplex, scaled down until they are feasible
// for the dual: by weak duality the value is a bound whatever the simplex left.
func (v *cover) settle(lp *masterLP, columns []lpColumn, resources []int) {
	theta := math.Inf(1)
	for i := range columns {
		worth := 0.0
		for k, at := range columns[i].index {
			worth += math.Max(lp.y[at], 0) * columns[i].count[k]
		}
		if worth > 0 {
			theta = math.Min(theta, columns[i].cost/worth)
		}
	}
	if math.IsInf(theta, 1) {
		return
	}
	for n, d := range lp.demand {
		dual := theta * math.Max(lp.y[n], 0)
		v.value += dual * d
		if n < len(resources) {
			v.price[resources[n]] = dual
		} else {
			v.rows[n-len(resources)].dual = dual
		}
	}
}

// ResourceBound is the resource-only lower bound on what any plan that places all
// pods of a problem costs, in USD per hour: quick, and blind to every rule but
// the sums of resources. Pods that no priced offering could hold count for
// nothing.
func ResourceBound(p Problem) (float64, error) {
	p.Options = p.Options.withDefaults()
	c, err := compile(&p, false)
	if err != nil {
		return 0, fmt.Errorf("compiling problem, %w", err)
	}
	s := &solver{c: c}
	return c.cover(c.wantedPods(s.placed(&Plan{})), c.t.existing(), false).value * boundSlack, nil
}
