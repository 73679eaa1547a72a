package packing_test

import (
	"context"
	"slices"
	"testing"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// crossed is a plan for pods whose spread constraints count other pods than their owners: what kube-scheduler accepts depends
// on the order.
func crossed(t *testing.T) (packing.Problem, packing.Plan) {
	t.Helper()
	p := packing.Problem{Pods: diverse(400, 3), Pools: []packing.Pool{pool("default", fakeTypes(60))}}
	plan, err := packing.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	return p, plan
}

func TestTheOrderListsEveryPlacedPodOnce(t *testing.T) {
	p, plan := crossed(t)
	var placed []int
	for _, n := range plan.Nodes {
		placed = append(placed, n.Pods...)
	}
	slices.Sort(placed)
	got := slices.Sorted(slices.Values(plan.Order))
	if !slices.Equal(placed, got) || len(got) != len(p.Pods)-len(plan.Unplaced) {
		t.Errorf("the order lists %d pods, %d are placed", len(got), len(placed))
	}
}

func TestKubeSchedulerAcceptsThePlansOrder(t *testing.T) {
	p, plan := crossed(t)
	violations, err := oracle.Check(context.Background(), &p, &plan)
	if err != nil || len(violations) > 0 {
		t.Errorf("%d violations, first %v, %v", len(violations), violations[:min(1, len(violations))], err)
	}
}

func TestASampleFindsWhatACheckFinds(t *testing.T) {
	p, plan := crossed(t)
	// Many nodes' pods on one of them: it does not hold them.
	for range min(60, len(plan.Nodes)-1) {
		last := len(plan.Nodes) - 1
		plan.Nodes[0].Pods = append(plan.Nodes[0].Pods, plan.Nodes[last].Pods...)
		plan.Nodes = plan.Nodes[:last]
	}
	for _, n := range []int{50, len(p.Pods)} {
		violations, err := oracle.CheckSample(context.Background(), &p, &plan, n, 1)
		if err != nil || len(violations) == 0 {
			t.Errorf("looking at %d pods found %d violations, %v", n, len(violations), err)
		}
	}
}
