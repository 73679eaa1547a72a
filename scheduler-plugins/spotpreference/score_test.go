package spotpreference

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	fwk "k8s.io/kube-scheduler/framework"
	"pgregory.net/rapid"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
)

func TestShare(t *testing.T) {
	for name, tc := range map[string]struct {
		pod         demand.Resources
		cpu, memory int64
		want        float64
	}{
		"the resource that the pod takes most of decides":      {pod: demand.Resources{MilliCPU: 1000, MemoryBytes: 8 << 30}, cpu: 4000, memory: 16 << 30, want: 0.5},
		"a pod without requests takes what it is taken for":    {cpu: 1000, memory: 200 << 21, want: 0.5},
		"a node that states one size is judged by that":        {pod: demand.Resources{MilliCPU: 1000}, cpu: 4000, want: 0.25},
		"a node that states none takes no share":               {pod: demand.Resources{MilliCPU: 1000}, want: 0},
		"a pod larger than the node takes more than all of it": {pod: demand.Resources{MilliCPU: 8000}, cpu: 4000, memory: 16 << 30, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := share(tc.pod, tc.cpu, tc.memory); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCost(t *testing.T) {
	w := weights{lossHours: 0.5, spread: 0.25}
	onDemand := offer{price: 0.4, known: true, share: 0.5}
	spot := offer{spot: true, price: 0.1, known: true, share: 0.5}
	risky, crowded, free, unknown, sizeless := spot, spot, onDemand, spot, spot
	risky.risk, crowded.crowding, free.price, unknown.known, sizeless.share = 0.2, 1, 0, false, 0
	for name, tc := range map[string]struct {
		of        offer
		tolerance v1alpha1.SpotTolerance
		want      int64
	}{
		"the share of the price":                      {of: onDemand, tolerance: v1alpha1.SpotTolerate, want: 200_000_000_000},
		"spot at its price":                           {of: spot, tolerance: v1alpha1.SpotTolerate, want: 50_000_000_000},
		"lost work is paid twice":                     {of: risky, tolerance: v1alpha1.SpotTolerate, want: 55_000_000_000},
		"a crowded pool costs more":                   {of: crowded, tolerance: v1alpha1.SpotTolerate, want: 62_500_000_000},
		"a free node costs nothing":                   {of: free, tolerance: v1alpha1.SpotTolerate, want: 0},
		"no price is unknown":                         {of: unknown, tolerance: v1alpha1.SpotTolerate, want: rawUnknown},
		"no size is unknown":                          {of: sizeless, tolerance: v1alpha1.SpotTolerate, want: rawUnknown},
		"on-demand comes second to whom prefers spot": {of: onDemand, tolerance: v1alpha1.SpotPrefer, want: rawSecond + 200_000_000_000},
		"spot of unknown price is still spot":         {of: unknown, tolerance: v1alpha1.SpotPrefer, want: rawUnknown},
		"an absurd price stays below unknown":         {of: offer{price: 1e300, known: true, share: 1}, tolerance: v1alpha1.SpotNever, want: rawMaxCost},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.of.cost(w, tc.tolerance); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestNormalize(t *testing.T) {
	for name, tc := range map[string]struct {
		tolerance v1alpha1.SpotTolerance
		raw, want []int64
		planned   string
	}{
		"twice the cost is half the score":               {tolerance: v1alpha1.SpotTolerate, raw: []int64{100, 200, 400}, want: []int64{99, 50, 25}},
		"unknown is the mean":                            {tolerance: v1alpha1.SpotTolerate, raw: []int64{100, rawUnknown, 300}, want: []int64{99, 66, 33}},
		"all unknown are equal":                          {tolerance: v1alpha1.SpotTolerate, raw: []int64{rawUnknown, rawUnknown}, want: []int64{50, 50}},
		"beside a free node all others are worth little": {tolerance: v1alpha1.SpotNever, raw: []int64{0, 100}, want: []int64{99, 0}},
		"dear spot beats cheap on-demand for whom prefers it": {
			tolerance: v1alpha1.SpotPrefer, raw: []int64{1000, 4000, rawSecond + 1, rawSecond + 2}, want: []int64{99, 62, 49, 25},
		},
		"spot of unknown price beats any on-demand for whom prefers it": {
			tolerance: v1alpha1.SpotPrefer, raw: []int64{rawUnknown, rawSecond + 1, rawSecond + rawUnknown}, want: []int64{75, 49, 49},
		},
		"the planned node wins": {tolerance: v1alpha1.SpotTolerate, raw: []int64{100, 1000}, want: []int64{99, 100}, planned: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var scores fwk.NodeScoreList
			for i, raw := range tc.raw {
				scores = append(scores, fwk.NodeScore{Name: string(rune('a' + i)), Score: raw})
			}
			normalize(scores, tc.tolerance, tc.planned)
			var got []int64
			for _, s := range scores {
				got = append(got, s.Score)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("scores (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScoresAreInRangeAndOrderedByCost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tolerance := rapid.SampledFrom([]v1alpha1.SpotTolerance{v1alpha1.SpotNever, v1alpha1.SpotTolerate, v1alpha1.SpotPrefer, v1alpha1.SpotRequire}).Draw(t, "tolerance")
		var offers []offer
		var scores fwk.NodeScoreList
		for range rapid.IntRange(1, 20).Draw(t, "nodes") {
			o := offer{
				spot: rapid.Bool().Draw(t, "spot"), price: rapid.Float64Range(0, 1e6).Draw(t, "price"), known: rapid.Bool().Draw(t, "known"),
				risk: rapid.Float64Range(0, 10).Draw(t, "risk"), share: rapid.Float64Range(0, 4).Draw(t, "share"), crowding: rapid.Float64Range(0, 1).Draw(t, "crowding"),
			}
			offers = append(offers, o)
			scores = append(scores, fwk.NodeScore{Score: o.cost(weights{lossHours: 168, spread: 10}, tolerance)})
		}
		raw := append(fwk.NodeScoreList{}, scores...)
		normalize(scores, tolerance, "none")
		for i := range scores {
			if scores[i].Score < fwk.MinScore || scores[i].Score > fwk.MaxScore {
				t.Fatalf("score %d of raw %d", scores[i].Score, raw[i].Score)
			}
			for j := range scores {
				if tolerance == v1alpha1.SpotPrefer && offers[i].spot && !offers[j].spot && scores[i].Score <= scores[j].Score {
					t.Fatalf("spot has %d, on-demand has %d", scores[i].Score, scores[j].Score)
				}
				same := tolerance != v1alpha1.SpotPrefer || offers[i].spot == offers[j].spot
				known := func(k int) bool { return offers[k].known && offers[k].share > 0 }
				if same && known(i) && known(j) && raw[i].Score < raw[j].Score && scores[i].Score < scores[j].Score {
					t.Fatalf("the cheaper node, %d, has %d; the dearer, %d, has %d", raw[i].Score, scores[i].Score, raw[j].Score, scores[j].Score)
				}
			}
		}
	})
}
