package estimate

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// Policy says how needs are computed. It is a RecommendationPolicySpec, parsed and with its defaults.
type Policy struct {
	CPU, Memory Rule
	// MinWatched is how long a workload must have been watched for full confidence.
	MinWatched time.Duration
	// Coverage is the share of the lookback that must hold samples for full confidence, 0 to 1.
	Coverage float64
	OOM      OOM
	Newcomer Newcomer
	// Surge answers usage far above the recommendation.
	Surge bool
}

// Rule is how the need of one resource is computed.
type Rule struct {
	Max        bool    // the highest usage of the lookback
	Pattern    bool    // the percentile of this hour of the week; of the lookback until enough weeks are known
	Percentile float64 // 1 to 100, where Max is false
	Pooled     bool    // of all pods' samples together instead of averaged over pods
	Largest    bool    // of the pod that uses most instead of averaged over pods; Pooled wins
	Lookback   time.Duration
	Overhead   float64 // 0.1 is 10%
	// Burst is what covering one more percent of the samples may cost beyond percentile and overhead, in thousandths of
	// a core or bytes. 0: nothing.
	Burst int64
	// Floor and Ceiling bound the request, in thousandths of a core or bytes. Ceiling 0: none.
	Floor, Ceiling int64
}

// OOM says how memory answers an OOM kill.
type OOM struct {
	Step float64 // what each kill adds to the factor, 0.2 is 20%
	Max  float64 // the highest factor
}

// DefaultPolicy holds where no RecommendationPolicy is named: CPU by the 95th percentile and memory by the maximum of
// 7 d, both plus 10%, with full confidence after 24 h and at 40% of the lookback. Burst and newcomer headroom are what
// replays of real usage were tuned to: see docs/benchmarks.md.
func DefaultPolicy() Policy {
	return Policy{
		CPU:        Rule{Percentile: 95, Lookback: 7 * day, Overhead: 0.1, Burst: 3, Floor: 10},
		Memory:     Rule{Max: true, Percentile: 95, Lookback: 7 * day, Overhead: 0.1, Floor: 32 << 20},
		MinWatched: day,
		Coverage:   0.4,
		OOM:        OOM{Step: 0.2, Max: 2.5},
		Newcomer:   Newcomer{For: 8 * time.Hour, MilliCPU: 3, MemoryBytes: 72 << 20, MinMemoryBytes: 128 << 20},
	}
}

