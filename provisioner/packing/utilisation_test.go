package packing_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// TestPlannedNodesAreFilledByMoreThan85Percent is E5, by requests: of the nodes that are bought for 150 pods of usual sizes and rules, of real
// types at their list prices, more than 85% is asked for of the resource that is scarcer. Of the other one less is: nodes are chosen by
// price, not by how full they are.
func TestPlannedNodesAreFilledByMoreThan85Percent(t *testing.T) {
	types := onDemand(t)
	allocatable := map[string]corev1.ResourceList{}
	for i := range types {
		allocatable[types[i].Name] = types[i].Allocatable
	}
	for seed := range uint64(2) {
		p := packing.Problem{Pods: deployments(150, seed), Pools: []packing.Pool{pool("default", types)}}
		plan, err := packing.Solve(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Unplaced) > 0 {
			t.Fatalf("seed %d: %d pods unplaced: %s", seed, len(plan.Unplaced), plan.Unplaced[0].Message)
		}
		var asked, sold struct{ cpu, memory float64 }
		for i := range plan.Nodes {
			r, a := plan.Nodes[i].Requests, allocatable[plan.Nodes[i].InstanceType]
			asked.cpu += r.Cpu().AsApproximateFloat64()
			asked.memory += r.Memory().AsApproximateFloat64()
			sold.cpu += a.Cpu().AsApproximateFloat64()
			sold.memory += a.Memory().AsApproximateFloat64()
		}
		cpu, memory := asked.cpu/sold.cpu, asked.memory/sold.memory
		t.Logf("seed %d: %d nodes, cpu %.1f%%, memory %.1f%%", seed, len(plan.Nodes), 100*cpu, 100*memory)
		if max(cpu, memory) <= 0.85 {
			t.Errorf("seed %d: cpu is filled by %.1f%% and memory by %.1f%%, want more than 85%% of either", seed, 100*cpu, 100*memory)
		}
	}
}
