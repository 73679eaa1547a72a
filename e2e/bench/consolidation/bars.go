package main

import (
	"fmt"
	"math"

	"supercargo.dev/e2e/bench/report"
)

// bars judges Supercargo at its defaults.
func bars(lines []line) []report.Bar {
	compared := func(l *line) bool { return !l.alone }
	plan := worst(lines, compared, func(l *line) float64 { return l.plan.Wall.Seconds() })
	cost := worst(lines, compared, (*line).ratio)
	rival := worst(lines, compared, func(l *line) float64 { return l.cost / l.rival.cost })
	moved := worst(lines, compared, func(l *line) float64 { return l.perDollar() / l.rival.perDollar() })
	equal := worst(lines, compared, func(l *line) float64 { return l.equal() / l.rival.perDollar() })
	first := worst(lines, func(l *line) bool { return l.left == 50000 }, func(l *line) float64 { return l.first.Seconds() })
	broken := 0.0
	for i := range lines {
		if lines[i].engine == supercargo {
			broken += float64(lines[i].Violations)
		}
	}
	return []report.Bar{
		{Name: "time to the first plan, its time budget of 2 s included", Limit: 2, Got: plan.value, Note: plan.at, Format: report.Seconds},
		{Name: "cost when it finds nothing more, over the lower bound", Limit: 1.03, Got: cost.value, Note: cost.at, Format: ratio},
		{Name: "the same over Karpenter's", Limit: 1, Got: rival.value, Note: rival.at, Format: ratio},
		{Name: "pods moved per dollar saved, over Karpenter's", Limit: 1, Got: moved.value, Note: moved.at, Format: ratio},
		{Name: "the same when it has saved what Karpenter saves in the end", Limit: 1, Got: equal.value, Note: equal.at, Format: ratio},
		{Name: "first command that saves, 5,000 nodes and 50,000 pods", Limit: 5, Got: first.value, Note: first.at, Format: report.Seconds},
		{Name: "violations of kube-scheduler's rules", Limit: 0, Got: broken},
	}
}

func ratio(v float64) string { return report.Float(v, 3) }

// figure is a number and where it comes from.
type figure struct {
	value float64
	at    string
}

// worst is the highest value of Supercargo's lines at defaults.
func worst(lines []line, which func(*line) bool, of func(*line) float64) figure {
	out := figure{value: math.NaN()}
	for i := range lines {
		l := &lines[i]
		if l.engine != supercargo || l.setting != atDefaults || !which(l) {
			continue
		}
		if v := of(l); math.IsNaN(out.value) || v > out.value {
			out = figure{v, fmt.Sprintf("%s, %s pods", l.name, report.Int(l.left))}
		}
	}
	return out
}
