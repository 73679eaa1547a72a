package consolidation_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

func quantity(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.BinarySI) }

func amounts(cpuMilli, memMiB int64) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(cpuMilli, resource.DecimalSI), corev1.ResourceMemory: quantity(memMiB << 20)}
}

// m is an instance type with n×2 cores and n×8 GiB at n×$0.096.
func m(name string, n int64) packing.InstanceType {
	list := amounts(2000*n, 8192*n)
	list[corev1.ResourcePods] = quantity(110)
	it := packing.InstanceType{Name: name, Allocatable: list, Capacity: list}
	for _, z := range []string{"a", "b", "c"} {
		it.Offerings = append(it.Offerings, packing.Offering{Zone: z, CapacityType: packing.CapacityOnDemand, Price: 0.096 * float64(n), Available: true})
	}
	return it
}

func sizes() []packing.InstanceType {
	return []packing.InstanceType{m("large", 1), m("xlarge", 2), m("2xlarge", 4), m("4xlarge", 8), m("8xlarge", 16)}
}

func pod(name string, cpuMilli, memMiB int64) packing.Pod {
	return packing.Pod{Pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: amounts(cpuMilli, memMiB)}}}},
	}}
}

func candidate(name string, it packing.InstanceType, zone string, pods ...packing.Pod) consolidation.Candidate {
	return consolidation.Candidate{
		Node: packing.Node{Name: name, Allocatable: it.Allocatable, Price: it.Offerings[0].Price, Pods: pods, Labels: map[string]string{
			corev1.LabelInstanceTypeStable: it.Name, corev1.LabelTopologyZone: zone, corev1.LabelHostname: name,
			packing.LabelCapacityType: packing.CapacityOnDemand, packing.LabelNodePool: "default",
		}},
		Pool: "default", CapacityType: packing.CapacityOnDemand, InstanceType: it.Name, Zone: zone,
	}
}

func state(candidates ...consolidation.Candidate) consolidation.State {
	return consolidation.State{Candidates: candidates, Pools: []packing.Pool{{Name: "default", Types: sizes()}}}
}

// fragmented is a cluster after scale-down: nodes of several sizes at about a
// third of their room.
func fragmented(nodes int, seed uint64) consolidation.State {
	rng := rand.New(rand.NewPCG(seed, 2))
	types := sizes()[1:4]
	var list []consolidation.Candidate
	for i := range nodes {
		it := types[rng.IntN(len(types))]
		c := candidate(fmt.Sprintf("node-%d", i), it, []string{"a", "b", "c"}[i%3])
		for k := range 10 {
			cpu := []int64{50, 100, 100, 200, 250, 500}[rng.IntN(6)]
			if it.Name == "xlarge" {
				cpu = min(cpu, 200)
			}
			c.Pods = append(c.Pods, pod(fmt.Sprintf("pod-%d-%d", i, k), cpu, cpu*[]int64{2, 4, 6}[rng.IntN(3)]))
		}
		list = append(list, c)
	}
	return state(list...)
}

