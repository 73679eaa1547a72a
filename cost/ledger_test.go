package cost

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	large = Node{Name: "large", PricePerHour: 0.096, Capacity: Resources{2000, 8 << 30}}
	t0    = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
)

// near allows the billionth of a dollar by which rounding may favour one part over another.
func near(a, b NanoUSD) bool { return a-b <= 1 && b-a <= 1 }

func TestState(t *testing.T) {
	for name, tc := range map[string]struct {
		nodes         []Node
		pods          []Pod
		wantPrice     NanoUSD
		wantIdle      NanoUSD
		wantUnknown   int
		wantAllocated []NanoUSD
	}{
		"an empty node is all idle": {
			nodes: []Node{large}, wantPrice: 96_000_000, wantIdle: 96_000_000,
		},
		"a pod that fills a node pays all of it": {
			nodes: []Node{large}, pods: []Pod{{Node: "large", Request: Resources{2000, 8 << 30}}},
			wantPrice: 96_000_000, wantIdle: 0, wantAllocated: []NanoUSD{96_000_000},
		},
		"equal pods pay the same": {
			nodes:     []Node{large},
			pods:      []Pod{{Node: "large", Request: Resources{500, 2 << 30}}, {Node: "large", Request: Resources{500, 2 << 30}}},
			wantPrice: 96_000_000, wantIdle: 48_000_000, wantAllocated: []NanoUSD{24_000_000, 24_000_000},
		},
		"usage above the request is charged": {
			nodes:     []Node{large},
			pods:      []Pod{{Node: "large", Request: Resources{1, 1}, Usage: Resources{1000, 4 << 30}}},
			wantPrice: 96_000_000, wantIdle: 48_000_000, wantAllocated: []NanoUSD{48_000_000},
		},
		"pods that burst above the machine share its price and leave nothing idle": {
			nodes: []Node{large},
			pods: []Pod{
				{Node: "large", Usage: Resources{3000, 12 << 30}},
				{Node: "large", Usage: Resources{1000, 4 << 30}},
			},
			wantPrice: 96_000_000, wantIdle: 0, wantAllocated: []NanoUSD{72_000_000, 24_000_000},
		},
		"a node of unknown price is counted as unknown and not as free": {
			nodes:     []Node{{Name: "new", PricePerHour: math.NaN(), Capacity: large.Capacity}},
			pods:      []Pod{{Node: "new", Request: Resources{500, 1 << 30}}},
			wantPrice: 0, wantIdle: 0, wantUnknown: 1, wantAllocated: []NanoUSD{0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := State(tc.nodes, tc.pods)
			if err != nil {
				t.Fatal(err)
			}
			if got.Price != tc.wantPrice || !near(got.Idle, tc.wantIdle) || got.UnknownPrices != tc.wantUnknown {
				t.Errorf("price %v, idle %v, unknown %d", got.Price, got.Idle, got.UnknownPrices)
			}
			var allocated []NanoUSD
			for _, a := range got.Allocations {
				allocated = append(allocated, a.Total())
			}
			if diff := cmp.Diff(tc.wantAllocated, allocated, cmp.Comparer(near)); diff != "" {
				t.Errorf("allocations (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStateRefusesWhatItCannotCharge(t *testing.T) {
	if _, err := State([]Node{large}, []Pod{{Node: "elsewhere"}}); err == nil {
		t.Error("a pod on an unknown node was accepted")
	}
	if _, err := State([]Node{large, large}, nil); err == nil {
		t.Error("a node given twice was accepted")
	}
}

func TestAllocatedAndIdleAlwaysAddUpToThePriceOfEachNode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var nodes []Node
		var pods []Pod
		for i := range rapid.IntRange(1, 5).Draw(t, "nodes") {
			name := string(rune('a' + i))
			nodes = append(nodes, Node{
				Name: name, PricePerHour: rapid.Float64Range(0, 40).Draw(t, "price"),
				Capacity: Resources{rapid.Int64Range(0, 192_000).Draw(t, "cpu"), rapid.Int64Range(0, 1<<40).Draw(t, "memory")},
			})
			for range rapid.IntRange(0, 20).Draw(t, "pods") {
				pods = append(pods, Pod{
					Node:    name,
					Request: Resources{rapid.Int64Range(-10, 64_000).Draw(t, "r"), rapid.Int64Range(-10, 1<<38).Draw(t, "rm")},
					Usage:   Resources{rapid.Int64Range(0, 64_000).Draw(t, "u"), rapid.Int64Range(0, 1<<38).Draw(t, "um")},
				})
			}
		}
		s, err := State(nodes, pods)
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]NanoUSD{}
		for _, a := range s.Allocations {
			if a.CPU < 0 || a.Memory < 0 {
				t.Fatalf("negative allocation %+v", a)
			}
			sums[a.Pod.Node] += a.Total()
		}
		for _, n := range s.Nodes {
			if n.Idle < 0 || sums[n.Node.Name]+n.Idle != n.Price {
				t.Fatalf("node %s: allocated %d + idle %d != price %d", n.Node.Name, sums[n.Node.Name], n.Idle, n.Price)
			}
		}
	})
}

func TestLedgerAddsUpRatesOverTime(t *testing.T) {
	s, err := State([]Node{large}, []Pod{{Namespace: "shop", Workload: "Deployment/web", Node: "large", Request: Resources{1000, 4 << 30}}})
	if err != nil {
		t.Fatal(err)
	}
	l := NewLedger()
	// A third of an hour in uneven steps: fractions must not get lost.
	for _, at := range []time.Duration{0, 7 * time.Second, 7*time.Second + 1, 11 * time.Minute, 20 * time.Minute} {
		if err := l.Record(t0.Add(at), s); err != nil {
			t.Fatal(err)
		}
	}
	if !near(l.Spent(), 32_000_000) || !near(l.Idle(), 16_000_000) {
		t.Errorf("spent %v, idle %v", l.Spent(), l.Idle())
	}
	if diff := cmp.Diff([]WorkloadCost{{"shop/Deployment/web", 16_000_000}}, l.Workloads(), cmp.Comparer(near)); diff != "" {
		t.Errorf("workloads (-want +got):\n%s", diff)
	}
	if err := l.Record(t0, s); err == nil {
		t.Error("a statement of the past was accepted")
	}
}

func BenchmarkState(b *testing.B) {
	nodes, pods := make([]Node, 5_000), make([]Pod, 100_000)
	for i := range nodes {
		nodes[i] = Node{Name: time.Duration(i).String(), PricePerHour: 0.5, Capacity: Resources{32_000, 128 << 30}}
	}
	for i := range pods {
		pods[i] = Pod{Node: nodes[i%len(nodes)].Name, Request: Resources{500, 1 << 30}, Usage: Resources{200, 1 << 29}}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := State(nodes, pods); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLedgerSaysForHowLongPricesWereNotKnown(t *testing.T) {
	nodes := []Node{large, {Name: "new", PricePerHour: math.NaN()}, {Name: "newer", PricePerHour: math.NaN()}}
	unknown, err := State(nodes, nil)
	if err != nil {
		t.Fatal(err)
	}
	known, err := State(nodes[:1], nil)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLedger()
	for _, r := range []struct {
		at time.Duration
		s  Statement
	}{{0, known}, {time.Hour, unknown}, {3 * time.Hour, known}, {10 * time.Hour, known}} {
		if err := l.Record(t0.Add(r.at), r.s); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.Unknown(); got != 4*time.Hour {
		t.Errorf("unknown for %s, want two nodes for two hours", got)
	}
}
