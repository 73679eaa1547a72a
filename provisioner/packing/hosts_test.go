package packing_test

import (
	"fmt"
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// apartIfPossible makes n equal pods that would rather not share a node: by preferred anti-affinity of weight 100, or by a soft
// spread of skew 1.
func apartIfPossible(app string, n int, cpuMilli int64, spread bool) []packing.Pod {
	match := map[string]string{"app": app}
	var out []packing.Pod
	for i := range n {
		b := makePod(fmt.Sprintf("%s-%d", app, i)).req(cpuMilli, 256).label("app", app)
		if spread {
			b.spread(corev1.LabelHostname, 1, corev1.ScheduleAnyway, match)
		} else {
			b.affinity().PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
				{Weight: 100, PodAffinityTerm: term(corev1.LabelHostname, match)},
			}}
		}
		out = append(out, b.pod())
	}
	return out
}

func TestPreferencesToBeApartAreHonouredWhenCheapAndDroppedWithAPrice(t *testing.T) {
	filler := func(n int) []packing.Pod {
		var out []packing.Pod
		for i := range n {
			out = append(out, makePod(fmt.Sprintf("filler-%d", i)).req(1700, 2048).pod())
		}
		return out
	}
	small := listed(false)[:1] // 2 CPUs, $0.085 per hour
	tests := []struct {
		name    string
		pods    []packing.Pod
		options packing.Options
		nodes   int
		dropped int
		price   float64
	}{
		{"anti-affinity costs nothing where there are nodes enough", append(filler(6), apartIfPossible("web", 6, 100, false)...), packing.Options{}, 6, 0, 0},
		{"a soft spread costs nothing where there are nodes enough", append(filler(6), apartIfPossible("web", 6, 100, true)...), packing.Options{}, 6, 0, 0},
		{"anti-affinity is dropped where it would take nodes", apartIfPossible("web", 6, 100, false), packing.Options{}, 1, 6, 0.003},
		{"a soft spread is dropped where it would take nodes", apartIfPossible("web", 6, 100, true), packing.Options{}, 1, 5, 0.0025},
		{"what is worth more than nodes is bought", apartIfPossible("web", 6, 100, false), packing.Options{PreferencePrice: 0.2}, 6, 0, 0},
		{"preferences may be ignored", apartIfPossible("web", 6, 100, false), packing.Options{PreferencePrice: -1}, 1, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pods: tt.pods, Pools: []packing.Pool{pool("default", small)}, Options: tt.options}
			plan := solve(t, &p)
			if len(plan.Nodes) != tt.nodes || len(plan.Unplaced) > 0 {
				t.Errorf("%d nodes and %d unplaced, want %d nodes", len(plan.Nodes), len(plan.Unplaced), tt.nodes)
			}
			if plan.Stats.PreferencesDropped != tt.dropped || math.Abs(plan.Stats.PreferencePrice-tt.price) > 1e-9 {
				t.Errorf("dropped %d rules worth $%.4f per hour, want %d worth $%.4f", plan.Stats.PreferencesDropped, plan.Stats.PreferencePrice, tt.dropped, tt.price)
			}
			if plan.LowerBound > plan.Cost || plan.LowerBound > 0.085*float64(tt.nodes) {
				t.Errorf("the bound %.4f counts preferences as rules", plan.LowerBound)
			}
		})
	}
}

func TestPodsThatWouldBeApartUseExistingNodesEvenly(t *testing.T) {
	p := packing.Problem{Pods: apartIfPossible("web", 6, 100, false), Pools: []packing.Pool{pool("default", listed(false))}}
	for i := range 3 {
		p.Nodes = append(p.Nodes, oldNode(fmt.Sprintf("old-%d", i), zones[i], packing.CapacityOnDemand, 2000, 4096, 20))
	}
	plan := solve(t, &p)
	count := map[string]int{}
	for _, b := range plan.Bindings {
		count[b.Node]++
	}
	if len(plan.Nodes) > 0 || count["old-0"] != 2 || count["old-1"] != 2 || count["old-2"] != 2 {
		t.Errorf("%d nodes bought, pods per existing node %v, want two on each", len(plan.Nodes), count)
	}
}

func TestPreferencesAboutNodesAreWeighedAgainstTheirPrice(t *testing.T) {
	prefer := func(key, value string) func(podBuilder) podBuilder {
		return func(b podBuilder) podBuilder {
			b.affinity().NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
				Weight: 50, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{value}},
				}},
			}}}
			return b
		}
	}
	amd := pool("default", listed(false))
	for i := range amd.Types { // arm64 is 15% cheaper, $0.0125 per hour
		amd.Types[i].Offerings = amd.Types[i].Offerings[:2]
	}
	soft := pool("soft", amd.Types)
	soft.Taints = []corev1.Taint{{Key: "better-not", Effect: corev1.TaintEffectPreferNoSchedule}}
	tests := []struct {
		name    string
		pools   []packing.Pool
		prefer  func(podBuilder) podBuilder
		price   float64 // Options.PreferencePrice
		want    func(packing.PlannedNode) bool
		dropped int
		usd     float64
	}{
		{"a zone at the same price is taken", []packing.Pool{amd}, prefer(corev1.LabelTopologyZone, zones[1]), 0, func(n packing.PlannedNode) bool { return n.Zone == zones[1] }, 0, 0},
		{"a dearer architecture is not", []packing.Pool{amd}, prefer(corev1.LabelArchStable, "amd64"), 0, func(n packing.PlannedNode) bool { return n.Labels[corev1.LabelArchStable] == "arm64" }, 1, 0.00025},
		{"unless it is worth more", []packing.Pool{amd}, prefer(corev1.LabelArchStable, "amd64"), 0.03, func(n packing.PlannedNode) bool { return n.Labels[corev1.LabelArchStable] == "amd64" }, 0, 0},
		{"a pool without a soft taint is taken", []packing.Pool{soft, amd}, func(b podBuilder) podBuilder { return b }, 0, func(n packing.PlannedNode) bool { return n.Pool == "default" }, 0, 0},
		{"a soft taint is put up with where there is nothing else", []packing.Pool{soft}, func(b podBuilder) podBuilder { return b }, 0, func(n packing.PlannedNode) bool { return n.Pool == "soft" }, 1, 0.0005},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pods: []packing.Pod{tt.prefer(makePod("web").req(1500, 1024)).pod()}, Pools: tt.pools}
			p.Options.PreferencePrice = tt.price
			plan := solve(t, &p)
			if len(plan.Nodes) != 1 || !tt.want(plan.Nodes[0]) {
				t.Fatalf("bought %+v", plan.Nodes)
			}
			if plan.Stats.PreferencesDropped != tt.dropped || math.Abs(plan.Stats.PreferencePrice-tt.usd) > 1e-9 {
				t.Errorf("dropped %d rules worth $%.5f per hour, want %d worth $%.5f", plan.Stats.PreferencesDropped, plan.Stats.PreferencePrice, tt.dropped, tt.usd)
			}
		})
	}
}
