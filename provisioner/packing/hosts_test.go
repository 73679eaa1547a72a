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
