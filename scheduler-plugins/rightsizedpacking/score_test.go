package rightsizedpacking

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	fwk "k8s.io/kube-scheduler/framework"
	"pgregory.net/rapid"
)

func full(dimensions ...dimension) *fullness {
	f := &fullness{}
	for _, d := range dimensions {
		f.add(d)
	}
	return f
}

func evenly(used ...int64) *fullness {
	f := &fullness{}
	for _, u := range used {
		f.add(dimension{used: u, allocatable: 100, weight: 1})
	}
	return f
}

func TestFullness(t *testing.T) {
	for name, tc := range map[string]struct {
		of    *fullness
		want  float64
		known bool
	}{
		"an empty node":     {of: evenly(0, 0), want: 0, known: true},
		"a full node":       {of: evenly(100, 100), want: 1, known: true},
		"half full in both": {of: evenly(50, 50), want: 0.5, known: true},
		"full in one is less full than half in both":  {of: evenly(100, 0), want: 1 - math.Sqrt(0.5), known: true},
		"a resource that the node lacks is no matter": {of: full(dimension{used: 50, allocatable: 100, weight: 1}, dimension{allocatable: 0, weight: 9}), want: 0.5, known: true},
		"weights shift the balance":                   {of: full(dimension{used: 100, allocatable: 100, weight: 3}, dimension{used: 0, allocatable: 100, weight: 1}), want: 0.5, known: true},
		"nothing is known":                            {of: full()},
		"more than the node has is full":              {of: evenly(150, 100), want: 1, known: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, known := tc.of.value()
			if known != tc.known || math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("got %v, %v, want %v, %v", got, known, tc.want, tc.known)
			}
		})
	}
}

func TestRawScoreOrdersNodes(t *testing.T) {
	busy := standing{movable: 10}
	// From the worst to the best.
	for i, pair := range []struct {
		name          string
		worse, better int64
	}{
		{"a node about to go is worse than one that will overflow", rawScore(evenly(90, 90), standing{leaving: true, movable: 10}, 0.3), rawScore(evenly(500, 90), busy, 0.3)},
		{"the larger overflow is worse", rawScore(evenly(300, 90), busy, 0.3), rawScore(evenly(110, 90), busy, 0.3)},
		{"overflow is worse than an empty node", rawScore(evenly(101, 90), busy, 0.3), rawScore(evenly(0, 0), standing{}, 0.3)},
		{"an empty node is worse than a filled one", rawScore(evenly(10, 10), standing{}, 0.3), rawScore(evenly(20, 20), standing{movable: 1}, 0.3)},
		{"of two as full, the one with fewer pods is worse", rawScore(evenly(50, 50), standing{movable: 2}, 0.3), rawScore(evenly(50, 50), standing{movable: 8}, 0.3)},
		{"a node that cannot be removed is better than any other", rawScore(evenly(50, 50), standing{movable: 1000}, 0.3), rawScore(evenly(50, 50), standing{movable: 1, held: true}, 0.3)},
		{"of two with as many pods, the emptier is worse", rawScore(evenly(50, 40), busy, 0.3), rawScore(evenly(50, 50), busy, 0.3)},
		{"lopsided is worse than balanced", rawScore(evenly(90, 10), busy, 0.3), rawScore(evenly(50, 50), busy, 0.3)},
	} {
		if pair.worse >= pair.better {
			t.Errorf("%d: %s: got %d and %d", i, pair.name, pair.worse, pair.better)
		}
	}
	if got := rawScore(full(), busy, 0.3); got != rawUnknown {
		t.Errorf("a node of unknown size: got %d, want %d", got, rawUnknown)
	}
}

func TestNormalize(t *testing.T) {
	for name, tc := range map[string]struct {
		raw, want []int64
		planned   string
	}{
		"differences keep their size":                      {raw: []int64{500, 510, 1000}, want: []int64{49, 50, 99}},
		"an unknown node gets the mean":                    {raw: []int64{200, rawUnknown, 800}, want: []int64{19, 49, 79}},
		"all unknown are equal":                            {raw: []int64{rawUnknown, rawUnknown}, want: []int64{49, 49}},
		"the planned node wins":                            {raw: []int64{1000, 0}, want: []int64{99, 100}, planned: "b"},
		"a planned node that does not fit changes nothing": {raw: []int64{1000, 0}, want: []int64{99, 0}, planned: "z"},
	} {
		t.Run(name, func(t *testing.T) {
			var scores fwk.NodeScoreList
			for i, raw := range tc.raw {
				scores = append(scores, fwk.NodeScore{Name: string(rune('a' + i)), Score: raw})
			}
			normalize(scores, tc.planned)
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

func TestScoresAreAlwaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var scores fwk.NodeScoreList
		for i := range rapid.IntRange(1, 20).Draw(t, "nodes") {
			f := full()
			for range rapid.IntRange(0, 3).Draw(t, "dimensions") {
				f.add(dimension{used: rapid.Int64Range(0, 1<<45).Draw(t, "used"), allocatable: rapid.Int64Range(-1, 1<<45).Draw(t, "allocatable"), weight: rapid.Int64Range(1, 100).Draw(t, "weight")})
			}
			s := standing{leaving: rapid.Bool().Draw(t, "leaving"), movable: rapid.Int32Range(0, 500).Draw(t, "movable"), held: rapid.Bool().Draw(t, "held")}
			raw := rawScore(f, s, rapid.Float64Range(0, 1).Draw(t, "stay"))
			if raw != rawUnknown && (raw < 0 || raw > rawMax) {
				t.Fatalf("raw score %d", raw)
			}
			scores = append(scores, fwk.NodeScore{Name: string(rune('a' + i)), Score: raw})
		}
		normalize(scores, "b")
		for _, s := range scores {
			if s.Score < fwk.MinScore || s.Score > fwk.MaxScore {
				t.Fatalf("score %d", s.Score)
			}
		}
	})
}
