package consolidation

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

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
	t.move.Order = plan.Order
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
