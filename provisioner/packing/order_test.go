package packing_test

import (
	"context"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"

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

// Whoever carries a plan out in parts may let pods of a class change places, but no others.
func TestPodsOfOneClassAskForTheSame(t *testing.T) {
	p, plan := crossed(t)
	first := map[int]int{}
	for i, class := range plan.Classes {
		k, seen := first[class]
		if !seen {
			first[class] = i
			continue
		}
		a, b := p.Pods[k].Spec, p.Pods[i].Spec
		if !equality.Semantic.DeepEqual(a.Containers[0].Resources, b.Containers[0].Resources) ||
			!equality.Semantic.DeepEqual(a.TopologySpreadConstraints, b.TopologySpreadConstraints) || !equality.Semantic.DeepEqual(a.Affinity, b.Affinity) {
			t.Fatalf("%s and %s are of one class and differ", p.Pods[k].Name, p.Pods[i].Name)
		}
	}
	if len(plan.Classes) != len(p.Pods) || len(first) < 2 || len(first) == len(p.Pods) {
		t.Errorf("%d pods have %d classes, of %d pods", len(plan.Classes), len(first), len(p.Pods))
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
