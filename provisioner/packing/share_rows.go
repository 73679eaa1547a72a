package packing

import (
	"cmp"
	"math"
	"slices"
)

// maxShareRows bounds the rows of a sharing: those that need most nodes come first, then the
// largest pods. Not more than 64, the bits of a mask.
const maxShareRows = 64

// shareRow is pods of which a node may hold only so many, because they must be apart or are of
// one size. No pod is in two rows.
type shareRow struct {
	req   vec // the least of each resource that one of the pods asks for
	slots bitset
	// limit is how many of the pods one node may hold; most is the same where they must be
	// apart, else 1.
	limit int
	most  int32
	need  float64 // pods to buy for, divided by most
}

// demand lists what is to be bought for: first of resources, then of groups.
func (x *sharing) demand(list []wanted, existing []slot) []float64 {
	c := x.c
	x.gross = make([]float64, len(c.d.names))
	for i := range list {
		for r, q := range list[i].u.req {
			x.gross[r] += float64(q) * float64(list[i].n) / c.scale[r]
		}
	}
	net := slices.Clone(x.gross)
	for i := range existing {
		for r, q := range existing[i].free {
			net[r] -= math.Max(float64(q), 0) / c.scale[r]
		}
	}
	var out []float64
	for r, q := range net {
		if q > 1e-12 {
			x.resources, out = append(x.resources, r), append(out, q)
		}
	}
	x.group(list, existing)
	for i := range x.rows {
		out = append(out, x.rows[i].need)
	}
	return out
}

// group divides the pods among rows: first those that must be apart, by group, then the
// largest, of which a node may have room for few.
func (x *sharing) group(list []wanted, existing []slot) {
	groups := x.c.apartGroups(list)
	taken := make([]bool, len(list))
	for _, g := range groups {
		x.row(list, g.members, g.most, taken, existing)
	}
	alike := map[string][]int{}
	var keys []string
	size := map[string]float64{}
	for i := range list {
		if taken[i] {
			continue
		}
		u := list[i].u
		key := string(appendVec(nil, u.req))
		if alike[key] == nil {
			keys = append(keys, key)
			for r, q := range u.req {
				size[key] = math.Max(size[key], float64(q)/x.c.scale[r])
			}
		}
		alike[key] = append(alike[key], i)
	}
	slices.SortStableFunc(keys, func(a, b string) int { return cmp.Compare(size[b], size[a]) })
	for _, key := range keys {
		x.row(list, alike[key], 0, taken, existing)
	}
}

// row adds a row for those of some pods that are in none. A most of 0 means that a node may
// hold any number.
func (x *sharing) row(list []wanted, members []int, most int32, taken []bool, existing []slot) {
	if len(x.rows) == maxShareRows {
		return
	}
	row := shareRow{most: 1, slots: newBitset(len(x.c.t.all))}
	for _, i := range members {
		if taken[i] {
			continue
		}
		w := &list[i]
		row.limit += w.n
		row.slots.or(w.slots)
		if row.req == nil {
			row.req = w.u.req.clone()
		}
		for r, q := range w.u.req {
			row.req[r] = min(row.req[r], q)
		}
	}
	pods := row.limit
	if most > 0 {
		row.most, row.limit = most, min(row.limit, int(most))
	}
	for i := range existing {
		if row.slots.has(x.c.t.first + i) {
			pods -= row.req.times(existing[i].free, row.limit)
		}
	}
	if pods <= row.limit && most > 0 || pods <= 0 {
		return // no fewer than one node is needed anyway
	}
	row.need = float64(pods) / float64(row.most)
	for _, i := range members {
		taken[i] = true
	}
	x.rows = append(x.rows, row)
}

// apartGroup is pods of which a node may hold most.
type apartGroup struct {
	group   int
	members []int
	pods    float64
	most    int32
}

// apartGroups lists the groups of pods that must be apart, those that need most nodes first.
func (c *compiled) apartGroups(list []wanted) []apartGroup {
	at := map[int]int{}
	var out []apartGroup
	for i := range list {
		for k := range list[i].u.marks {
			m := &list[i].u.marks[k]
			most := m.apart(c.groups)
			if most == 0 || m.match != 1 {
				continue
			}
			n, ok := at[m.group]
			if !ok {
				n = len(out)
				at[m.group] = n
				out = append(out, apartGroup{group: m.group})
			}
			out[n].members = append(out[n].members, i)
			out[n].pods += float64(list[i].n)
			out[n].most = max(out[n].most, most)
		}
	}
	slices.SortFunc(out, func(a, b apartGroup) int {
		return cmp.Or(cmp.Compare(b.pods/float64(b.most), a.pods/float64(a.most)), cmp.Compare(a.group, b.group))
	})
	return out
}
