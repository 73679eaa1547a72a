package consolidation

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// Three pods of one workload would go round in a circle of zones: any two of them moved before the third would leave the
// workload uneven.
func TestPodsThatMayChangePlacesStayInTheirZones(t *testing.T) {
	spread := &corev1.Pod{Spec: corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
	}}}}
	in := func(zone string) packing.Node {
		return packing.Node{Name: "stays-in-" + zone, Labels: map[string]string{corev1.LabelTopologyZone: zone}}
	}
	f := &fleet{fixed: []packing.Node{in("a"), in("b"), in("d")}}
	target := &target{from: []int{0, 1, 2, 3}, plan: packing.Plan{
		Classes:  []int{7, 7, 7, 7},
		Bindings: []packing.Binding{{Pod: 0, Node: "stays-in-b"}, {Pod: 1, Node: "stays-in-d"}, {Pod: 3, Node: "stays-in-a"}},
		Nodes:    []packing.PlannedNode{{Zone: "c", Pods: []int{2}}},
	}}
	for _, zone := range []string{"a", "b", "c", "e"} {
		target.set = append(target.set, &member{Node: in(zone)})
		target.pods = append(target.pods, placed{Pod: packing.Pod{Pod: spread}})
	}
	target.straighten(f.zones())
	want := []packing.Binding{{Pod: 0, Node: "stays-in-a"}, {Pod: 1, Node: "stays-in-b"}, {Pod: 3, Node: "stays-in-d"}}
	if diff := cmp.Diff(want, target.plan.Bindings); diff != "" {
		t.Errorf("bindings (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2}, target.plan.Nodes[0].Pods); diff != "" {
		t.Errorf("pods of the new node (-want +got):\n%s", diff)
	}
}

// Nodes 0 and 1 share a new node, node 2 fits on one that stays: that is two moves.
func TestATargetFallsIntoTheMovesThatCanBeMadeByThemselves(t *testing.T) {
	priced := func(usd float64) *member { return &member{Node: packing.Node{Price: usd}} }
	target := &target{
		set: []*member{priced(1), priced(2), priced(4)}, from: []int{0, 0, 1, 2},
		plan: packing.Plan{
			Bindings: []packing.Binding{{Pod: 1, Node: "x"}, {Pod: 3, Node: "x"}},
			Nodes:    []packing.PlannedNode{{Price: 0.5, Pods: []int{0, 2}}},
		},
	}
	type move struct {
		Nodes, Bindings, Bought int
		Saved                   float64
	}
	var got []move
	for _, g := range target.groups() {
		got = append(got, move{len(g.set), len(g.bindings), len(g.nodes), g.saved})
	}
	if diff := cmp.Diff([]move{{2, 1, 1, 2.5}, {1, 1, 0, 4}}, got); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}
