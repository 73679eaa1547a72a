package recommender

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"supercargo.dev/recommender/estimate"
)

var t0 = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

// fixed recommends the same always and notes the kills it is told of.
type fixed struct {
	r     Request
	kills int
}

func (*fixed) Observe(string, Sample)                    {}
func (f *fixed) OOM(string, time.Time, float64, float64) { f.kills++ }
func (*fixed) Applied(string, Request)                   {}
func (f *fixed) Recommend(time.Time) (Request, bool)     { return f.r, true }

func flat(n int, milliCPU, bytes float64) Trace {
	t := Trace{Workload: "w", Pod: "a"}
	for i := range n {
		t.Samples = append(t.Samples, Sample{t0.Add(time.Duration(i) * time.Minute), milliCPU, bytes})
	}
	return t
}

func TestAReplayJudgesFromTheSecondHalfHour(t *testing.T) {
	trace := flat(90, 100, 100*mib)
	trace.Samples[20].MilliCPU = 999              // before there was a recommendation
	trace.Samples[40].MilliCPU = 201              // above
	trace.Samples[41].MilliCPU = 200              // at the request
	trace.Samples[10].MemoryBytes = 400 * mib     // a peak in the first half hour
	for _, i := range []int{50, 51, 52, 70, 75} { // three rises above the request: one new peak, two to what was seen
		trace.Samples[i].MemoryBytes = 300 * mib
	}
	trace.Samples[50].MemoryBytes = 500 * mib
	e := &fixed{r: Request{200, 250 * mib}}
	got, err := Replay([]Trace{trace}, true, func(string) (Engine, error) { return e, nil })
	if err != nil {
		t.Fatal(err)
	}
	want := Outcome{
		Reserved: 60 * cost(200, 250*mib), Used: 58*cost(100, 0) + cost(201, 0) + cost(200, 0) + 55*cost(0, 100*mib) + 4*cost(0, 300*mib) + cost(0, 500*mib),
		Minutes: 60, CPUViolations: 1, MemoryViolations: 5, OOMs: 3, Caused: 2, BelowPeak: 2, Days: 89.0 / 60 / 24,
	}
	if d := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); d != "" {
		t.Error(d)
	}
	if e.kills != 3 {
		t.Errorf("the engine was told of %d kills, want 3", e.kills)
	}
}

// turns is an Engine that recommends one request after the other.
type turns struct {
	fixed
	next []Request
}

func (e *turns) Recommend(time.Time) (Request, bool) {
	r := e.next[0]
	e.next = e.next[1:]
	return r, true
}

func TestARequestThatMovesByATenthSinceItLastMovedIsAChange(t *testing.T) {
	e := &turns{next: []Request{
		{100, 100}, // the first
		{109, 100}, // within the drift
		{110, 100}, // a tenth above the first
		{110, 89},  // more than a tenth less memory
		{104, 93},  // within the drift of what was changed last
		{98, 93},   // a tenth below the cpu of then
		{0, 93}, {0, 93},
	}}
	o, err := Replay([]Trace{flat(8*30+1, 1, 1)}, false, func(string) (Engine, error) { return e, nil })
	if err != nil || o.Changes != 4 {
		t.Errorf("%d changes, %v; want 4", o.Changes, err)
	}
	if want := 4 * 24 * 60 / 240.0; math.Abs(o.ChangesPerDay()-want) > 1e-9 {
		t.Errorf("%v a day, want %v", o.ChangesPerDay(), want)
	}
}

func TestPodsOfOneWorkloadShareAnEngine(t *testing.T) {
	a, b, c := flat(60, 1, 1), flat(60, 1, 1), flat(60, 1, 1)
	b.Pod, c.Workload = "b", "v"
	engines := 0
	got, err := Replay([]Trace{a, b, c}, false, func(string) (Engine, error) { engines++; return &fixed{}, nil })
	if err != nil || engines != 2 || got.Minutes != 90 {
		t.Errorf("%d engines judged %d minutes, %v; want 2 and 90", engines, got.Minutes, err)
	}
}

func TestMinutesBeforeTheFirstAreNotJudged(t *testing.T) {
	trace := flat(120, 1, 1)
	trace.JudgeFrom = t0.Add(100 * time.Minute)
	got, err := Replay([]Trace{trace}, false, func(string) (Engine, error) { return &fixed{}, nil })
	if err != nil || got.Minutes != 20 {
		t.Errorf("judged %d minutes, %v; want 20", got.Minutes, err)
	}
}

// Both engines see the same flat usage; each comes out as its documents say.
func TestBothEnginesRecommendForFlatUsage(t *testing.T) {
	for name, c := range map[string]struct {
		new                     func() (Engine, error)
		leastCPU, mostCPU       float64
		leastMemory, mostMemory float64
	}{
		"supercargo by default": {func() (Engine, error) { return NewSupercargo(estimate.DefaultPolicy()), nil }, 1100, 1150, 1100, 1110},
		"vpa as shipped":        {func() (Engine, error) { return NewVPA(VPAShipped()) }, 1150, 1220, 1150, 1220},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := c.new()
			if err != nil {
				t.Fatal(err)
			}
			trace := flat(12*60, 1000, 1000*mib)
			for _, s := range trace.Samples {
				e.Observe("a", s)
			}
			r, ok := e.Recommend(t0.Add(12 * time.Hour))
			if !ok || r.MilliCPU < c.leastCPU || r.MilliCPU > c.mostCPU {
				t.Errorf("%v thousandths of a core, %v", r.MilliCPU, ok)
			}
			if m := r.MemoryBytes / mib; m < c.leastMemory || m > c.mostMemory {
				t.Errorf("%v MiB", m)
			}
		})
	}
}

