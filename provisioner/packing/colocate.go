package packing

import (
	"cmp"
	"slices"
	"sort"
)

// units forms the units of all classes. A class whose required pod affinity is
// over the host name cannot be placed by itself on a new node: its pods go into
// bundles with the pods they must join, or all together when they must join one
// another.
func (c *compiled) units() []*unit {
	sortClasses(c.classes, c.sizes())
	hosts := map[*class][]*class{} // class → the classes bundled into it
	guest := map[*class]bool{}
	alone := map[*class]bool{}
	for _, cl := range c.classes {
		switch target := c.companion(cl); {
		case target == nil:
		case target == cl:
			alone[cl] = true
		case !guest[target] && len(hosts[cl]) == 0:
			hosts[target] = append(hosts[target], cl)
			guest[cl] = true
		}
	}
	var out []*unit
	bundled := map[*class]bool{}
	for i, cl := range c.classes {
		switch {
		case guest[cl] || bundled[cl]:
		case alone[cl] && len(hosts[cl]) == 0:
			all := []*class{cl}
			for _, other := range c.classes[i+1:] {
				if alone[other] && len(hosts[other]) == 0 && slices.Equal(other.topology.affinity, cl.topology.affinity) {
					all = append(all, other)
					bundled[other] = true
				}
			}
			out = append(out, c.together(all)...)
		case len(hosts[cl]) > 0:
			out = append(out, c.bundles(cl, hosts[cl], alone[cl])...)
		default:
			out = append(out, newUnit(c.groups, []part{{cl, 1}}, cl.pods))
		}
	}
	return out
}

// sizes is a typical slot: the largest amount of each resource.
func (c *compiled) sizes() vec {
	v := make(vec, len(c.scale))
	for r, x := range c.scale {
		v[r] = int64(x)
	}
	return v
}

// companion is the pending class that cl has to share a node with: itself when
// it must join its own kind, nil when it has no such rule or when pods that
// exist already satisfy it.
func (c *compiled) companion(cl *class) *class {
	for _, gi := range cl.topology.affinity {
		g := c.groups[gi]
		if !g.hostname || g.total > 0 {
			continue
		}
		if cl.topology.selfAffinity {
			return cl
		}
		var best *class
		for _, other := range c.classes {
			if other != cl && slices.Contains(other.topology.matches, gi) && (best == nil || len(other.pods) > len(best.pods)) {
				best = other
			}
		}
		return best
	}
	return nil
}

// bundles distributes the guests evenly over the pods of a host class, or puts
// them all with all of it when the host's pods must stay together.
func (c *compiled) bundles(host *class, guests []*class, together bool) []*unit {
	if together {
		parts, pods := []part{{host, len(host.pods)}}, slices.Clone(host.pods)
		for _, g := range guests {
			parts = append(parts, part{g, len(g.pods)})
			pods = append(pods, g.pods...)
		}
		return c.whole(newUnit(c.groups, parts, pods))
	}
	// Copies that get the same number of every guest form one unit.
	type shape struct {
		counts string
		parts  []part
		pods   []int32
	}
	var shapes []*shape
	next := make([]int, len(guests))
	n := len(host.pods)
	for i, pod := range host.pods {
		key := make([]byte, 0, 4*len(guests))
		parts, pods := []part{{host, 1}}, []int32{pod}
		for k, g := range guests {
			to := (i + 1) * len(g.pods) / n
			take := g.pods[next[k]:to]
			next[k] = to
			key = append(key, byte(len(take)), byte(len(take)>>8), byte(len(take)>>16), byte(len(take)>>24))
			if len(take) > 0 {
				parts = append(parts, part{g, len(take)})
				pods = append(pods, take...)
			}
		}
		at := slices.IndexFunc(shapes, func(s *shape) bool { return s.counts == string(key) })
		if at < 0 {
			at = len(shapes)
			shapes = append(shapes, &shape{counts: string(key), parts: parts})
		}
		shapes[at].pods = append(shapes[at].pods, pods...)
	}
	var out []*unit
	for _, s := range shapes {
		out = append(out, c.whole(newUnit(c.groups, s.parts, s.pods))...)
	}
	return out
}

// whole returns a bundle if it can be placed at all. Otherwise the pods are
// offered one by one, so that as many as possible find existing company, and the
// others are reported under their own rules.
func (c *compiled) whole(u *unit) []*unit {
	u.fits.each(func(s int) bool {
		if c.copies(u, s, 1) == 0 {
			u.fits.clear(s)
		}
		return true
	})
	if u.size == 1 || u.consistent(c.groups) && !u.fits.empty() {
		return []*unit{u}
	}
	pods := map[*class][]int32{}
	for i := 0; i < len(u.pods); {
		for _, p := range u.parts {
			pods[p.c] = append(pods[p.c], u.pods[i:i+p.n]...)
			i += p.n
		}
	}
	var out []*unit
	for _, p := range u.parts {
		out = append(out, newUnit(c.groups, []part{{p.c, 1}}, pods[p.c]))
	}
	return out
}

// together bundles as many pods as one slot holds of classes that must all share a node, by
// priority and then the smallest first; the others can only wait for room beside them.
func (c *compiled) together(classes []*class) []*unit {
	slices.SortStableFunc(classes, func(a, b *class) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(c.share(a), c.share(b)))
	})
	var parts []part
	var pods []int32
	var rest []*unit
	for _, cl := range classes {
		n := sort.Search(len(cl.pods), func(n int) bool { return !c.placeable(append(slices.Clip(parts), part{cl, n + 1})) })
		if n > 0 {
			parts, pods = append(parts, part{cl, n}), append(pods, cl.pods[:n]...)
		}
		if n < len(cl.pods) {
			rest = append(rest, newUnit(c.groups, []part{{cl, 1}}, cl.pods[n:]))
		}
	}
	if len(parts) == 0 {
		return rest
	}
	return append(c.whole(newUnit(c.groups, parts, pods)), rest...)
}

// placeable tells whether some slot holds a bundle.
func (c *compiled) placeable(parts []part) bool {
	u := newUnit(c.groups, parts, nil)
	if !u.consistent(c.groups) {
		return false
	}
	found := false
	u.fits.each(func(i int) bool {
		found = c.copies(u, i, 1) > 0
		return !found
	})
	return found
}

// share is the largest part of a resource that a pod takes of the slot that has most of it.
func (c *compiled) share(cl *class) float64 {
	most := 0.0
	for r, x := range cl.req {
		most = max(most, float64(x)/c.scale[r])
	}
	return most
}

// copies is how many copies of a unit, at most limit, a slot holds with nothing else
// that is to be placed.
func (c *compiled) copies(u *unit, slot, limit int) int {
	if !u.req.fits(c.t.all[slot].free) {
		return 0
	}
	return newBin(c.t, slot).roomAnySlot(c.groups, &item{u: u}, limit)
}
