package estimate

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
)

func TestAnEmptySpecIsTheDefault(t *testing.T) {
	got, err := ParsePolicy(v1alpha1.RecommendationPolicySpec{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(DefaultPolicy(), got); d != "" {
		t.Error(d)
	}
}

func TestASpecIsReadFieldByField(t *testing.T) {
	got, err := ParsePolicy(v1alpha1.RecommendationPolicySpec{
		CPU: v1alpha1.ResourceEstimate{
			Function: v1alpha1.FunctionPercentile, Percentile: ptr.To(int32(90)), Aggregation: v1alpha1.AggregationPooled,
			Lookback: "1d12h", Overhead: "12.5%", Burst: ptr.To(resource.MustParse("7m")), Min: ptr.To(resource.MustParse("50m")), Max: ptr.To(resource.MustParse("4")),
		},
		Memory:     v1alpha1.ResourceEstimate{Function: v1alpha1.FunctionPercentile, Percentile: ptr.To(int32(99)), Lookback: "2w", Max: ptr.To(resource.MustParse("16Mi"))},
		Confidence: v1alpha1.ConfidencePolicy{MinWatched: metav1.Duration{Duration: 2 * time.Hour}, Coverage: "10%"},
		OOM:        v1alpha1.OOMPolicy{Step: "50%", Max: "4"},
		Surge:      &v1alpha1.SurgePolicy{Enabled: true},
		Newcomer: &v1alpha1.NewcomerPolicy{
			For: &metav1.Duration{Duration: time.Hour}, CPU: ptr.To(resource.MustParse("9m")), Memory: ptr.To(resource.MustParse("8Mi")),
			MinMemory: ptr.To(resource.MustParse("0")),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Policy{
		CPU:        Rule{Percentile: 90, Pooled: true, Lookback: 36 * time.Hour, Overhead: 0.125, Burst: 7, Floor: 50, Ceiling: 4000},
		Memory:     Rule{Percentile: 99, Lookback: 14 * day, Overhead: 0.1, Floor: 16 * mi, Ceiling: 16 * mi},
		MinWatched: 2 * time.Hour, Coverage: 0.1, OOM: OOM{Step: 0.5, Max: 4}, Surge: true,
		Newcomer: Newcomer{For: time.Hour, MilliCPU: 9, MemoryBytes: 8 * mi},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMemoryGoesBelowItsPeakOnlyWhereAPercentileIsStated(t *testing.T) {
	for name, c := range map[string]struct {
		e    v1alpha1.ResourceEstimate
		want bool
	}{
		"nothing stated":                   {v1alpha1.ResourceEstimate{}, true},
		"a lookback stated":                {v1alpha1.ResourceEstimate{Lookback: "3d"}, true},
		"the function there by defaulting": {v1alpha1.ResourceEstimate{Function: v1alpha1.FunctionPercentile, Lookback: "3d"}, true},
		"a percentile stated":              {v1alpha1.ResourceEstimate{Function: v1alpha1.FunctionPercentile, Percentile: ptr.To(int32(95))}, false},
	} {
		got, err := ParsePolicy(v1alpha1.RecommendationPolicySpec{Memory: c.e})
		if err != nil || got.Memory.Max != c.want {
			t.Errorf("%s: max %v, %v", name, got.Memory.Max, err)
		}
	}
}

func TestSpecsThatCannotWorkAreRefusedByField(t *testing.T) {
	type spec = v1alpha1.RecommendationPolicySpec
	for name, c := range map[string]struct {
		edit func(*spec)
		want []string
	}{
		"a percentile of 120":         {func(s *spec) { s.CPU.Percentile = ptr.To(int32(120)) }, []string{"spec.cpu.percentile: 120"}},
		"a percentile of 0":           {func(s *spec) { s.Memory.Percentile = ptr.To(int32(0)) }, []string{"spec.memory.percentile"}},
		"a percentile of a maximum":   {func(s *spec) { s.CPU.Function, s.CPU.Percentile = v1alpha1.FunctionMax, ptr.To(int32(9)) }, []string{"spec.cpu.percentile"}},
		"an unknown function":         {func(s *spec) { s.CPU.Function = "Median" }, []string{"spec.cpu.function"}},
		"an unknown aggregation":      {func(s *spec) { s.Memory.Aggregation = "Sum" }, []string{"spec.memory.aggregation"}},
		"a lookback above 30 days":    {func(s *spec) { s.CPU.Lookback = "5w" }, []string{"spec.cpu.lookback"}},
		"a lookback of nothing":       {func(s *spec) { s.CPU.Lookback = "0h" }, []string{"spec.cpu.lookback"}},
		"a lookback in words":         {func(s *spec) { s.CPU.Lookback = "a week" }, []string{"spec.cpu.lookback"}},
		"an overhead without percent": {func(s *spec) { s.CPU.Overhead = "10" }, []string{"spec.cpu.overhead"}},
		"a negative minimum":          {func(s *spec) { s.CPU.Min = ptr.To(resource.MustParse("-1")) }, []string{"spec.cpu.min"}},
		"a minimum above the maximum": {func(s *spec) {
			s.Memory.Min, s.Memory.Max = ptr.To(resource.MustParse("2Gi")), ptr.To(resource.MustParse("1Gi"))
		}, []string{"spec.memory.min"}},
		"bursts of a maximum": {func(s *spec) {
			s.CPU.Function, s.CPU.Burst = v1alpha1.FunctionMax, ptr.To(resource.MustParse("1m"))
		}, []string{"spec.cpu.burst"}},
		"negative bursts":              {func(s *spec) { s.CPU.Burst = ptr.To(resource.MustParse("-1m")) }, []string{"spec.cpu.burst"}},
		"a newcomer for two months":    {func(s *spec) { s.Newcomer = &v1alpha1.NewcomerPolicy{For: &metav1.Duration{Duration: 60 * day}} }, []string{"spec.newcomer.for"}},
		"a newcomer without memory":    {func(s *spec) { s.Newcomer = &v1alpha1.NewcomerPolicy{Memory: ptr.To(resource.MustParse("-1"))} }, []string{"spec.newcomer.memory"}},
		"a maximum of 0":               {func(s *spec) { s.Memory.Max = ptr.To(resource.MustParse("0")) }, []string{"spec.memory.max"}},
		"a coverage above 100 percent": {func(s *spec) { s.Confidence.Coverage = "140%" }, []string{"spec.confidence.coverage"}},
		"a negative time to watch":     {func(s *spec) { s.Confidence.MinWatched.Duration = -1 }, []string{"spec.confidence.minWatched"}},
		"a step that is no percentage": {func(s *spec) { s.OOM.Step = "x%" }, []string{"spec.oom.step"}},
		"a factor below 1":             {func(s *spec) { s.OOM.Max = "0.5" }, []string{"spec.oom.max"}},
		"memory by a pattern":          {func(s *spec) { s.Memory.Function = v1alpha1.FunctionPattern }, []string{"spec.memory.function"}},
		"several at once":              {func(s *spec) { s.CPU.Lookback, s.OOM.Max = "x", "y" }, []string{"spec.cpu.lookback", "spec.oom.max"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s spec
			c.edit(&s)
			_, err := ParsePolicy(s)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func FuzzParseDuration(f *testing.F) {
	f.Add("1d12h")
	f.Add("99999999999999999999w")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Errorf("%q is read as %s", s, d)
		}
	})
}

func FuzzParsePercent(f *testing.F) {
	f.Add("12.5%")
	f.Add("NaN%")
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParsePercent(s); err == nil && !finite(v) {
			t.Errorf("%q is read as %v", s, v)
		}
	})
}
