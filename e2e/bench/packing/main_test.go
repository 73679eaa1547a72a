package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/packing/input"
)

func TestOneRowIsWhatReadersOfTheFileAreTold(t *testing.T) {
	folder := t.TempDir()
	pods := filepath.Join(folder, "pods.jsonl")
	if err := os.WriteFile(pods, []byte(strings.Repeat(input.Example()+"\n", 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := parse([]string{"--pods", pods, "--out", folder, "--runs", "1"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "packing.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 2 {
		t.Fatalf("%d rows, want one of each engine", len(rows))
	}
	want := []string{
		"case", "costPerHour", "engine", "lowerBound", "nodes", "nodesUsed", "peakBytes", "pods", "podsPerSecond", "ratio", "seconds", "types", "violations",
	}
	for _, r := range rows {
		var keys []string
		for k := range r {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("fields (-want +got):\n%s", diff)
		}
		if r["case"] != "custom" || r["pods"] != 10.0 || r["costPerHour"].(float64) <= 0 || r["ratio"].(float64) < 1 {
			t.Errorf("row %v", r)
		}
	}
	if rows[0]["engine"] != "supercargo" || rows[1]["engine"] != "karpenter" {
		t.Errorf("engines %v and %v", rows[0]["engine"], rows[1]["engine"])
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"types without pods":     {"--types", "x"},
		"an engine nobody knows": {"--engine", "x"},
		"a case nobody knows":    {"--case", "openb,nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := parse(args, &bytes.Buffer{}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestHelpShowsBothFormats(t *testing.T) {
	var out bytes.Buffer
	if _, err := parse([]string{"--help"}, &out); err == nil {
		t.Error("help went on to run")
	}
	for _, want := range []string{input.Example(), input.TypesExample, "-seed", "-pods", "-types", "-short"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help does not show %q", want)
		}
	}
}

// made is a line of each engine on one problem.
func made(name string, pods int, ours, theirs contest.Result) []line {
	ours.Engine, theirs.Engine = contest.Supercargo, contest.Karpenter
	ours.Pods, theirs.Pods = pods, pods
	theirs.LowerBound = ours.LowerBound
	at := trial{name: name, pods: pods}
	return []line{{at, ours, &theirs}, {at, theirs, &ours}}
}

func took(d time.Duration) contest.Phases { return contest.Phases{Inputs: time.Hour, Solve: d} }

func TestRatiosArePerPlacedPodWhereEnginesLeaveOutDifferentNumbers(t *testing.T) {
	lines := made("custom", 10, contest.Result{CostPerHour: 8, LowerBound: 8, Unplaced: 2}, contest.Result{CostPerHour: 15})
	if got := lines[0].ratio(); got != 1 {
		t.Errorf("Supercargo's ratio is %v, want 1", got)
	}
	if got := lines[1].ratio(); got != 1.5 {
		t.Errorf("Karpenter's ratio is %v, want 1.5: $1.50 for a pod where the bound is $1", got)
	}
	if got := notes(lines); len(got) != 1 || !strings.Contains(got[0], "leaves out 2 and karpenter 0") {
		t.Errorf("notes %q", got)
	}
	if got := lines[0].row().Unplaced; got != 2 {
		t.Errorf("the row has %d unplaced, want 2", got)
	}
}

func TestBarsTakeTheWorstOfWhatWasMeasured(t *testing.T) {
	ours := func(cost float64, d time.Duration) contest.Result {
		return contest.Result{CostPerHour: cost, LowerBound: 1, Phases: took(d), HeapBytes: 5 << 20}
	}
	var lines []line
	lines = append(lines, made(karpenterMix, 5000, ours(1.2, 10*time.Millisecond), ours(1.5, 2*time.Second))...)
	lines = append(lines, made(realSpot, 5000, ours(1.005, 10*time.Millisecond), ours(1.3, time.Second))...)
	lines = append(lines, made(realOnDemand, 5000, ours(1.02, 10*time.Millisecond), ours(1.3, 500*time.Millisecond))...)
	lines = append(lines, made(realOnDemand, 200, ours(1.01, time.Millisecond), ours(1.005, time.Millisecond))...)
	for n, d := range map[int]time.Duration{10000: 20 * time.Millisecond, 100000: 100 * time.Millisecond} {
		l := made(realOnDemand, n, ours(1, d), contest.Result{})[0]
		l.rival = nil
		lines = append(lines, l)
	}
	got := map[string]float64{}
	met := map[string]bool{}
	for _, b := range bars(lines, nil) {
		got[b.Name], met[b.Name] = b.Got, b.Met()
	}
	want := map[string]float64{
		"speed against Karpenter, its mix, 5,000 pods":    200,
		"speed against Karpenter, real types, 5,000 pods": 50,
		"growth of time, 10,000 → 100,000 pods":           5,
		"cost / bound, real types, 1,000 pods and more":   1.02,
		"cost / bound, real types, 200 pods":              1.01,
		"cost / Karpenter's, every row":                   1.01 / 1.005,
		"heap with 100,000 pods, the pods included":       5 << 20,
		"violations of kube-scheduler's rules":            0,
	}
	for name, v := range want {
		if math.Abs(got[name]-v) > 1e-9*v {
			t.Errorf("%s: got %v, want %v", name, got[name], v)
		}
	}
	for _, name := range []string{"cost / bound, real types, 1,000 pods and more", "cost / Karpenter's, every row"} {
		if met[name] {
			t.Errorf("%s counts as met with %v", name, got[name])
		}
	}
}

func TestOddMixesAreComparedWhereBothPlaceTheSamePods(t *testing.T) {
	r := &sweepResult{worst: math.NaN()}
	if !math.IsNaN(r.mean()) {
		t.Errorf("the mean of nothing is %v", r.mean())
	}
	for _, p := range []struct {
		ours, theirs      float64
		unplaced, theirsU int
	}{{1, 2, 0, 0}, {2 + 1e-12, 2, 1, 1}, {1, 100, 1, 0}, {100, 1, 0, 1}, {0, 0, 0, 0}} {
		r.add(&contest.Result{CostPerHour: p.ours, Unplaced: p.unplaced}, &contest.Result{CostPerHour: p.theirs, Unplaced: p.theirsU}, "x")
	}
	if r.problems != 5 || r.cheaper != 1 || r.equal != 1 || r.dearer != 0 || r.morePlaced != 1 || r.fewerPlaced != 1 || r.worst != 1 {
		t.Errorf("got %+v", r)
	}
	if got := r.mean(); math.Abs(got-math.Sqrt(0.5)) > 1e-12 {
		t.Errorf("mean %v, want the geometric one of 0.5 and 1", got)
	}
	for _, b := range bars(nil, r) {
		if b.Name == "odd mixes in which Karpenter places more pods" && b.Met() {
			t.Error("a plan that leaves more pods out than Karpenter's counts as good")
		}
	}
}

func TestBarsOfARunThatMeasuredLittleAreNotMet(t *testing.T) {
	for _, b := range bars(nil, nil) {
		if b.Met() {
			t.Errorf("%s counts as met without a measurement", b.Name)
		}
	}
}
