package packing_test

// What Karpenter's users ask of provisioning: each test is named for the ask and links the issue in which it is made.

import (
	"context"
	"fmt"
	"testing"
	"time"

	"supercargo.dev/provisioner/packing"
)

// TestSeveralSmallNodesAreBoughtWhereTheyCostLessThanOneBigOne: a pod of 3 CPUs and one of 1 do not both fit on 4 CPUs less
// what the system takes; a node of 4 and one of 2 cost less than one of 8 (kubernetes-sigs/karpenter#2457).
func TestSeveralSmallNodesAreBoughtWhereTheyCostLessThanOneBigOne(t *testing.T) {
	types := []packing.InstanceType{
		shape{"c.large", 2000, 4096, 0.085, "amd64"}.instanceType(false), shape{"c.xlarge", 4000, 8192, 0.17, "amd64"}.instanceType(false),
		shape{"c.2xlarge", 8000, 16384, 0.34, "amd64"}.instanceType(false),
	}
	plan, err := packing.Solve(context.Background(), packing.Problem{
		Pods:  []packing.Pod{{Pod: makePod("a").req(3000, 3072).p}, {Pod: makePod("b").req(1000, 1024).p}},
		Pools: []packing.Pool{pool("default", types)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := 0.17 + 0.085; len(plan.Nodes) != 2 || plan.Cost > want+1e-9 {
		t.Errorf("%d nodes for $%.4f/h, want 2 for $%.4f/h", len(plan.Nodes), plan.Cost, want)
	}
}

// TestPodsThatCanBePlacedAreNotStarvedByThousandsThatCannot: 2,170 large pods wait for capacity that is out, each of another
// size, so that none is like another; 50 small ones behind them get their nodes in the same round, however little time there is,
// and every other pod says what it waits for (kubernetes-sigs/karpenter#3152).
func TestPodsThatCanBePlacedAreNotStarvedByThousandsThatCannot(t *testing.T) {
	gpu := shape{"g6.2xlarge", 8000, 32768, 0.98, "amd64"}.instanceType(false)
	for i := range gpu.Offerings {
		gpu.Offerings[i].Available = false
	}
	types := append(listed(false), gpu)
	var pods []packing.Pod
	for i := range int64(2170) {
		pods = append(pods, packing.Pod{Pod: makePod(fmt.Sprintf("gpu-%d", i)).req(6000+i%500, 24*1024+i).selector("node.kubernetes.io/instance-type", "g6.2xlarge").p})
	}
	for i := range 50 {
		pods = append(pods, packing.Pod{Pod: makePod(fmt.Sprintf("light-%d", i)).req(2000, 8192).p})
	}
	for _, budget := range []time.Duration{5 * time.Second, time.Millisecond} {
		plan, err := packing.Solve(context.Background(), packing.Problem{
			Pods: pods, Pools: []packing.Pool{pool("default", types)}, Options: packing.Options{TimeBudget: budget},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range plan.Unplaced {
			if u.Pod >= 2170 {
				t.Errorf("with %s a pod that fits has no place: %s", budget, u.Message)
			}
			if u.Message == "" {
				t.Errorf("with %s pod %s does not say why it has no place", budget, pods[u.Pod].Name)
			}
		}
		if len(plan.Unplaced) != 2170 {
			t.Errorf("with %s %d pods have no place, want the 2170 whose nodes are not to be had", budget, len(plan.Unplaced))
		}
	}
}
