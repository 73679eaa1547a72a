package consolidation_test

// What Karpenter's users ask of consolidation: each test is named for the ask and links the issue in which it is made.

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

// family is an instance type with so much memory per core, at its on-demand price in USD per hour.
func family(name string, cores, gibPerCore int64, price float64) packing.InstanceType {
	list := amounts(1000*cores, 1024*gibPerCore*cores)
	list[corev1.ResourcePods] = quantity(110)
	return packing.InstanceType{Name: name, Allocatable: list, Capacity: list, Offerings: []packing.Offering{
		{Zone: "a", CapacityType: packing.CapacityOnDemand, Price: price, Available: true},
	}}
}

// offered sells a type as spot too.
func offered(it packing.InstanceType, spotPrice, risk float64) packing.InstanceType {
	it.Offerings = append(slices.Clone(it.Offerings), packing.Offering{
		Zone: "a", CapacityType: packing.CapacitySpot, Price: spotPrice, Risk: risk, Available: true,
	})
	return it
}

// onSpot makes a candidate a spot node at a price.
func onSpot(c consolidation.Candidate, price float64) consolidation.Candidate {
	c.CapacityType, c.Price = packing.CapacitySpot, price
	c.Labels[packing.LabelCapacityType] = packing.CapacitySpot
	return c
}

// told lists what the moves of a plan say, for messages.
func told(plan consolidation.Plan) []string {
	out := []string{}
	for _, m := range plan.Moves {
		out = append(out, m.Why)
	}
	return out
}

func sells(types ...packing.InstanceType) []packing.Pool {
	return []packing.Pool{{Name: "default", Types: types}}
}

// TestNodesShortOfMemoryBecomeFewerWithMoreOfIt: c5a.xlarge nodes whose memory is full and whose CPU idles become m6a.xlarge,
// two for one, where Karpenter says "Can't replace with a cheaper node" (kubernetes-sigs/karpenter#1962).
func TestNodesShortOfMemoryBecomeFewerWithMoreOfIt(t *testing.T) {
	c5a, m6a := family("c5a.xlarge", 4, 2, 0.154), family("m6a.xlarge", 4, 4, 0.1728)
	var nodes []consolidation.Candidate
	for i := range 6 {
		c := candidate(fmt.Sprintf("n%d", i), c5a, "a")
		for k := range 4 {
			c.Pods = append(c.Pods, pod(fmt.Sprintf("p%d-%d", i, k), 450, 1900))
		}
		nodes = append(nodes, c)
	}
	s := state(nodes...)
	s.Pools = sells(c5a, m6a)
	plan := search(t, s)
	if want := 3 * 0.1728; plan.After > want+1e-9 {
		t.Errorf("cost after = $%.4f/h of $%.4f/h, want $%.4f/h: three m6a.xlarge for six c5a.xlarge", plan.After, plan.Cost, want)
	}
}

// TestOneNodeBecomesSeveralThatCostLess: what Karpenter refuses with "Can't remove without creating 2 candidates"
// (kubernetes-sigs/karpenter#1442).
func TestOneNodeBecomesSeveralThatCostLess(t *testing.T) {
	s := state(candidate("big", m("4xlarge", 8), "a", pod("a", 3900, 4096), pod("b", 3900, 4096), pod("c", 3900, 4096)))
	plan := search(t, s)
	if len(plan.Moves) != 1 || len(plan.Moves[0].Launch) < 2 {
		t.Fatalf("moves = %q, want one that launches several nodes; kept: %+v", told(plan), plan.Kept)
	}
	if want := 3 * 0.192; plan.After > want+1e-9 {
		t.Errorf("cost after = $%.4f/h, want $%.4f/h", plan.After, want)
	}
}

// TestSeveralNodesBecomeSeveralOthersInOneMove: either node alone would become two that cost more than it does, and no one node
// holds the pods of both (kubernetes-sigs/karpenter#2814).
func TestSeveralNodesBecomeSeveralOthersInOneMove(t *testing.T) {
	old := amounts(4000, 11*1024) // room for three of the pods
	old[corev1.ResourcePods] = quantity(110)
	former := packing.InstanceType{Name: "old", Allocatable: old, Capacity: old, Offerings: family("old", 4, 2, 0.30).Offerings}
	var nodes []consolidation.Candidate
	for i := range 2 {
		c := candidate(fmt.Sprintf("n%d", i), former, "a")
		for k := range 3 {
			c.Pods = append(c.Pods, pod(fmt.Sprintf("p%d-%d", i, k), 1300, 3500))
		}
		nodes = append(nodes, c)
	}
	s := state(nodes...)
	s.Pools = sells(former, family("c.xlarge", 4, 2, 0.17)) // room for two of them
	plan := search(t, s)
	if want := 3 * 0.17; plan.After > want+1e-9 {
		t.Errorf("cost after = $%.4f/h of $%.4f/h, want $%.4f/h: %q", plan.After, plan.Cost, want, told(plan))
	}
	if len(plan.Moves) != 1 || len(plan.Moves[0].Remove) != 2 || len(plan.Moves[0].Launch) != 3 {
		t.Errorf("moves = %q, want one that replaces two nodes by three", told(plan))
	}
}

