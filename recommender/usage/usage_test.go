package usage

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var t0 = time.Unix(1_780_000_000, 0)

const kubeletText = `# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container in core-seconds
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="app",namespace="shop",pod="cart-1"} 4.710169 1780000000123
container_cpu_usage_seconds_total{container="istio-proxy",namespace="shop",pod="cart-1"} 1e-3 1780000000500
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{container="app",namespace="shop",pod="cart-1"} 1.2984320e+07 1780000000123
container_memory_working_set_bytes{container="untimed",namespace="shop",pod="cart-1"} 5
container_start_time_seconds{container="app",namespace="shop",pod="cart-1"} 1.78e+09
node_cpu_usage_seconds_total 357.35491 1780000000100
pod_cpu_usage_seconds_total{namespace="shop",pod="cart-1"} 4.67812 1780000000100
resource_scrape_error 0
`

func TestAKubeletsTextIsRead(t *testing.T) {
	got, err := ParseResourceMetrics(strings.NewReader(kubeletText))
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(1780000000123)
	want := []Sample{
		{Namespace: "shop", Pod: "cart-1", Container: "app", CPUAt: at, MemoryAt: at, CPUSeconds: 4.710169, MemoryBytes: 12984320},
		{Namespace: "shop", Pod: "cart-1", Container: "istio-proxy", CPUAt: time.UnixMilli(1780000000500), CPUSeconds: 0.001},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAKubeletThatCouldNotMeasureIsAnError(t *testing.T) {
	if _, err := ParseResourceMetrics(strings.NewReader("resource_scrape_error 1\n")); !errors.Is(err, errScrape) {
		t.Errorf("got %v", err)
	}
}

func TestMalformedLinesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"x{a=\"b\" 1":       "line 1: labels",
		"# c\n\nx{a=\"b} 1": "line 3: label a: no closing quote",
		"x{a=b} 1":          "line 1: labels",
		"x{a=\"\\q\"} 1":    `line 1: label a: \q is not an escape`,
		"x one":             "line 1: value: \"one\" is not a number",
		"x 1 2 3":           "line 1: value",
		"x{a=\"b\"}":        "line 1: value",
		"x 1 yesterday":     "line 1: timestamp",
		"x 1 1e99":          "line 1: timestamp",
		"{} 1":              "line 1: metric name",
		"x 1\n" + strings.Repeat("y", maxLine+10): "line 2: ",
	} {
		_, err := ParseResourceMetrics(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: got %v, want %q", text, err, want)
		}
	}
}