func TestSearchGivesUpNodesThatTheRestCanHold(t *testing.T) {
	s := fragmented(60, 3)
	s.Options.TimeBudget = 20 * time.Second
	plan, err := consolidation.Search(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("cost %.3f after %.3f bound %.3f moves %d stats %+v", plan.Cost, plan.After, plan.LowerBound, len(plan.Moves), plan.Stats)
	if plan.After > 0.6*plan.Cost {
		t.Errorf("cost after = %.3f, want at most 0.6 of %.3f", plan.After, plan.Cost)
	}
}

func search(t *testing.T, s consolidation.State) consolidation.Plan {
	t.Helper()
	s.Options.TimeBudget = 30 * time.Second
	plan, err := consolidation.Search(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, move := range plan.Moves {
		placed := map[int]bool{}
		for _, b := range move.Bindings {
			placed[b.Pod] = true
		}
		for _, n := range move.Launch {
			for _, p := range n.Pods {
				placed[p] = true
			}
		}
		if len(placed) != len(move.Pods) {
			t.Errorf("move %q places %d of %d displaced pods", move.Why, len(placed), len(move.Pods))
		}
		for _, p := range move.Order {
			delete(placed, p)
		}
		if len(move.Order) > 0 && (len(move.Order) != len(move.Pods) || len(placed) > 0) {
			t.Errorf("move %q orders %d pods of %d, and leaves %d out", move.Why, len(move.Order), len(move.Pods), len(placed))
		}
	}
	if plan.After < plan.LowerBound-1e-9 {
		t.Errorf("cost after = %.4f is below the lower bound %.4f", plan.After, plan.LowerBound)
	}
	return plan
}

func keptBecause(t *testing.T, plan consolidation.Plan, node, want string) {
	t.Helper()
	for _, k := range plan.Kept {
		if k.Node == node {
			if !strings.Contains(k.Why, want) {
				t.Errorf("%s: %q, want it to mention %q", node, k.Why, want)
			}
			return
		}
	}
	t.Errorf("%s is not kept, want it kept because of %q", node, want)
}

func TestAnEmptyNodeIsGivenUp(t *testing.T) {
	daemon := pod("agent", 100, 100)
	daemon.Daemon = true
	plan := search(t, state(candidate("empty", m("large", 1), "a", daemon)))
	if len(plan.Moves) != 1 || plan.Moves[0].DisruptionCost != 0 || len(plan.Moves[0].Pods) != 0 {
		t.Errorf("moves = %+v, want one without pods", plan.Moves)
	}
}

func TestManyNodesBecomeFewer(t *testing.T) {
	// Four xlarge nodes, each with one pod of a bit more than half of it: no two
	// share a node of the size, and one node of 2xlarge holds three of them.
	var list []consolidation.Candidate
	for i := range 4 {
		list = append(list, candidate(fmt.Sprintf("n%d", i), m("xlarge", 2), "a", pod(fmt.Sprintf("p%d", i), 2050, 4096)))
	}
	s := state(list...)
	s.Pools[0].Types = []packing.InstanceType{m("xlarge", 2), m("2xlarge", 4)}
	plan := search(t, s)
	if want := 0.096 * 6; plan.After > want+1e-9 {
		t.Errorf("cost after = %.4f, want %.4f: one 2xlarge for three and one xlarge", plan.After, want)
	}
}

func TestANodeThatTheRulesProtectStays(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	light := func() packing.Pod { return pod("p", 100, 100) }
	cases := []struct {
		name, want string
		change     func(*consolidation.State)
	}{
		{"that is blocked", "its pod has do-not-disrupt", func(s *consolidation.State) { s.Candidates[0].Blocked = "its pod has do-not-disrupt" }},
		{"whose budget is spent", "budget", func(s *consolidation.State) { s.Budgets = map[string]int{"default": 0} }},
		{"that is young", "breaks even", func(s *consolidation.State) {
			s.Options.Now, s.Candidates[0].LaunchedAt = now, now.Add(-time.Minute)
		}},
		{"whose price is unknown", "price is not known", func(s *consolidation.State) { s.Candidates[0].Price = math.NaN() }},
		{"whose pods are dear to move", "moving its pods costs", func(s *consolidation.State) { s.Candidates[0].PodCost = []float64{5} }},
		{"whose pods have no other place", "no place for less", func(s *consolidation.State) {
			s.Candidates[0].Node.Pods[0].Spec.NodeSelector = map[string]string{corev1.LabelHostname: "n0"}
		}},
		{"that is the right size already", "no place for less", func(s *consolidation.State) {
			s.Candidates[0] = candidate("n0", m("large", 1), "a", pod("p", 1900, 7000))
		}},
		{"that would save too little", "less than the minimum", func(s *consolidation.State) {
			s.Candidates[0] = candidate("n0", m("large", 1), "a", pod("p", 1900, 7000))
			s.Candidates[0].Price = 0.098
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := state(candidate("n0", m("2xlarge", 4), "a", light()))
			c.change(&s)
			plan := search(t, s)
			if len(plan.Moves) > 0 {
				t.Errorf("moves = %+v, want none", plan.Moves)
			}
			keptBecause(t, plan, "n0", c.want)
		})
	}
}

func TestPendingPodsKeepTheirPlace(t *testing.T) {
	full := candidate("full", m("xlarge", 2), "a", pod("a", 2000, 1000))
	lone := candidate("lone", m("large", 1), "a", pod("b", 1800, 1000))
	s := state(full, lone)
	s.Pending = []packing.Pod{pod("c", 1900, 1000)}
	s.Pools[0].Types = nil
	if plan := search(t, s); len(plan.Moves) > 0 {
		t.Errorf("moves = %+v, want none: the room is the pending pod's", plan.Moves)
	}
	s.Pending = nil
	if plan := search(t, s); len(plan.Moves) != 1 {
		t.Errorf("%d moves, want one when nothing is pending", len(plan.Moves))
	}
}

func TestBreakEvenAge(t *testing.T) {
	got := consolidation.BreakEvenAge(1, 0.05, 0.2, 3*time.Minute, 15*time.Minute)
	if want := 30 * time.Minute; got != want {
		t.Errorf("break-even age = %s, want %s", got, want)
	}
	if got := consolidation.BreakEvenAge(0.1, 0, 1, time.Minute, 15*time.Minute); got != 15*time.Minute {
		t.Errorf("break-even age = %s, want the floor", got)
	}
}

func TestSearchIsDeterministic(t *testing.T) {
	a, b := search(t, fragmented(12, 9)), search(t, fragmented(12, 9))
	a.Stats.Elapsed, b.Stats.Elapsed = 0, 0
	if x, y := fmt.Sprintf("%+v", a.Kept), fmt.Sprintf("%+v", b.Kept); x != y || len(a.Moves) != len(b.Moves) || a.After != b.After {
		t.Errorf("two searches differ: %s and %s", x, y)
	}
}

// TestTheJustInTimeExampleConsolidates is the last step of feature D4: the nodes
// of the first two steps, bought one after another, become what the pods would
// cost when packed at once.
func TestTheJustInTimeExampleConsolidates(t *testing.T) {
	pools := []packing.Pool{{Name: "default", Types: sizes()}}
	pods := []packing.Pod{pod("a", 1000, 1024), pod("b", 1000, 1024), pod("c", 1000, 6144), pod("d", 1000, 6144), pod("e", 1000, 6144)}
	var s consolidation.State
	s.Pools = pools
	for step, some := range [][]packing.Pod{pods[:3], pods[3:]} {
		plan, err := packing.Solve(context.Background(), packing.Problem{Pods: some, Pools: pools})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range plan.Nodes {
			for _, it := range sizes() {
				if it.Name == n.InstanceType {
					c := candidate(fmt.Sprintf("n-%d-%d", step, i), it, n.Zone)
					for _, k := range n.Pods {
						c.Pods = append(c.Pods, some[k])
					}
					s.Candidates = append(s.Candidates, c)
				}
			}
		}
	}
	best, err := packing.Solve(context.Background(), packing.Problem{Pods: pods, Pools: pools})
	if err != nil {
		t.Fatal(err)
	}
	plan := search(t, s)
	if plan.After > best.Cost+1e-9 {
		t.Errorf("cost after = %.4f, want %.4f", plan.After, best.Cost)
	}
	t.Logf("$%.4f/h → $%.4f/h", plan.Cost, plan.After)
}