func TestSamplesAMinuteAreReadByColumn(t *testing.T) {
	got, err := ParseNezha("x", strings.NewReader(
		"mem_mi,pod,day,workload,ts,cpu_m,other\n2,a,2022-08-22,w,120,3,\n1,a,2022-08-22,w,60,1.5,\n,a,2022-08-22,w,180,1,\n4,b,2023-01-29,w,60,7,\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	want := []Trace{
		{Source: "x", Workload: "2022-08-22/w", Pod: "a", Samples: []Sample{{at(60), 15, mib}, {at(120), 30, 2 * mib}}},
		{Source: "x", Workload: "2023-01-29/w", Pod: "b", Samples: []Sample{{at(60), 7, 4 * mib}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAWindowKeepsItsLeastMeanAndHighest(t *testing.T) {
	head := "interval_start,workload,container_name,cpu_usage_container_avg,cpu_usage_container_min,cpu_usage_container_max," +
		"memory_usage_container_avg,memory_usage_container_min,memory_usage_container_max\n"
	traces, advice, err := ParseKruize("k", strings.NewReader(head+
		"2023-03-15 13:15:01 +0000 UTC,w,c,0.2,0.1,0.6,1000,900,1100\n2023-03-15 13:00:01 +0000 UTC,w,c,0.2,0.1,0.6,1000,900,1100\n"+
		"2023-03-15 13:00:01 +0000 UTC,w,c,9,9,9,9,9,9\n"))
	if err != nil || len(traces) != 1 || len(advice) != 0 || len(traces[0].Samples) != 30 {
		t.Fatalf("%v, %v, %v", traces, advice, err)
	}
	var sum, least, highest float64
	for i, s := range traces[0].Samples[:15] {
		sum += s.MilliCPU
		if i == 0 || s.MilliCPU < least {
			least = s.MilliCPU
		}
		highest = max(highest, s.MilliCPU)
	}
	if d := cmp.Diff([]float64{200, 100, 600}, []float64{sum / 15, least, highest}, cmpopts.EquateApprox(1e-9, 0)); d != "" {
		t.Error(d)
	}
}

func TestKruizesOwnRecommendationsAreReplayed(t *testing.T) {
	head := "timezone,container_name,cpuUsage_avg,cpuUsage_min,cpuUsage_max,memoryUsage_avg,memoryUsage_min,memoryUsage_max," +
		"cost_short_term_cpu_requests,cost_short_term_memory_requests\n"
	rows := ""
	for i := range 8 {
		recommended := ","
		if i > 2 {
			recommended = "0.2,64"
		}
		at := t0.Add(time.Duration(i) * 15 * time.Minute).Format(time.RFC3339)
		rows += fmt.Sprintf("%s,c,0.1,0.1,0.1,50,50,50,%s\n", at, recommended)
	}
	traces, advice, err := ParseKruize("k", strings.NewReader(head+rows))
	if err != nil {
		t.Fatal(err)
	}
	c := Case{Name: "k", Traces: traces, Advice: advice}
	judgeFromAdvice(&c)
	got, err := Quality(c, nil)
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	// Recommended from the end of the fourth window; four windows remain.
	if r := got[0]; r.Engine != Kruize || r.Setting != "cost_short_term" || *r.CPUViolationRate != 0 || r.ReservedCost < 59*cost(200, 64*mib) || r.ReservedCost > 61*cost(200, 64*mib) {
		t.Errorf("%+v", r)
	}
}

func TestFilesThatAreNoTracesAreRefusedByWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"an empty file":           {"", "EOF"},
		"a file in no format":     {"a,b\n1,2\n", "column"},
		"a number that is none":   {"day,pod,workload,ts,cpu_m,mem_mi\nd,p,w,60,x,1\n", `cpu_m "x"`},
		"a row that is cut short": {"day,pod,workload,ts,cpu_m,mem_mi\nd,p\n", "wrong number of fields"},
	} {
		_, err := ParseNezha("x", strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, _, err := ParseKruize("x", strings.NewReader(c.text)); err == nil {
			t.Errorf("%s is read as windows", name)
		}
	}
}

func FuzzParseTraces(f *testing.F) {
	f.Add("day,pod,workload,ts,cpu_m,mem_mi\nd,p,w,60,1,1\n")
	f.Add("timezone,cpuUsage_avg,cpuUsage_min,cpuUsage_max,memoryUsage_avg,memoryUsage_min,memoryUsage_max\n2026-03-02T00:00:00Z,1,1,1,1,1,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		minutes, _ := ParseNezha("x", strings.NewReader(text))
		windows, _, _ := ParseKruize("x", strings.NewReader(text))
		for _, trace := range append(minutes, windows...) {
			for _, s := range trace.Samples {
				if !usable([]float64{s.MilliCPU, s.MemoryBytes}) {
					t.Fatalf("a sample of %v", s)
				}
			}
		}
	})
}