// ParsePolicy reads a spec. Empty fields take their defaults. The error names every field that is wrong and says what
// to write.
//
// Memory is computed by a percentile only where one is stated: the function alone may be there by defaulting, and a
// memory request below the peak is not to be had by accident.
func ParsePolicy(spec v1alpha1.RecommendationPolicySpec) (Policy, error) {
	p := DefaultPolicy()
	var errs []error
	fail := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("spec.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	parseRule(&p.CPU, "cpu", cpu, spec.CPU, fail)
	parseRule(&p.Memory, "memory", memory, spec.Memory, fail)
	if spec.Memory.Percentile == nil {
		p.Memory.Max = true
	}
	if d := spec.Confidence.MinWatched.Duration; d < 0 || d > MaxLookback {
		fail("confidence.minWatched", "%s is not between 0s and 720h", d)
	} else if d > 0 {
		p.MinWatched = d
	}
	if v := spec.Confidence.Coverage; v != "" {
		share, err := ParsePercent(v)
		if err != nil || share > 1 {
			fail("confidence.coverage", "%q is not a percentage from 0%% to 100%%", v)
		}
		p.Coverage = share
	}
	if v := spec.OOM.Step; v != "" {
		share, err := ParsePercent(v)
		if err != nil || share > 10 {
			fail("oom.step", "%q is not a percentage from 0%% to 1000%%", v)
		}
		p.OOM.Step = share
	}
	if v := spec.OOM.Max; v != "" {
		factor, err := strconv.ParseFloat(v, 64)
		if err != nil || !(factor >= 1 && factor <= 100) {
			fail("oom.max", "%q is not a number from 1 to 100, such as 2.5", v)
		}
		p.OOM.Max = factor
	}
	parseNewcomer(&p.Newcomer, spec.Newcomer, fail)
	p.Surge = spec.Surge != nil && spec.Surge.Enabled
	if p.Memory.Pattern {
		fail("memory.function", "Pattern is for cpu: memory that is taken away by the hour is not given back by the hour; use Max or Percentile")
	}
	if len(errs) > 0 {
		return Policy{}, errors.Join(errs...)
	}
	return p, nil
}

func parseRule(rule *Rule, name string, r int, e v1alpha1.ResourceEstimate, fail func(string, string, ...any)) {
	switch e.Function {
	case "":
	case v1alpha1.FunctionPercentile:
		rule.Max = false
	case v1alpha1.FunctionMax:
		rule.Max = true
		if e.Percentile != nil {
			fail(name+".percentile", "has no meaning with function Max; leave it out or use function Percentile")
		}
	case v1alpha1.FunctionPattern:
		rule.Max, rule.Pattern = false, true
	default:
		fail(name+".function", "%q is not Percentile, Max or Pattern", e.Function)
	}
	if v := e.Percentile; v != nil {
		if *v < 1 || *v > 100 {
			fail(name+".percentile", "%d is not between 1 and 100", *v)
		}
		rule.Percentile = float64(*v)
		if e.Function == "" {
			rule.Max = false
		}
	}
	switch e.Aggregation {
	case "", v1alpha1.AggregationPodAverage:
	case v1alpha1.AggregationPooled:
		rule.Pooled = true
	default:
		fail(name+".aggregation", "%q is neither PodAverage nor Pooled", e.Aggregation)
	}
	if e.Lookback != "" {
		d, err := ParseDuration(e.Lookback)
		switch {
		case err != nil:
			fail(name+".lookback", "%v", err)
		case d <= 0 || d > MaxLookback:
			fail(name+".lookback", "%s is not above 0 and at most 30d", e.Lookback)
		}
		rule.Lookback = d
	}
	if e.Overhead != "" {
		share, err := ParsePercent(e.Overhead)
		if err != nil || share > 10 {
			fail(name+".overhead", "%q is not a percentage from 0%% to 1000%%", e.Overhead)
		}
		rule.Overhead = share
	}
	readAmount(name+".min", r, e.Min, &rule.Floor, fail)
	readAmount(name+".max", r, e.Max, &rule.Ceiling, fail)
	readAmount(name+".burst", r, e.Burst, &rule.Burst, fail)
	if e.Burst != nil && rule.Max {
		fail(name+".burst", "has no meaning with function Max, which covers all samples; leave it out")
	}
	switch {
	case e.Max != nil && e.Max.Sign() == 0:
		fail(name+".max", "is 0; leave it out for no maximum")
	case e.Min != nil && e.Max != nil && e.Min.Cmp(*e.Max) > 0:
		fail(name+".min", "%s exceeds max %s", e.Min, e.Max)
	case e.Min == nil && rule.Ceiling > 0:
		rule.Floor = min(rule.Floor, rule.Ceiling)
	}
}

// readAmount reads a quantity that must not be negative.
func readAmount(field string, r int, q *resource.Quantity, into *int64, fail func(string, string, ...any)) {
	if q == nil {
		return
	}
	if q.Sign() < 0 {
		fail(field, "%s is negative", q)
	}
	*into = amount(r, *q)
}

func parseNewcomer(n *Newcomer, spec *v1alpha1.NewcomerPolicy, fail func(string, string, ...any)) {
	if spec == nil {
		return
	}
	if f := spec.For; f != nil {
		if f.Duration < 0 || f.Duration > MaxLookback {
			fail("newcomer.for", "%s is not between 0s and 720h", f.Duration)
		}
		n.For = f.Duration
	}
	readAmount("newcomer.cpu", cpu, spec.CPU, &n.MilliCPU, fail)
	readAmount("newcomer.memory", memory, spec.Memory, &n.MemoryBytes, fail)
	readAmount("newcomer.minMemory", memory, spec.MinMemory, &n.MinMemoryBytes, fail)
}

// ParsePercent reads a percentage such as "12.5%" as a share.
func ParsePercent(s string) (float64, error) {
	digits, ok := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(v >= 0) || math.IsInf(v, 1) {
		return 0, fmt.Errorf("%q is not a percentage such as 10%%", s)
	}
	return v / 100, nil
}

// ParseDuration reads durations as the API writes them: units s, m, h, d and w, as in 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	malformed := fmt.Errorf("%q is not a duration such as 30m, 24h or 7d", s)
	if s == "" {
		return 0, malformed
	}
	var sum time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 {
			return 0, malformed
		}
		n, err := strconv.ParseInt(rest[:i], 10, 64)
		if err != nil {
			return 0, malformed
		}
		var unit time.Duration
		switch rest[i] {
		case 's':
			unit = time.Second
		case 'm':
			unit = time.Minute
		case 'h':
			unit = time.Hour
		case 'd':
			unit = day
		case 'w':
			unit = 7 * day
		default:
			return 0, malformed
		}
		if n > int64((math.MaxInt64-sum)/unit) {
			return 0, fmt.Errorf("%q is too long a duration", s)
		}
		sum += time.Duration(n) * unit
		rest = rest[i+1:]
	}
	return sum, nil
}
