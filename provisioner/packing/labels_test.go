package packing_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

const rack = "example.com/rack"

// racked is a pool that leaves a label of its own open among values.
func racked(op corev1.NodeSelectorOperator, values ...string) packing.Pool {
	p := pool("default", listed(false))
	p.Requirements = []packing.Requirement{{Key: rack, Operator: op, Values: values}}
	return p
}

func TestRulesOverALabelThatThePoolLeavesOpenUseAllItsValues(t *testing.T) {
	app := map[string]string{"app": "web"}
	// The second workload runs already; a pod of it repels the first from its rack.
	resident := oldNode("old", zones[0], packing.CapacityOnDemand, 0, 0, 0)
	resident.Labels[rack] = "r1"
	resident.Pods = []packing.Pod{makePod("hermit").req(100, 100).anti(rack, app).pod()}
	for name, tc := range map[string]struct {
		pool  packing.Pool
		nodes []packing.Node
		rule  func(podBuilder)
		want  map[string]int // pods per rack
	}{
		"a spread": {
			pool: racked(corev1.NodeSelectorOpIn, "r1", "r2", "r3"),
			rule: func(b podBuilder) { b.spread(rack, 1, corev1.DoNotSchedule, app) },
			want: map[string]int{"r1": 1, "r2": 1, "r3": 1},
		},
		"anti-affinity": {
			pool: racked(corev1.NodeSelectorOpIn, "r1", "r2", "r3"),
			rule: func(b podBuilder) { b.anti(rack, app) },
			want: map[string]int{"r1": 1, "r2": 1, "r3": 1},
		},
		"anti-affinity of a pod that runs": {
			pool:  racked(corev1.NodeSelectorOpIn, "r1", "r2"),
			nodes: []packing.Node{resident},
			rule:  func(podBuilder) {},
			want:  map[string]int{"r2": 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{tc.pool}, Nodes: tc.nodes}
			for i := range 3 {
				b := makePod(fmt.Sprintf("web-%d", i)).req(100, 128).label("app", "web")
				tc.rule(b)
				p.Pods = append(p.Pods, b.pod())
			}
			plan := solve(t, &p)
			got := map[string]int{}
			for _, n := range plan.Nodes {
				got[n.Labels[rack]] += len(n.Pods)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) || len(plan.Unplaced) > 0 {
				t.Errorf("pods per rack %v with %d unplaced, want %v", got, len(plan.Unplaced), tc.want)
			}
		})
	}
}

func TestPodsThatNameOrShunAValueOfAnOpenLabelBothHaveAPlace(t *testing.T) {
	needs := func(name string, op corev1.NodeSelectorOperator, values ...string) packing.Pod {
		b := makePod(name).req(100, 128)
		b.affinity().NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: rack, Operator: op, Values: values}}}},
		}}
		return b.pod()
	}
	for name, pool := range map[string]packing.Pool{
		"a pool that names values":        racked(corev1.NodeSelectorOpIn, "r1", "r2"),
		"a pool that takes any value":     racked(corev1.NodeSelectorOpExists),
		"a pool that shuns another value": racked(corev1.NodeSelectorOpNotIn, "0", "r9"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, pods := range [][]packing.Pod{
				{needs("in", corev1.NodeSelectorOpIn, "r1"), needs("not", corev1.NodeSelectorOpNotIn, "r1")},
				{needs("any", corev1.NodeSelectorOpExists)},
			} {
				p := packing.Problem{Pools: []packing.Pool{pool}, Pods: pods}
				plan := solve(t, &p)
				for _, u := range plan.Unplaced {
					t.Errorf("pod %s has no place: %s", p.Pods[u.Pod].Name, u.Message)
				}
			}
		})
	}
}

func TestOldNamesOfLabelsAreAddedWhereTheyAreMissing(t *testing.T) {
	labels := map[string]string{corev1.LabelArchStable: "arm64", corev1.LabelTopologyZone: "a", corev1.LabelFailureDomainBetaZone: "set"}
	want := map[string]string{
		corev1.LabelArchStable: "arm64", "beta.kubernetes.io/arch": "arm64", corev1.LabelTopologyZone: "a", corev1.LabelFailureDomainBetaZone: "set",
	}
	if diff := cmp.Diff(want, packing.WithOldNames(labels)); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if len(labels) != 3 {
		t.Error("the labels given were changed")
	}
}

func TestNodesToBuyHaveTheLabelsThatEveryNodeHas(t *testing.T) {
	for key, value := range map[string]string{
		"beta.kubernetes.io/arch": "arm64", "beta.kubernetes.io/os": "linux", corev1.LabelInstanceType: "m7g.xlarge", corev1.LabelFailureDomainBetaZone: zones[1],
	} {
		t.Run(key, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}, Pods: []packing.Pod{makePod("old").req(100, 128).selector(key, value).pod()}}
			if plan := solve(t, &p); len(plan.Unplaced) > 0 {
				t.Errorf("no place: %s", plan.Unplaced[0].Message)
			}
		})
	}
	t.Run("a host name", func(t *testing.T) {
		b := makePod("any").req(100, 128)
		b.affinity().NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpExists}, {Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"bad"}},
			}}},
		}}
		p := packing.Problem{Pools: []packing.Pool{pool("default", listed(false))}, Pods: []packing.Pod{b.pod()}}
		if plan := solve(t, &p); len(plan.Unplaced) > 0 {
			t.Errorf("no place: %s", plan.Unplaced[0].Message)
		}
	})
}
