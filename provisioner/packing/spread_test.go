package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

// TestADomainWithoutNodesCountsForASpreadOnlyIfOneWillBeThere has six pods spread over capacity types with a skew of two, and a
// pod that runs on an on-demand node and repels them from all of those.
func TestADomainWithoutNodesCountsForASpreadOnlyIfOneWillBeThere(t *testing.T) {
	app := map[string]string{"app": "web"}
	gold := pool("default", listed(true))
	gold.Labels = map[string]string{"tier": "gold"}
	node := oldNode("old", zones[0], packing.CapacityOnDemand, 4000, 4096, 10)
	node.Pods = []packing.Pod{makePod("hermit").req(100, 100).label("app", "hermit").anti(packing.LabelCapacityType, app).pod()}
	goldNode := oldNode("old", zones[0], packing.CapacityOnDemand, 4000, 4096, 10)
	goldNode.Labels["tier"] = "gold"
	goldNode.Pods = node.Pods
	other := makePod("other").req(100, 100).selector("tier", "gold").selector(packing.LabelCapacityType, packing.CapacityOnDemand).pod()
	for name, tc := range map[string]struct {
		node       packing.Node
		more       []packing.Pod
		minDomains *int32
		unplaced   int
	}{
		"a domain in which nobody buys a node does not":                         {node: node},
		"it does where a node is that the pods' node selector admits":           {node: goldNode, unplaced: 4},
		"it does where a node is bought for another pod":                        {node: node, more: []packing.Pod{other}, unplaced: 4},
		"it does, as if it held no pods, where there are too few by minDomains": {node: node, minDomains: ptr.To[int32](2), unplaced: 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Nodes: []packing.Node{tc.node}, Pools: []packing.Pool{gold}, Pods: tc.more}
			for i := range 6 {
				b := makePod(fmt.Sprintf("web-%d", i)).req(100, 512).label("app", "web").selector("tier", "gold")
				b.spread(packing.LabelCapacityType, 2, corev1.DoNotSchedule, app)
				b.p.Spec.TopologySpreadConstraints[0].MinDomains = tc.minDomains
				p.Pods = append(p.Pods, b.pod())
			}
			if plan := solve(t, &p); len(plan.Unplaced) != tc.unplaced {
				t.Errorf("%d pods unplaced, want %d: %+v", len(plan.Unplaced), tc.unplaced, plan.Unplaced)
			}
		})
	}
}

// TestThePlaceOfAPodThatIsGoingCountsAsItsSuccessors has pods of a StatefulSet on a node that is drained, of which some have begun
// to end: each is made anew, and that is the pod to place.
func TestThePlaceOfAPodThatIsGoingCountsAsItsSuccessors(t *testing.T) {
	app := map[string]string{"app": "db"}
	p := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}}
	for i := range 6 {
		b := makePod(fmt.Sprintf("db-%d", i)).req(500, 512).label("app", "db").spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
		b.p.DeletionTimestamp, b.p.Finalizers = ptr.To(metav1.Now()), []string{"x"}
		p.Pods = append(p.Pods, b.pod())
	}
	plan := solve(t, &p)
	if got := zonesOf(&plan); got[zones[0]] != 2 || got[zones[1]] != 2 || got[zones[2]] != 2 {
		t.Errorf("pods per zone %v, want two in each", got)
	}
}
