package packing_test

import (
	"context"
	"testing"

	"supercargo.dev/provisioner/packing"
)

// TestTheBoundSeesThatLargePodsFillSmallNodesBadly: nodes of 4 CPUs are cheapest per CPU, but
// of pods of 3 CPUs each holds one.
func TestTheBoundSeesThatLargePodsFillSmallNodesBadly(t *testing.T) {
	types := []packing.InstanceType{
		shape{"small", 4000, 65536, 0.10, "amd64"}.instanceType(false),
		shape{"large", 12000, 65536, 0.36, "amd64"}.instanceType(false),
	}
	var pods []packing.Pod
	for range 40 {
		pods = append(pods, makePod("p").req(3000, 128).pod())
	}
	plan, err := packing.Solve(context.Background(), packing.Problem{
		Pods: pods, Pools: []packing.Pool{pool("default", types)}, Options: packing.Options{NodeFee: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Gap > 0.01 || plan.LowerBound < 1.05*plan.Stats.ResourceBound {
		t.Errorf("cost %.4f, bound %.4f, of resources alone %.4f: want a bound at most 1%% below the cost", plan.Cost, plan.LowerBound, plan.Stats.ResourceBound)
	}
}

func TestBoundIsNeitherBelowThatOfAPlanNorAboveItsCost(t *testing.T) {
	p := packing.Problem{Pods: deployments(4000, 3), Pools: []packing.Pool{pool("default", general(onDemand(t)))}, DaemonSets: daemonSets()}
	plan, err := packing.Solve(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := packing.Bound(p, &plan)
	if err != nil {
		t.Fatal(err)
	}
	if bound < plan.LowerBound || bound > plan.Cost {
		t.Errorf("bound = %.4f, want from %.4f to %.4f", bound, plan.LowerBound, plan.Cost)
	}
	t.Logf("bound %.4f, the plan's %.4f, cost %.4f", bound, plan.LowerBound, plan.Cost)
}
