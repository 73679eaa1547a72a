package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/report"
)

// The plots, in the folder of docs.
const (
	speedPlot  = "bench-packing-speed.svg"
	costPlot   = "bench-packing-cost.svg"
	growthPlot = "bench-packing-growth.svg"
)

// plots draws what there is to see, and returns the names of the files.
func plots(folder string, lines []line) (drawn []string, err error) {
	for _, e := range []struct {
		file string
		plot report.Plot
		use  func(*line) bool
		y    func(*line) float64
	}{
		{
			speedPlot,
			report.Plot{Title: "Packing: pods per second, Karpenter's own mix", X: "pods", Y: "pods per second", LogX: true, LogY: true},
			func(l *line) bool { return l.name == karpenterMix && l.rival != nil }, (*line).podsPerSecond,
		},
		{
			growthPlot,
			report.Plot{Title: "Packing: time and pods, real types on demand", X: "pods", Y: "seconds", LogX: true, LogY: true},
			func(l *line) bool { return l.name == realOnDemand }, func(l *line) float64 { return l.Phases.Total().Seconds() },
		},
	} {
		for _, engine := range both() {
			if c := curve(lines, engine, e.use, e.y); len(c.Points) > 1 {
				e.plot.Curves = append(e.plot.Curves, c)
			}
		}
		if len(e.plot.Curves) == 0 {
			continue
		}
		if err := e.plot.WriteSVG(filepath.Join(folder, e.file)); err != nil {
			return nil, err
		}
		drawn = append(drawn, e.file)
	}
	cost := report.Columns{Title: "Packing: cost over the lower bound", Y: "cost / lower bound", Base: 1, Series: []string{string(contest.Supercargo), string(contest.Karpenter)}}
	for i := range lines {
		if l := &lines[i]; l.rival != nil && l.Engine == contest.Supercargo {
			rival := line{trial: l.trial, Result: *l.rival, rival: &l.Result}
			cost.Groups = append(cost.Groups, report.Group{Name: fmt.Sprintf("%s %s", l.name, report.Int(l.Pods)), Values: []float64{l.ratio(), rival.ratio()}})
		}
	}
	if len(cost.Groups) == 0 {
		return drawn, nil
	}
	return append(drawn, costPlot), cost.WriteSVG(filepath.Join(folder, costPlot))
}

func (l *line) podsPerSecond() float64 { return l.PodsPerSecond() }

// curve is what an engine reached over the number of pods, in the order of that.
func curve(lines []line, e contest.Engine, use func(*line) bool, y func(*line) float64) report.Curve {
	c := report.Curve{Name: string(e)}
	for i := range lines {
		if l := &lines[i]; l.Engine == e && use(l) {
			c.Points = append(c.Points, report.Point{X: float64(l.Pods), Y: y(l)})
		}
	}
	slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Compare(a.X, b.X) })
	return c
}

// page is the part of benchmarks.md that a full run writes.
func page(m report.Machine, lines []line, swept *sweepResult, complete bool, drawn []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`make bench-packing` on %s wrote this part and the plots.\n\n", m)
	if !complete {
		b.WriteString("The run was stopped before its end; what is missing was not measured.\n\n")
	}
	b.WriteString(table().Markdown(lines))
	for _, note := range notes(lines) {
		b.WriteString("\n" + note + "\n")
	}
	b.WriteString("\n" + report.Bars().Markdown(bars(lines, swept)) + "\n")
	if swept != nil {
		fmt.Fprintf(&b, "Odd mixes (few pods, heavy anti-affinity, spread over hosts, GPUs, tiny and huge pods, many pools and so on): %s. Of Supercargo's plans %d, of Karpenter's %d placements break a rule; Supercargo placed more pods in %d problems and fewer in %d.\n\n",
			swept, swept.violations, swept.rivalsOwn, swept.morePlaced, swept.fewerPlaced)
	}
	for _, p := range drawn {
		fmt.Fprintf(&b, "![%s](%s)\n", strings.TrimSuffix(p, ".svg"), p)
	}
	return b.String()
}
