package main

import (
	"fmt"
	"path/filepath"
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

func plots(folder string, lines []line) error {
	speed := report.Plot{Title: "Packing: pods per second, Karpenter's own mix", X: "pods", Y: "pods per second", LogX: true, LogY: true}
	for _, e := range both() {
		c := report.Curve{Name: string(e)}
		for i := range lines {
			if l := &lines[i]; l.name == karpenterMix && l.Engine == e && l.rival != nil {
				c.Points = append(c.Points, report.Point{X: float64(l.Pods), Y: l.PodsPerSecond()})
			}
		}
		speed.Curves = append(speed.Curves, c)
	}
	if err := speed.WriteSVG(filepath.Join(folder, speedPlot)); err != nil {
		return err
	}
	cost := report.Columns{Title: "Packing: cost over the lower bound", Y: "cost / lower bound", Base: 1, Series: []string{string(contest.Supercargo), string(contest.Karpenter)}}
	for i := range lines {
		if l := &lines[i]; l.rival != nil && l.Engine == contest.Supercargo && l.name != custom {
			rival := line{trial: l.trial, Result: *l.rival, rival: &l.Result}
			cost.Groups = append(cost.Groups, report.Group{Name: fmt.Sprintf("%s %s", l.name, report.Int(l.Pods)), Values: []float64{l.ratio(), rival.ratio()}})
		}
	}
	if err := cost.WriteSVG(filepath.Join(folder, costPlot)); err != nil {
		return err
	}
	grows := report.Plot{Title: "Packing: time and pods, real types on demand", X: "pods", Y: "seconds", LogX: true, LogY: true}
	for _, e := range both() {
		c := report.Curve{Name: string(e)}
		for i := range lines {
			if l := &lines[i]; l.name == realOnDemand && l.Engine == e {
				c.Points = append(c.Points, report.Point{X: float64(l.Pods), Y: l.Phases.Total().Seconds()})
			}
		}
		grows.Curves = append(grows.Curves, c)
	}
	return grows.WriteSVG(filepath.Join(folder, growthPlot))
}

// page is the part of benchmarks.md that a full run writes.
func page(m report.Machine, lines []line, judged []report.Bar, swept *sweepResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`make bench-packing` on %s wrote this part and the plots.\n\n", m)
	b.WriteString(table().Markdown(lines))
	for _, note := range notes(lines) {
		b.WriteString("\n" + note + "\n")
	}
	b.WriteString("\n" + report.Bars().Markdown(judged) + "\n")
	if swept != nil {
		fmt.Fprintf(&b, "Odd mixes (few pods, heavy anti-affinity, spread over hosts, GPUs, tiny and huge pods, many pools and so on): %s. Of Supercargo's plans %d, of Karpenter's %d placements break a rule; Supercargo placed more pods in %d problems and fewer in %d.\n\n",
			swept, swept.violations, swept.rivalsOwn, swept.morePlaced, swept.fewerPlaced)
	}
	for _, p := range []string{speedPlot, costPlot, growthPlot} {
		fmt.Fprintf(&b, "![%s](%s)\n", strings.TrimSuffix(p, ".svg"), p)
	}
	return b.String()
}
