package packing_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// solve plans and shows that the plan is one that kube-scheduler would allow.
func solve(t *testing.T, p *packing.Problem) packing.Plan {
	t.Helper()
	plan, err := packing.Solve(context.Background(), *p)
	if err != nil {
		t.Fatal(err)
	}
	violations, err := oracle.Check(context.Background(), p, &plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Errorf("violation: %s", v)
	}
	if t.Failed() {
		t.Log(describe(p, &plan))
	}
	return plan
}

// oldNode is an existing node with room for some pods.
func oldNode(name, zone, capacityType string, cpuMilli, memMiB, pods int64) packing.Node {
	return packing.Node{Name: name, Price: 1, Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI), corev1.ResourceMemory: quantity(memMiB << 20),
		corev1.ResourcePods: quantity(pods),
	}, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: zone, packing.LabelCapacityType: capacityType,
		corev1.LabelInstanceTypeStable: "m5.large", corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
	}}
}

func TestPodsThatMayGoAnywhereLeaveTheOnDemandNodeToThoseThatNeedIt(t *testing.T) {
	p := packing.Problem{Pools: []packing.Pool{pool("default", listed(true))}}
	for i, zone := range zones {
		p.Nodes = append(p.Nodes, oldNode(fmt.Sprintf("spot-%d", i), zone, packing.CapacitySpot, 1000, 2048, 5))
	}
	p.Nodes = append(p.Nodes, oldNode("lasting", zones[0], packing.CapacityOnDemand, 1000, 2048, 1))
	app := map[string]string{"app": "web"}
	for i := range 6 {
		p.Pods = append(p.Pods, makePod(fmt.Sprintf("web-%d", i)).req(100, 100).label("app", "web").
			spread(corev1.LabelTopologyZone, 1, corev1.ScheduleAnyway, app).pod())
	}
	p.Pods = append(p.Pods, makePod("store").req(100, 100).selector(packing.LabelCapacityType, packing.CapacityOnDemand).pod())
	plan := solve(t, &p)
	if len(plan.Nodes) > 0 || len(plan.Unplaced) > 0 {
		t.Errorf("%d nodes bought and %d pods unplaced where all had room", len(plan.Nodes), len(plan.Unplaced))
	}
}
