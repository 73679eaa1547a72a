package consolidation

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// place is where a target puts a pod: a node that stays or, with an empty name, the new one of
// that index.
type place struct {
	node, zone string
	new        int
}

// straighten lets pods that may change places do so, where otherwise they would go to each
// other's zones. What a target does to a spread over zones is then little at any time, so that
// its moves hold in whatever order.
func (t *target) straighten(zones map[string]string) {
	places := make([]place, len(t.pods))
	for _, b := range t.plan.Bindings {
		places[b.Pod] = place{node: b.Node, zone: zones[b.Node]}
	}
	for k, n := range t.plan.Nodes {
		for _, p := range n.Pods {
			places[p] = place{zone: n.Zone, new: k}
		}
	}
	classes := map[int][]int{}
	for p := range t.pods {
		if spreads(t.pods[p].Pod) {
			classes[t.plan.Classes[p]] = append(classes[t.plan.Classes[p]], p)
		}
	}
	for _, pods := range classes {
		t.unravel(pods, places)
	}
	t.plan.Bindings = t.plan.Bindings[:0]
	for k := range t.plan.Nodes {
		t.plan.Nodes[k].Pods = nil
	}
	for p, at := range places {
		if at.node != "" {
			t.plan.Bindings = append(t.plan.Bindings, packing.Binding{Pod: p, Node: at.node})
		} else {
			t.plan.Nodes[at.new].Pods = append(t.plan.Nodes[at.new].Pods, p)
		}
	}
}

// unravel deals the places of some pods out anew: first to those that are in the zone of one.
func (t *target) unravel(pods []int, places []place) {
	var free, bought []place
	for _, p := range pods {
		if places[p].node == "" {
			bought = append(bought, places[p])
		} else {
			free = append(free, places[p])
		}
	}
	free = append(free, bought...) // nodes that stay first
	var others []int
	for _, p := range pods {
		zone := t.set[t.from[p]].Node.Labels[corev1.LabelTopologyZone]
		i := slices.IndexFunc(free, func(at place) bool { return at.zone == zone })
		if i < 0 {
			others = append(others, p)
			continue
		}
		places[p] = free[i]
		free = slices.Delete(free, i, i+1)
	}
	for i, p := range others {
		places[p] = free[i]
	}
}

// zones of the nodes that stay, by name.
func (f *fleet) zones() map[string]string {
	out := map[string]string{}
	for _, m := range f.nodes {
		out[m.Node.Name] = m.Node.Labels[corev1.LabelTopologyZone]
	}
	for i := range f.fixed {
		out[f.fixed[i].Name] = f.fixed[i].Labels[corev1.LabelTopologyZone]
	}
	return out
}
