package main

import (
	"fmt"
	"math"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/report"
)

// bars compares what was measured with what is wanted.
func bars(lines []line, swept *sweepResult) []report.Bar {
	times := func(v float64) string { return report.Significant(v) + "×" }
	ratio := func(v float64) string { return report.Float(v, 4) }
	ownSpeed := faster(lines, func(l *line) bool { return l.name == karpenterMix })
	realSpeed := faster(lines, onReal)
	large, few := worst(lines, func(l *line) bool { return onReal(l) && l.Pods >= 1000 }), worst(lines, func(l *line) bool { return onReal(l) && l.Pods < 1000 })
	out := []report.Bar{
		{Name: "speed against Karpenter, its mix, 5,000 pods", Limit: 100, AtLeast: true, Got: ownSpeed.value, Note: ownSpeed.at, Format: times},
		{Name: "speed against Karpenter, real types, 5,000 pods", Limit: 20, AtLeast: true, Got: realSpeed.value, Note: realSpeed.at, Format: times},
		{Name: "growth of time, 10,000 → 100,000 pods", Limit: 12, Got: grown(lines), Note: realOnDemand, Format: times},
		{Name: "cost / bound, real types, 1,000 pods and more", Limit: 1.01, Got: large.value, Note: large.at, Format: ratio},
		{Name: "cost / bound, real types, 200 pods", Limit: 1.03, Got: few.value, Note: few.at, Format: ratio},
	}
	dearer := worstAgainst(lines)
	out = append(out, report.Bar{Name: "cost / Karpenter's, every row", Limit: 1, Got: dearer.value, Note: dearer.at, Format: ratio})
	if swept != nil {
		out = append(out,
			report.Bar{Name: "cost / Karpenter's, odd mixes", Limit: 1, Got: swept.worst, Note: swept.String(), Format: ratio},
			report.Bar{Name: "odd mixes in which Karpenter places more pods", Limit: 0, Got: float64(swept.fewerPlaced)})
	}
	memory, violations := math.NaN(), math.NaN()
	for i := range lines {
		if l := &lines[i]; l.Engine == contest.Supercargo {
			violations = orZero(violations) + float64(len(l.Violations))
			if l.Pods == 100000 {
				memory = math.Max(orZero(memory), float64(l.HeapBytes))
			}
		}
	}
	if swept != nil {
		violations = orZero(violations) + float64(swept.violations)
	}
	return append(out,
		report.Bar{Name: "heap with 100,000 pods, the pods included", Limit: 1 << 30, Got: memory, Format: func(v float64) string { return report.Bytes(int64(v)) }},
		report.Bar{Name: "violations of kube-scheduler's rules", Limit: 0, Got: violations},
	)
}

func onReal(l *line) bool { return l.name == realSpot || l.name == realOnDemand }

func orZero(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}

// figure is a number and where it comes from.
type figure struct {
	value float64
	at    string
}

// faster is the least speed-up over Karpenter at 5,000 pods or, in a run without that size, at the largest below it.
func faster(lines []line, of func(*line) bool) figure {
	out, size := figure{value: math.NaN()}, 0
	for i := range lines {
		l := &lines[i]
		if l.Engine != contest.Supercargo || l.rival == nil || !of(l) || l.Pods > 5000 || l.Pods < size {
			continue
		}
		f := l.PodsPerSecond() / l.rival.PodsPerSecond()
		if l.Pods > size || f < out.value {
			out = figure{f, fmt.Sprintf("%s, %s pods; by processor time %s×", l.name, report.Int(l.Pods),
				report.Significant(l.rival.CPU.Seconds()/l.CPU.Seconds()))}
		}
		size = l.Pods
	}
	return out
}

// grown is how many times longer 100,000 pods take than 10,000.
func grown(lines []line) float64 {
	took := map[int]float64{}
	for i := range lines {
		if l := &lines[i]; l.Engine == contest.Supercargo && l.name == realOnDemand {
			took[l.Pods] = l.Phases.Total().Seconds()
		}
	}
	if took[10000] == 0 || took[100000] == 0 {
		return math.NaN()
	}
	return took[100000] / took[10000]
}

// worst is Supercargo's highest cost over the bound.
func worst(lines []line, of func(*line) bool) figure {
	out := figure{value: math.NaN()}
	for i := range lines {
		l := &lines[i]
		if l.Engine == contest.Supercargo && of(l) && !(l.ratio() <= out.value) {
			out = figure{l.ratio(), fmt.Sprintf("%s, %s pods", l.name, report.Int(l.Pods))}
		}
	}
	return out
}

// worstAgainst is Supercargo's highest cost over Karpenter's, both per placed pod.
func worstAgainst(lines []line) figure {
	out := figure{value: math.NaN()}
	for i := range lines {
		l := &lines[i]
		if l.Engine != contest.Supercargo || l.rival == nil || l.rival.CostPerHour == 0 {
			continue
		}
		if v := per(&l.Result) / per(l.rival); !(v <= out.value) {
			out = figure{v, fmt.Sprintf("%s, %s pods", l.name, report.Int(l.Pods))}
		}
	}
	return out
}