func TestCountersBecomeRates(t *testing.T) {
	sample := func(second float64, cpuSeconds, memory float64) Sample {
		at := t0.Add(time.Duration(second * float64(time.Second)))
		return Sample{Namespace: "n", Pod: "p", Container: "c", CPUAt: at, MemoryAt: at, CPUSeconds: cpuSeconds, MemoryBytes: memory}
	}
	nan := math.NaN()
	type step struct {
		s           Sample
		cpu, memory float64 // what comes of it
	}
	for name, c := range map[string]struct {
		steps []step
		want  Counts
	}{
		"the first sample has no rate":         {[]step{{sample(0, 100, 5), nan, 5}, {sample(60, 130, 6), 500, 6}}, Counts{}},
		"a reset gives no rate, the next does": {[]step{{sample(0, 100, 5), nan, 5}, {sample(60, 3, 5), nan, 5}, {sample(120, 63, 5), 1000, 5}}, Counts{Resets: 1}},
		"the same measurement twice counts once": {
			[]step{{sample(0, 100, 5), nan, 5}, {sample(0, 100, 5), nan, nan}, {sample(10, 110, 5), 1000, 5}}, Counts{Stale: 2},
		},
		"a clock that went back gives nothing": {
			[]step{{sample(60, 100, 5), nan, 5}, {sample(0, 101, 5), nan, nan}, {sample(120, 160, 5), 1000, 5}}, Counts{Stale: 2},
		},
		"what is no number is rejected": {
			[]step{{sample(0, 100, 5), nan, 5}, {sample(60, nan, math.Inf(1)), nan, nan}, {sample(120, 160, -1), 500, nan}}, Counts{Absurd: 3},
		},
		"more cores than any machine has are rejected": {
			[]step{{sample(0, 0, 5), nan, 5}, {sample(10, 1e9, 5), nan, 5}, {sample(20, 1e9+10, 5), 1000, 5}}, Counts{Absurd: 1},
		},
		"more memory than any machine has is rejected": {[]step{{sample(0, 0, 1e16), nan, nan}}, Counts{Absurd: 1}},
		"after hours without samples there is no rate": {[]step{{sample(0, 0, 5), nan, 5}, {sample(7200, 7200, 5), nan, 5}}, Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			var counts counters
			tr := newTracker(&counts)
			for i, s := range c.steps {
				u, ok := tr.usage(s.s, time.Time{})
				if ok != (!math.IsNaN(s.cpu) || !math.IsNaN(s.memory)) {
					t.Errorf("sample %d: usage %v", i, ok)
				}
				if d := cmp.Diff([]float64{s.cpu, s.memory}, []float64{u.MilliCPU, u.MemoryBytes}, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 0)); d != "" {
					t.Errorf("sample %d: %s", i, d)
				}
			}
			if d := cmp.Diff(c.want, counts.read()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestANodeWhoseClockIsSetGivesUsageAgainAtOnce(t *testing.T) {
	tr := newTracker(&counters{})
	cores := []float64{math.NaN(), 500, math.NaN(), 500, math.NaN(), 500}
	offsets := []time.Duration{0, 0, time.Hour, time.Hour, 0, 0} // an hour ahead, then set back
	for minute, offset := range offsets {
		now := t0.Add(time.Duration(minute) * time.Minute)
		u, ok := tr.usage(Sample{
			Namespace: "n", Pod: "p", Container: "c", CPUAt: now.Add(offset), MemoryAt: now.Add(offset), CPUSeconds: float64(30 * minute), MemoryBytes: 5,
		}, now)
		if !ok || u.MemoryBytes != 5 {
			t.Errorf("minute %d: %+v, %v", minute, u, ok)
		}
		if d := cmp.Diff(cores[minute], u.MilliCPU, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-9, 0)); d != "" {
			t.Errorf("minute %d: %s", minute, d)
		}
	}
}

func TestContainersThatAreGoneAreForgotten(t *testing.T) {
	tr := newTracker(&counters{})
	tr.usage(Sample{Namespace: "n", Pod: "p", Container: "c", CPUAt: t0, CPUSeconds: 1}, t0)
	for range keepRounds + 2 {
		tr.prune()
	}
	if len(tr.last) != 0 {
		t.Errorf("%d containers are remembered", len(tr.last))
	}
}

func collect(t *testing.T, s Stream) []Usage {
	t.Helper()
	var out []Usage
	if err := s(t.Context(), func(u Usage) error { out = append(out, u); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

const openMetrics = `# TYPE container_cpu_usage_seconds counter
container_cpu_usage_seconds_total{namespace="shop",pod="b",container="app",id="/x\"y\\z"} 10 1780000000
container_cpu_usage_seconds_total{namespace="shop",pod="b",container="app"} 40 1780000060.0 # {trace_id="t"} 1
container_cpu_usage_seconds_total{namespace="shop",pod="a",container="app"} 7 1780000000
container_cpu_usage_seconds_total{namespace="shop",pod="a",container="POD"} 7 1780000000
# TYPE container_memory_working_set_bytes gauge
container_memory_working_set_bytes{namespace="shop",pod="a",container="app"} 100 1780000000
container_memory_working_set_bytes{namespace="shop",pod="b",container="app"} 200 1780000030.5
other{x="y"} 1 1
# EOF
`

func TestAnOpenMetricsFileIsReplayedInTheOrderOfTime(t *testing.T) {
	nan := math.NaN()
	at := func(second float64) time.Time { return t0.Add(time.Duration(second * float64(time.Second))) }
	want := []Usage{
		{"shop", "a", "app", at(0), nan, 100, nil},
		{"shop", "b", "app", at(30.5), nan, 200, nil},
		{"shop", "b", "app", at(60), 500, nan, nil},
	}
	if d := cmp.Diff(want, collect(t, OpenMetrics(strings.NewReader(openMetrics))), cmpopts.EquateNaNs()); d != "" {
		t.Error(d)
	}
}

func TestAnOpenMetricsFileThatIsIncompleteIsRefusedByLineAndField(t *testing.T) {
	for text, want := range map[string]string{
		`container_memory_working_set_bytes{pod="a",container="c"} 1 1`:               "line 1: label namespace is missing",
		`container_memory_working_set_bytes{namespace="n",container="c"} 1 1`:         "line 1: label pod is missing",
		`container_memory_working_set_bytes{namespace="n",pod="a"} 1 1`:               "line 1: label container is missing",
		`container_memory_working_set_bytes{namespace="n",pod="a",container="c"} 1`:   "line 1: timestamp is missing",
		`container_memory_working_set_bytes{namespace="n",pod="a",container="c"} x 1`: "line 1: value",
	} {
		err := OpenMetrics(strings.NewReader(text))(t.Context(), func(Usage) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAStreamStopsWhenItsReaderDoes(t *testing.T) {
	enough := errors.New("enough")
	n := 0
	err := OpenMetrics(strings.NewReader(openMetrics))(t.Context(), func(Usage) error { n++; return enough })
	if !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d usages, %v", n, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := OpenMetrics(strings.NewReader(openMetrics))(ended, func(Usage) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzParseResourceMetrics(f *testing.F) {
	f.Add(kubeletText)
	f.Add("x{a=\"\\n\"} NaN 1")
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := ParseResourceMetrics(strings.NewReader(text))
		if err != nil {
			return
		}
		tr := newTracker(&counters{})
		for range 2 {
			for _, s := range samples {
				u, ok := tr.usage(s, time.Time{})
				if ok && (u.MilliCPU < 0 || u.MemoryBytes < 0 || u.MilliCPU > maxCores*1000 || u.MemoryBytes > maxBytes) {
					t.Errorf("absurd usage %+v", u)
				}
			}
		}
	})
}

func FuzzOpenMetrics(f *testing.F) {
	f.Add(openMetrics)
	f.Fuzz(func(t *testing.T, text string) {
		var last time.Time
		err := OpenMetrics(strings.NewReader(text))(t.Context(), func(u Usage) error {
			if u.At.Before(last) {
				t.Errorf("%s comes after %s", u.At, last)
			}
			last = u.At
			return nil
		})
		_ = err // either is right; it must only not crash or go back in time
	})
}