// TestALargeClusterIsConsolidatedHoweverShortTheTime: at 700 nodes Karpenter's search times out with nothing to show
// (kubernetes-sigs/karpenter#1733, #2826). Ours carries out what it has found when time ends, and every move found is complete.
func TestALargeClusterIsConsolidatedHoweverShortTheTime(t *testing.T) {
	s := fragmented(700, 5)
	s.Options.TimeBudget = 5 * time.Second
	plan, err := consolidation.Search(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("$%.2f/h → $%.2f/h in %d moves, %+v", plan.Cost, plan.After, len(plan.Moves), plan.Stats)
	if len(plan.Moves) == 0 || plan.After >= plan.Cost {
		t.Errorf("%d moves and $%.2f/h of $%.2f/h, want some that save", len(plan.Moves), plan.After, plan.Cost)
	}
	for _, move := range plan.Moves {
		places := len(move.Bindings)
		for _, n := range move.Launch {
			places += len(n.Pods)
		}
		if places != len(move.Pods) {
			t.Errorf("a move has places for %d of %d pods: %s", places, len(move.Pods), move.Why)
		}
	}
	if got := len(plan.Kept); got == 0 {
		t.Error("no node says why it is kept")
	}
}

// TestNothingMovesForLessThanTheMinimumSaving (kubernetes-sigs/karpenter#1440, #2883): 2% is not worth a move, unless it is
// said to be; and a third of next to nothing is not either.
func TestNothingMovesForLessThanTheMinimumSaving(t *testing.T) {
	for name, tc := range map[string]struct {
		price, cheaper float64
		options        consolidation.Options
		wantMoves      int
	}{
		"2% with the default of 3%":              {1, 0.98, consolidation.Options{}, 0},
		"4% with the default of 3%":              {1, 0.96, consolidation.Options{}, 1},
		"2% where 1% is asked for":               {1, 0.98, consolidation.Options{MinSavingFraction: 0.01}, 1},
		"30% of three cents, $0.009/h":           {0.03, 0.021, consolidation.Options{}, 0},
		"the same where no minimum is asked for": {0.03, 0.021, consolidation.Options{MinSavingPerHour: -1, MinSavingFraction: -1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			old, cheap := family("old", 4, 4, tc.price), family("new", 4, 4, tc.cheaper)
			s := state(candidate("n", old, "a", pod("p", 3500, 4096)))
			s.Pools, s.Options = sells(old, cheap), tc.options
			s.Options.DefaultPodCost, s.Options.LaunchOverlap = -1, time.Millisecond
			if plan := search(t, s); len(plan.Moves) != tc.wantMoves {
				t.Errorf("%d moves, want %d; kept: %+v", len(plan.Moves), tc.wantMoves, plan.Kept)
			}
		})
	}
}

// TestTheEmptierNodeGoesAndTheFullOneStays (kubernetes-sigs/karpenter#2319): either could be given up for the same price.
func TestTheEmptierNodeGoesAndTheFullOneStays(t *testing.T) {
	var full []packing.Pod
	for k := range 9 {
		full = append(full, pod(fmt.Sprintf("f%d", k), 400, 1024))
	}
	s := state(
		candidate("full", m("xlarge", 2), "a", full...), // 3.6 of 4 cores
		candidate("emptier", m("xlarge", 2), "a", pod("e0", 200, 512), pod("e1", 200, 512)),
		candidate("room", m("xlarge", 2), "a", pod("r", 200, 512)),
	)
	s.Pools = nil // nothing can be bought, so one of them must take in the other's pods
	plan := search(t, s)
	for _, move := range plan.Moves {
		if slices.Contains(move.Remove, "full") {
			t.Errorf("the full node is given up: %s", move.Why)
		}
	}
	if len(plan.Moves) != 1 {
		t.Errorf("%d moves, want one: either of the emptier nodes", len(plan.Moves))
	}
}

// TestNodesGoBackFromTheFallbackPoolToTheOnePreferred: an on-demand pool of lower weight took the pods while spot was out
// (kubernetes-sigs/karpenter#1829).
func TestNodesGoBackFromTheFallbackPoolToTheOnePreferred(t *testing.T) {
	it := offered(family("m.xlarge", 4, 4, 0.192), 0.07, 0.05)
	spot, onDemand := it, it
	spot.Offerings, onDemand.Offerings = it.Offerings[1:], it.Offerings[:1]
	c := candidate("fallback", it, "a", pod("p", 3500, 4096))
	c.Pool, c.Labels[packing.LabelNodePool] = "fallback", "fallback"
	s := state(c)
	s.Pools = []packing.Pool{
		{Name: "spot", Weight: 100, Types: []packing.InstanceType{spot}},
		{Name: "fallback", Weight: 1, Types: []packing.InstanceType{onDemand}},
	}
	s.Options.InterruptionCost = 0.02
	plan := search(t, s)
	if len(plan.Moves) != 1 || len(plan.Moves[0].Launch) != 1 || plan.Moves[0].Launch[0].Pool != "spot" {
		t.Errorf("moves = %q, want one to the spot pool; kept: %+v", told(plan), plan.Kept)
	}
}

// TestASpotNodeIsReplacedByCheaperSpotWithoutFifteenTypes: half-empty, in a pool of two types
// (kubernetes-sigs/karpenter#1653).
func TestASpotNodeIsReplacedByCheaperSpotWithoutFifteenTypes(t *testing.T) {
	large, small := offered(family("4xlarge", 16, 4, 0.768), 0.30, 0.05), offered(family("2xlarge", 8, 4, 0.384), 0.15, 0.05)
	s := state(onSpot(candidate("n", large, "a", pod("p", 7000, 8192)), 0.30))
	s.Pools, s.Options.InterruptionCost = sells(large, small), 0.02
	plan := search(t, s)
	if len(plan.Moves) != 1 || plan.Moves[0].Launch[0].InstanceType != "2xlarge" || plan.Moves[0].Launch[0].CapacityType != packing.CapacitySpot {
		t.Errorf("moves = %q, want one to a spot 2xlarge; kept: %+v", told(plan), plan.Kept)
	}
}

// TestASavingBelowWhatItsInterruptionsCostIsNotTaken: cheaper spot capacity that is taken back twice an hour is no saving.
func TestASavingBelowWhatItsInterruptionsCostIsNotTaken(t *testing.T) {
	for name, tc := range map[string]struct {
		risk      float64
		wantMoves int
	}{
		"calm capacity is taken":   {0.05, 1},
		"unsteady capacity is not": {2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			now := offered(family("old", 8, 4, 0.384), 0.15, 0.05)
			cheaper := offered(family("new", 8, 4, 0.384), 0.12, tc.risk)
			s := state(onSpot(candidate("n", now, "a", pod("p", 7000, 8192)), 0.15))
			s.Pools = sells(now, cheaper)
			s.Options.InterruptionCost = 0.02
			plan := search(t, s)
			if len(plan.Moves) != tc.wantMoves {
				t.Errorf("%d moves, want %d; kept: %+v", len(plan.Moves), tc.wantMoves, plan.Kept)
			}
		})
	}
}

