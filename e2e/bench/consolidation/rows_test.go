package main

import (
	"encoding/json"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/e2e/bench/consolidation/settle"
	"supercargo.dev/e2e/bench/measure"
)

func made(engine string, moved int, saved, cost float64) *line {
	return &line{
		trial: trial{name: realOnDemand}, engine: engine, setting: atDefaults, left: 100, before: 10, after: 5, types: 7, cost: cost, bound: 2,
		plan: measure.Usage{Wall: 2 * time.Second, PeakBytes: 10}, first: time.Second,
		Outcome: settle.Outcome{Moved: moved, Saved: saved, Settled: true, Computing: measure.Usage{PeakBytes: 20}, Course: []settle.Point{
			{Cost: cost + saved}, {Cost: cost + saved/2, Moved: moved / 4}, {Cost: cost, Moved: moved},
		}},
	}
}

func TestARowSaysWhatWasMeasured(t *testing.T) {
	text, err := json.Marshal(made(supercargo, 40, 4, 3).row())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"case": "real-ondemand", "engine": "supercargo", "pods": 100.0, "nodes": 10.0, "types": 7.0, "seconds": 2.0, "podsPerSecond": 50.0,
		"costPerHour": 3.0, "lowerBound": 2.0, "ratio": 1.5, "nodesUsed": 5.0, "violations": 0.0, "peakBytes": 20.0,
		"podsMoved": 40.0, "savedPerHour": 4.0, "secondsToFirst": 1.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("row (-want +got), with the fields %v:\n%s", slices.Sorted(maps.Keys(got)), diff)
	}
}

func TestPodsMovedPerDollar(t *testing.T) {
	mine, theirs := made(supercargo, 40, 4, 3), made(karpenter, 12, 2, 5)
	mine.rival, theirs.rival = theirs, mine
	if got := mine.perDollar(); got != 10 {
		t.Errorf("pods per dollar = %.1f, want 10", got)
	}
	if got := mine.equal(); got != 5 {
		t.Errorf("pods per dollar at equal saving = %.1f, want 5: 10 pods had moved when $2/h was saved", got)
	}
	theirs.Saved = 9
	if got := mine.equal(); got != 10 {
		t.Errorf("pods per dollar at equal saving = %.1f, want all that was moved and saved when the other saves more", got)
	}
	if got := made(supercargo, 0, 0, 3).perDollar(); !math.IsNaN(got) {
		t.Errorf("pods per dollar = %.1f, want none where nothing was saved", got)
	}
}

func TestBarsTakeTheWorstCaseAtDefaults(t *testing.T) {
	good, bad, loose := made(supercargo, 40, 4, 2), made(supercargo, 40, 4, 3), made(supercargo, 400, 4, 9)
	loose.setting = unrestrained
	rival := made(karpenter, 12, 2, 4)
	for _, l := range []*line{good, bad, loose} {
		l.rival = rival
	}
	got := map[string]float64{}
	met := map[string]bool{}
	for _, b := range bars([]line{*good, *bad, *loose, *rival}) {
		got[b.Name], met[b.Name] = b.Got, b.Met()
	}
	for name, want := range map[string]float64{
		"cost when it finds nothing more, over the lower bound":      1.5,
		"the same over Karpenter's":                                  0.75,
		"pods moved per dollar saved, over Karpenter's":              10.0 / 6,
		"the same when it has saved what Karpenter saves in the end": 5.0 / 6,
	} {
		if math.Abs(got[name]-want) > 1e-9 {
			t.Errorf("%s = %v, want %v", name, got[name], want)
		}
	}
	if met["first command that saves, 5,000 nodes and 50,000 pods"] {
		t.Error("a bar is met that was not measured")
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"--nodes -1", "--nodes"},
		{"--patience -1s", "--patience"},
		{"--case real-spot,nonsense", "nonsense"},
	} {
		if _, err := parse(strings.Fields(c.args), io.Discard); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error = %v, want one that names %s", c.args, err, c.want)
		}
	}
}

func TestACaseWhoseTraceIsMissingLeavesNothingToMeasure(t *testing.T) {
	s, err := parse([]string{"--case", "openb", "--data", t.TempDir()}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := s.trials(&out); err == nil || !strings.Contains(out.String(), "SKIPPED: the case openb") {
		t.Errorf("trials of a case without its trace: error %v, output %q", err, out.String())
	}
}
