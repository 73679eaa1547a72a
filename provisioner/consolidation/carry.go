package consolidation

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// group is a part of a target that can be carried out by itself: nodes whose pods share new
// nodes, or one node whose pods go to nodes that stay.
type group struct {
	set             []*member
	nodes, bindings []int   // indices into the plan
	saved           float64 // USD per hour
	moves           float64 // what moving the pods costs, in USD
}

// groups takes a target apart.
func (t *target) groups() []*group {
	// The nodes of a group form a tree of which each knows the next one up.
	up := make([]int, len(t.set))
	for i := range up {
		up[i] = i
	}
	root := func(i int) int {
		for up[i] != i {
			up[i] = up[up[i]]
			i = up[i]
		}
		return i
	}
	for _, n := range t.plan.Nodes {
		for _, k := range n.Pods[1:] {
			up[root(t.from[k])] = root(t.from[n.Pods[0]])
		}
	}
	at := map[int]*group{}
	var out []*group
	for i, m := range t.set {
		g := at[root(i)]
		if g == nil {
			g = &group{}
			at[root(i)] = g
			out = append(out, g)
		}
		g.set = append(g.set, m)
		g.saved += m.Node.Price
		g.moves += m.moving()
	}
	for k, b := range t.plan.Bindings {
		g := at[root(t.from[b.Pod])]
		g.bindings = append(g.bindings, k)
	}
	for k, n := range t.plan.Nodes {
		g := at[root(t.from[n.Pods[0]])]
		g.nodes = append(g.nodes, k)
		g.saved -= n.Price
	}
	return out
}

// carry carries a target out, group by group, most saving per cost of moving first. Pods go
// only to nodes that stay, so that few move twice.
func (h *hunt) carry(ctx context.Context, t *target, weight float64) error {
	t.straighten(h.fleet.zones())
	leaving := slices.Concat(t.set, t.leaving)
	mark(leaving, true)
	defer mark(leaving, false)
	groups := slices.DeleteFunc(t.groups(), func(g *group) bool {
		return g.saved*h.options.Horizon.Hours() <= g.moves*weight
	})
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Compare(b.saved/(b.moves+1e-6), a.saved/(a.moves+1e-6))
	})
	// What does not hold yet may when others have gone.
	for before := len(groups) + 1; len(groups) < before; {
		before = len(groups)
		var later []*group
		for _, g := range groups {
			if ctx.Err() != nil || h.full() {
				return nil // time ran out
			}
			done, err := h.carryOut(ctx, t, g)
			if err != nil {
				return err
			}
			if !done {
				later = append(later, g)
			}
		}
		groups = later
	}
	var rest []*member
	for _, g := range groups {
		rest = append(rest, g.set...)
	}
	slices.SortStableFunc(rest, bySaving)
	return h.together(ctx, rest)
}

// carryOut gives up the nodes of a group in one move, if one move may, with each pod where
// the target has it.
func (h *hunt) carryOut(ctx context.Context, t *target, g *group) (bool, error) {
	if set := h.extend(nil, g.set, h.options.MaxRemove); len(set) < len(g.set) {
		return false, nil
	}
	move := h.displace(g.set)
	at := map[*corev1.Pod]int{}
	for i := range move.move.Pods {
		at[move.move.Pods[i].Pod] = i
	}
	var bindings []packing.Binding
	for _, k := range g.bindings {
		b := t.plan.Bindings[k]
		bindings = append(bindings, packing.Binding{Pod: at[t.pods[b.Pod].Pod.Pod], Node: b.Node})
	}
	var launch []packing.PlannedNode
	for _, k := range g.nodes {
		n := t.plan.Nodes[k]
		n.Pods = slices.Clone(n.Pods)
		for i, p := range n.Pods {
			n.Pods[i] = at[t.pods[p].Pod.Pod]
		}
		launch = append(launch, n)
	}
	if h.judge(move, launch, bindings); move.why != "" {
		return false, nil
	}
	if ok, err := h.holds(ctx, move); err != nil || !ok {
		return false, err
	}
	h.accept(move)
	return true, nil
}

// together gives up nodes that are too many for one move, or could not go as was planned, as
// many at a time as one move may.
func (h *hunt) together(ctx context.Context, rest []*member) error {
	for len(rest) > 0 && ctx.Err() == nil && !h.full() {
		set := h.extend(nil, rest, h.options.MaxRemove)
		if len(set) == 0 {
			return nil // the budgets are spent
		}
		rest = slices.DeleteFunc(rest, func(m *member) bool { return slices.Contains(set, m) })
		t, err := h.try(ctx, set)
		if err != nil {
			return err
		}
		if t.why == "" {
			h.accept(t)
		}
	}
	return nil
}
