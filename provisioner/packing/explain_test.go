package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

// TestAPodWithoutAPlaceNamesTheRuleThatTookTheMostOptions has pods of which some have no place, on new nodes or on the one that is
// there.
func TestAPodWithoutAPlaceNamesTheRuleThatTookTheMostOptions(t *testing.T) {
	app := map[string]string{"app": "web"}
	buy := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}}
	use := packing.Problem{Nodes: []packing.Node{oldNode("old", zones[0], packing.CapacityOnDemand, 2000, 4096, 20)}}
	for name, tc := range map[string]struct {
		in       packing.Problem
		rule     func(podBuilder)
		unplaced int // of four pods
		want     string
	}{
		"anti-affinity over zones":     {buy, func(b podBuilder) { b.anti(corev1.LabelTopologyZone, app) }, 1, packing.RuleAntiAffinity + "(topology.kubernetes.io/zone)"},
		"affinity to nobody":           {buy, func(b podBuilder) { b.with(corev1.LabelTopologyZone, map[string]string{"app": "x"}) }, 4, packing.RulePodAffinity + "(topology.kubernetes.io/zone)"},
		"affinity to nobody on a node": {buy, func(b podBuilder) { b.with(corev1.LabelHostname, map[string]string{"app": "x"}) }, 4, packing.RulePodAffinity + "(kubernetes.io/hostname)"},
		"anti-affinity on the node":    {use, func(b podBuilder) { b.anti(corev1.LabelHostname, app) }, 3, packing.RuleAntiAffinity + "(kubernetes.io/hostname)"},
		"spread on the node":           {use, func(b podBuilder) { b.spread(corev1.LabelHostname, 1, corev1.DoNotSchedule, app) }, 3, packing.RuleSpread + "(kubernetes.io/hostname)"},
		"a host port": {use, func(b podBuilder) {
			b.p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
		}, 3, packing.RuleHostPort},
		"a node that others have filled": {use, func(b podBuilder) { b.req(700, 128) }, 2, packing.RuleExistingTaken},
		"a full node, not a spread that holds": {use, func(b podBuilder) {
			b.req(700, 128).spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
		}, 2, packing.RuleExistingTaken},
		"too few domains": {buy, func(b podBuilder) {
			b.spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
			b.p.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To[int32](4)
		}, 1, packing.RuleSpread + "(topology.kubernetes.io/zone)"},
	} {
		t.Run(name, func(t *testing.T) {
			p := tc.in
			for i := range 4 {
				b := makePod(fmt.Sprintf("web-%d", i)).req(100, 128).label("app", "web")
				tc.rule(b)
				p.Pods = append(p.Pods, b.pod())
			}
			plan := solve(t, &p)
			if len(plan.Unplaced) != tc.unplaced {
				t.Fatalf("%d pods unplaced, want %d", len(plan.Unplaced), tc.unplaced)
			}
			for _, u := range plan.Unplaced {
				if u.Reasons[0].Rule != tc.want {
					t.Errorf("pod %d: %v, want %s first", u.Pod, u.Reasons, tc.want)
				}
			}
		})
	}
}
