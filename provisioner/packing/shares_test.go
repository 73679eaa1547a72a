package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/provisioner/packing"
)

func replicas(app string, n int, cpuMilli, memMiB int64) []packing.Pod {
	var out []packing.Pod
	for i := range n {
		pod := makePod(fmt.Sprintf("%s-%d", app, i)).req(cpuMilli, memMiB).label("app", app).pod()
		pod.Workload = app
		out = append(out, pod)
	}
	return out
}

func TestNoNodeHoldsMoreThanItsShareOfAWorkload(t *testing.T) {
	for share, want := range map[float64]int{0: 12, 1: 12, 0.5: 6, 0.25: 3, 0.01: 1} {
		p := packing.Problem{Pods: replicas("web", 12, 100, 128), Pools: []packing.Pool{pool("default", listed(false))}}
		p.Options.MaxNodeShare = share
		plan := solve(t, &p)
		most := 0
		for _, n := range plan.Nodes {
			most = max(most, len(n.Pods))
		}
		if most != want || len(plan.Unplaced) > 0 {
			t.Errorf("share %.2f: a node holds %d of 12 with %d unplaced, want %d", share, most, len(plan.Unplaced), want)
		}
		if plan.LowerBound > plan.Cost {
			t.Errorf("share %.2f: the bound %.4f exceeds the cost %.4f", share, plan.LowerBound, plan.Cost)
		}
	}
}

func TestPodsThatRunCountForTheShareOfTheirNode(t *testing.T) {
	old := oldNode("old", zones[0], packing.CapacityOnDemand, 4000, 8192, 50)
	old.Pods = replicas("web", 4, 100, 128)
	p := packing.Problem{Pods: replicas("web", 4, 100, 128), Nodes: []packing.Node{old}, Pools: []packing.Pool{pool("default", listed(false))}}
	p.Options.MaxNodeShare = 0.5
	plan := solve(t, &p)
	if len(plan.Bindings) > 0 || len(plan.Nodes) == 0 {
		t.Errorf("%d pods joined the four that run on one node, of eight in all", len(plan.Bindings))
	}
}

func TestAWorkloadThatMustShareANodeIsExemptFromItsShare(t *testing.T) {
	p := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}}
	for _, pod := range replicas("web", 4, 100, 128) {
		joined := podBuilder{pod.Pod}.with(corev1.LabelHostname, map[string]string{"app": "web"}).pod()
		joined.Workload = pod.Workload
		p.Pods = append(p.Pods, joined)
	}
	p.Options.MaxNodeShare = 0.5
	plan := solve(t, &p)
	if len(plan.Nodes) != 1 || len(plan.Unplaced) > 0 {
		t.Errorf("%d nodes and %d unplaced, want all on one node", len(plan.Nodes), len(plan.Unplaced))
	}
}

func TestNoSpotPoolHoldsMoreThanItsShareOfAWorkload(t *testing.T) {
	p := packing.Problem{Pods: replicas("web", 12, 1500, 1024), Pools: []packing.Pool{pool("default", listed(true))}}
	p.Options.MaxSpotPoolShare = 0.25
	plan := solve(t, &p)
	holds := map[string]int{}
	for _, n := range plan.Nodes {
		if n.CapacityType == packing.CapacitySpot {
			holds[n.InstanceType+" "+n.Zone] += len(n.Pods)
		}
	}
	for pool, n := range holds {
		if n > 3 {
			t.Errorf("spot pool %s holds %d of 12, want at most 3", pool, n)
		}
	}
	if len(holds) < 4 || len(plan.Unplaced) > 0 {
		t.Errorf("spot pools %v, %d unplaced: want all pods on four or more", holds, len(plan.Unplaced))
	}
}

func TestNodesAreNoLargerThanTheirCap(t *testing.T) {
	p := packing.Problem{Pods: replicas("web", 40, 900, 1024), Pools: []packing.Pool{pool("default", listed(false))}}
	p.Pods = append(p.Pods, makePod("huge").req(12000, 1024).pod())
	p.Options.MaxNode = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8")}
	plan := solve(t, &p)
	for _, n := range plan.Nodes {
		for i := range p.Pools[0].Types {
			it := &p.Pools[0].Types[i]
			for _, a := range n.Alternatives {
				if it.Name == a.InstanceType && it.Capacity.Cpu().Cmp(resource.MustParse("8")) > 0 {
					t.Errorf("%s is an alternative, with %s CPUs", it.Name, it.Capacity.Cpu())
				}
			}
		}
	}
	if len(plan.Unplaced) != 1 || plan.Unplaced[0].Pod != 40 {
		t.Fatalf("unplaced = %+v, want the pod that needs a larger node", plan.Unplaced)
	}
	found := false
	for _, r := range plan.Unplaced[0].Reasons {
		found = found || r.Rule == packing.RuleNodeSize
	}
	if !found {
		t.Errorf("reasons %+v do not name the cap on node size", plan.Unplaced[0].Reasons)
	}
}
