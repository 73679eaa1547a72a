package packing_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

// TestAPodWithResourceClaimsHasNoPlaceAndSaysWhy has a pod that claims a device beside one that is its like in all else.
func TestAPodWithResourceClaimsHasNoPlaceAndSaysWhy(t *testing.T) {
	b := makePod("trainer").req(100, 128).label("app", "trainer")
	b.p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: ptr.To("one-gpu")}}
	b.p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "gpu"}}
	p := packing.Problem{
		Pods:  []packing.Pod{makePod("web").req(100, 128).label("app", "trainer").pod(), b.pod()},
		Nodes: []packing.Node{oldNode("old", zones[0], packing.CapacityOnDemand, 4000, 4096, 10)},
		Pools: []packing.Pool{pool("default", listed(true))},
	}
	plan := solve(t, &p)
	if len(plan.Bindings) != 1 || plan.Bindings[0].Pod != 0 || len(plan.Nodes) != 0 {
		t.Errorf("bindings %v and %d nodes bought, want the pod without claims on the node that there is", plan.Bindings, len(plan.Nodes))
	}
	if len(plan.Unplaced) != 1 || plan.Unplaced[0].Pod != 1 {
		t.Fatalf("unplaced = %+v, want the pod with claims", plan.Unplaced)
	}
	u := plan.Unplaced[0]
	if want := packing.RuleClaims + "(gpu)"; u.Reasons[0].Rule != want || !strings.Contains(u.Message, want) {
		t.Errorf("reasons %v, message %q, want %q", u.Reasons, u.Message, want)
	}
	if !strings.Contains(u.Remedy, "spec.resourceClaims") {
		t.Errorf("remedy %q does not name spec.resourceClaims", u.Remedy)
	}
}
