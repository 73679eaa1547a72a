package consolidation_test

import (
	"fmt"
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// Half of the nodes can be emptied on the others. Pods that went to a node that is emptied later would move twice.
func TestFoldingSeldomMovesAPodTwice(t *testing.T) {
	for seed := range uint64(5) {
		s := fragmented(40, seed+1)
		s.Pools = nil // nothing can be bought: only folding is left
		moved, again := map[string]bool{}, 0
		plan := search(t, s)
		for _, m := range plan.Moves {
			for _, p := range m.Pods {
				if moved[p.Name] {
					again++
				}
				moved[p.Name] = true
			}
		}
		if len(plan.Moves) < 15 {
			t.Errorf("seed %d: %d moves, want at least 15", seed, len(plan.Moves))
		}
		if again > len(moved)/10 {
			t.Errorf("seed %d: of %d pods %d were moved again, want one in ten at most", seed, len(moved), again)
		}
	}
}

// Two nodes hold the same; the one that is dearer for its size is given up.
func TestTheDearerOfTwoNodesIsFolded(t *testing.T) {
	dear, cheap := candidate("dear", m("xlarge", 2), "a", pod("p", 1000, 1000)), candidate("cheap", m("xlarge", 2), "a", pod("q", 1000, 1000))
	dear.Price *= 1.2
	for _, s := range []struct {
		name string
		want string
	}{{"dear first", "dear"}, {"cheap first", "dear"}} {
		t.Run(s.name, func(t *testing.T) {
			in := state(dear, cheap)
			if s.name == "cheap first" {
				in = state(cheap, dear)
			}
			in.Pools[0].Types = in.Pools[0].Types[1:2]
			plan := search(t, in)
			if len(plan.Moves) != 1 || plan.Moves[0].Remove[0] != s.want {
				t.Errorf("moves = %+v, want one that gives up %s", plan.Moves, s.want)
			}
		})
	}
}

// A pod that may run on its own node only keeps that node, and no other.
func TestAPodThatCannotMoveHoldsUpNoOtherNode(t *testing.T) {
	s := fragmented(20, 4)
	s.Pools = nil
	odd := pod("odd", 10, 10)
	odd.Spec.NodeSelector = map[string]string{corev1.LabelHostname: s.Candidates[0].Name}
	s.Candidates[0].Pods = []packing.Pod{odd}
	plan := search(t, s)
	keptBecause(t, plan, s.Candidates[0].Name, "kept because")
	if len(plan.Moves) < 7 {
		t.Errorf("%d moves, want at least 7", len(plan.Moves))
	}
}

// Neither do such pods keep the others from becoming the cluster that costs least: with them they end as they would beside nodes
// that nobody may touch.
func TestPodsThatCannotMoveCostNoSavingElsewhere(t *testing.T) {
	for _, pinned := range []int{1, 8} {
		with, beside := fragmented(30, 1), fragmented(30, 1)
		for i := range pinned {
			name := fmt.Sprintf("pinned-%d", i)
			c := candidate(name, m("xlarge", 2), "a", pod("odd", 10, 10))
			c.Pods[0].Spec.NodeSelector = map[string]string{corev1.LabelHostname: name}
			with.Candidates = append(with.Candidates, c)
			c.Blocked = "nobody may touch it"
			beside.Candidates = append(beside.Candidates, c)
		}
		got, want := search(t, with), search(t, beside)
		keptBecause(t, got, "pinned-0", "no other place")
		if got.After > 1.01*want.After {
			t.Errorf("%d pods: costs $%.4f/h after the moves, want $%.4f/h as beside nodes that are left alone", pinned, got.After, want.After)
		}
	}
}

// Pods without rules between them can go in any order, so the nodes that save most for each pod go first: whoever stops half
// way has saved most with the least moved.
func TestWhatSavesMostPerPodMovedGoesFirst(t *testing.T) {
	for seed := range uint64(3) {
		s := fragmented(40, seed+1)
		s.Pools = nil
		last := math.Inf(1)
		for i, m := range search(t, s).Moves {
			rate := m.SavedPerHour / float64(len(m.Pods))
			if rate > last+1e-9 {
				t.Errorf("seed %d: move %d saves $%.4f/h a pod, the one before it %.4f", seed, i, rate, last)
			}
			last = rate
		}
	}
}

// Of more than 1,000 nodes a part is packed at a time; one part after another is carried out.
func TestALargeClusterIsGivenUpPartByPart(t *testing.T) {
	s := fragmented(1100, 2)
	s.Options.MaxMoves = 130
	if plan := search(t, s); len(plan.Moves) != 130 {
		t.Errorf("%d moves of %+v, want 130: more than one part has", len(plan.Moves), plan.Stats)
	}
}
