package recommender

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestTheLeastThatCouldBeReserved(t *testing.T) {
	for name, tc := range map[string]struct {
		groups     [][]float64
		violations int
		want       float64
	}{
		"without violations it is the maximum of each group":        {[][]float64{{1, 2, 3}, {10, 1}}, 0, 3*3 + 10*2},
		"a violation goes where it saves most":                      {[][]float64{{1, 2, 3}, {10, 1}}, 1, 3*3 + 1*2},
		"and the next where it saves most then":                     {[][]float64{{1, 2, 3}, {10, 1}}, 2, 2*3 + 1*2},
		"violations that come together are spent in part":           {[][]float64{{4, 4, 0}}, 1, 4 * 3 / 2.0},
		"more violations than samples need no request":              {[][]float64{{4, 4, 1}}, 9, 0},
		"two cheap ones are worth more than what lies between them": {[][]float64{{9, 8, 1, 1}}, 2, 1 * 4},
		"a group without samples needs nothing":                     {[][]float64{{}, {2}}, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := least(tc.groups, tc.violations); math.Abs(got-tc.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// Nothing that is tried by hand is below the bound.
func TestNoRequestsReserveLessThanTheBound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a seeded trial
	for range 200 {
		groups := make([][]float64, 1+random.IntN(3))
		for i := range groups {
			for range 1 + random.IntN(6) {
				groups[i] = append(groups[i], float64(random.IntN(8)))
			}
		}
		reserved, above := 0.0, 0
		for _, g := range groups {
			request := float64(random.IntN(9))
			reserved += request * float64(len(g))
			for _, v := range g {
				if v > request {
					above++
				}
			}
		}
		if bound := least(groups, above); bound > reserved+1e-9 {
			t.Fatalf("%v with %d above: the bound is %v, and %v was reserved", groups, above, bound, reserved)
		}
	}
}

func TestHindsightJudgesTheMinutesThatEnginesAreJudgedOn(t *testing.T) {
	start := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var traces []Trace
	for i, pod := range []string{"a", "b"} {
		tr := Trace{Source: "s", Workload: "w", Pod: pod, JudgeFrom: start.Add(time.Duration(i) * 2 * time.Hour)}
		for m := range 300 {
			tr.Samples = append(tr.Samples, Sample{start.Add(time.Duration(m+7*i) * time.Minute), float64(10 + m%7), mib})
		}
		traces = append(traces, tr)
	}
	o, err := Replay(traces, false, func(string) (Engine, error) { return NewVPA(VPAShipped()) })
	if err != nil {
		t.Fatal(err)
	}
	for _, constant := range []bool{true, false} {
		h, err := look(traces, constant)
		if err != nil {
			t.Fatal(err)
		}
		if h.minutes != o.Minutes || math.Abs(h.used-o.Used) > 1e-12 {
			t.Errorf("constant %t: %d minutes of %v USD, VPA was judged on %d of %v", constant, h.minutes, h.used, o.Minutes, o.Used)
		}
		if bound := h.outcome(o).Reserved; bound > o.Reserved {
			t.Errorf("constant %t: the bound of %v USD is above the %v of VPA, whose requests do not change", constant, bound, o.Reserved)
		}
	}
}
