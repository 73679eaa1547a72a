package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// TestPodsOfSeveralSizesThatMustBeTogetherShareANode has a workload in the middle of a rollout: all its pods must share a node, and the
// new ones ask for more than the old ones.
func TestPodsOfSeveralSizesThatMustBeTogetherShareANode(t *testing.T) {
	app := map[string]string{"app": "mesh"}
	for name, tc := range map[string]struct {
		cpuMilli int64 // of three old pods; two new ones ask for twice as much
		placed   int
	}{
		"all that one node holds":           {1000, 5},
		"as many as one node holds, if not": {10000, 4},
	} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}}
			for i := range 5 {
				cpu := tc.cpuMilli
				if i >= 3 {
					cpu *= 2
				}
				p.Pods = append(p.Pods, makePod(fmt.Sprintf("mesh-%d", i)).req(cpu, 128).label("app", "mesh").with(corev1.LabelHostname, app).pod())
			}
			plan := solve(t, &p)
			if len(plan.Nodes) != 1 || len(plan.Nodes[0].Pods) < tc.placed {
				t.Errorf("%d nodes bought and %d pods unplaced, want %d pods on one node", len(plan.Nodes), len(plan.Unplaced), tc.placed)
			}
		})
	}
}