// TestAMoveEarnsTheTimeForWhichBothNodesArePaid: with nodes that take an hour to start, a saving of a fifth is not one.
func TestAMoveEarnsTheTimeForWhichBothNodesArePaid(t *testing.T) {
	for name, tc := range map[string]struct {
		overlap   time.Duration
		wantMoves int
	}{
		"3 minutes":  {3 * time.Minute, 1},
		"30 minutes": {30 * time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			old, cheap := family("old", 4, 4, 1), family("new", 4, 4, 0.8)
			s := state(candidate("n", old, "a", pod("p", 3500, 4096)))
			s.Pools, s.Options.LaunchOverlap = sells(old, cheap), tc.overlap
			plan := search(t, s)
			if len(plan.Moves) != tc.wantMoves {
				t.Errorf("%d moves, want %d; kept: %+v", len(plan.Moves), tc.wantMoves, plan.Kept)
			}
		})
	}
}

// TestANodeSaysThatCapacityHasJustComeBack where it stays for want of something cheaper.
func TestANodeSaysThatCapacityHasJustComeBack(t *testing.T) {
	it := family("m.xlarge", 4, 4, 0.192)
	s := state(candidate("n", it, "a", pod("p", 3500, 4096)))
	s.Pools, s.Returning = sells(it), 3
	keptBecause(t, search(t, s), "n", "3 offerings that were out of capacity are not used for replacements until they have stayed")
}

// TestAPodResizedInPlaceIsPlacedByWhatItsSuccessorAsksFor: judged by what it holds now it would fit elsewhere, start with its
// template's requests there, and find no room (kubernetes-sigs/karpenter#829).
func TestAPodResizedInPlaceIsPlacedByWhatItsSuccessorAsksFor(t *testing.T) {
	for name, tc := range map[string]struct {
		anew      corev1.ResourceList
		wantMoves int
	}{
		"whose successor asks for as little moves": {nil, 1},
		"whose successor asks for more stays":      {amounts(3500, 1024), 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := state(candidate("n", m("xlarge", 2), "a", pod("resized", 100, 1024)), candidate("other", m("xlarge", 2), "a", pod("p", 1900, 1024)))
			s.Candidates[0].Anew = []corev1.ResourceList{tc.anew}
			s.Candidates[1].Blocked = "it is not looked at here"
			s.Pools = nil
			if plan := search(t, s); len(plan.Moves) != tc.wantMoves {
				t.Errorf("moves = %q, want %d; kept: %+v", told(plan), tc.wantMoves, plan.Kept)
			}
		})
	}
}
