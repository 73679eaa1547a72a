package consolidation

import (
	"cmp"
	"context"
	"maps"
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
				return nil //nolint:nilerr // time that runs out ends the search with what was found
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

// goal is the label by which holds ties pods to nodes.
const goal = "consolidation.supercargo.dev/goal"

// holds tells whether the pods of a move may go where it has them, as things are now: a
// target keeps all rules in the end, but not after each of its moves.
func (h *hunt) holds(ctx context.Context, t *trial) (bool, error) {
	if !h.fleet.apart && !slices.ContainsFunc(t.move.Pods, delicate) {
		return true, nil
	}
	goals := make([]string, len(t.move.Pods))
	into := map[string]bool{}
	for _, b := range t.move.Bindings {
		goals[b.Pod], into[b.Node] = b.Node, true
	}
	nodes := h.fleet.standing(t.set)
	for i := range t.move.Launch {
		n := h.fleet.inFlight(&t.move.Launch[i], t.move.Pods)
		nodes, into[n.Name] = append(nodes, n), true
		for _, p := range t.move.Launch[i].Pods {
			goals[p] = n.Name
		}
	}
	for i := range nodes {
		if into[nodes[i].Name] {
			labels := maps.Clone(nodes[i].Labels)
			labels[goal] = nodes[i].Name
			nodes[i].Labels = labels
		}
	}
	pods := slices.Clone(t.move.Pods)
	for i := range pods {
		pods[i].NodeTerms = []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: goal, Operator: corev1.NodeSelectorOpIn, Values: []string{goals[i]}},
		}}}
	}
	plan, err := h.fleet.solve(ctx, pods, nodes, nil, nothing)
	return err == nil && ctx.Err() == nil && len(plan.Unplaced) == 0, err
}

// delicate tells whether a pod may be refused by a node that takes it at the end of all moves:
// one that looks beyond the node, at pods that are still to come or to go.
func delicate(p packing.Pod) bool {
	if slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule
	}) {
		return true
	}
	return p.Spec.Affinity != nil && p.Spec.Affinity.PodAffinity != nil && len(p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0
}

// keepsApart tells whether a pod keeps others off more than its own node.
func keepsApart(p packing.Pod) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	return slices.ContainsFunc(p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, func(t corev1.PodAffinityTerm) bool {
		return t.TopologyKey != corev1.LabelHostname
	})
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

// bySaving orders nodes by their price for the cost of moving all their pods, most first.
func bySaving(a, b *member) int {
	return cmp.Compare(b.Node.Price/(b.moving()+1e-6), a.Node.Price/(a.moving()+1e-6))
}
