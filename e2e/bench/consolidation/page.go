package main

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"supercargo.dev/e2e/bench/report"
)

// The plots, in the folder of docs.
const (
	costPlot   = "bench-consolidation-cost.svg"
	movesPlot  = "bench-consolidation-moves.svg"
	growthPlot = "bench-consolidation-growth.svg"
)

func plots(folder string, lines []line) error {
	cost := report.Columns{Title: "Consolidation: cost at rest over the lower bound", Y: "cost / lower bound", Base: 1, Series: []string{supercargo, karpenter}}
	for _, l := range lines {
		if l.engine == supercargo && l.setting == atDefaults && l.rival != nil && l.name != custom {
			cost.Groups = append(cost.Groups, report.Group{Name: fmt.Sprintf("%s %s", l.name, report.Int(l.left)), Values: []float64{l.ratio(), l.rival.ratio()}})
		}
	}
	if err := cost.WriteSVG(filepath.Join(folder, costPlot)); err != nil {
		return err
	}
	moves := report.Plot{Title: "Consolidation: what moving pods saves, real types on demand", X: "pods moved", Y: "cost / lower bound"}
	done := map[string]bool{}
	for _, l := range lines {
		if l.name != realOnDemand || l.alone || l.setting != atDefaults || done[l.engine] {
			continue
		}
		done[l.engine] = true // of several sizes, the first
		c := report.Curve{Name: l.engine}
		for _, p := range l.Course {
			c.Points = append(c.Points, report.Point{X: float64(p.Moved), Y: p.Cost / l.bound})
		}
		moves.Curves = append(moves.Curves, c)
	}
	if err := moves.WriteSVG(filepath.Join(folder, movesPlot)); err != nil {
		return err
	}
	grows := report.Plot{Title: "Consolidation: seconds to the first command that saves", X: "nodes", Y: "seconds", LogX: true, LogY: true}
	for _, e := range []string{supercargo, karpenter} {
		c := report.Curve{Name: e}
		for _, l := range lines {
			if l.name == realOnDemand && l.engine == e && l.setting == atDefaults && l.first > 0 {
				c.Points = append(c.Points, report.Point{X: float64(l.before), Y: l.first.Seconds()})
			}
		}
		slices.SortFunc(c.Points, func(a, b report.Point) int { return cmp.Compare(a.X, b.X) })
		grows.Curves = append(grows.Curves, c)
	}
	return grows.WriteSVG(filepath.Join(folder, growthPlot))
}

// page is the part of benchmarks.md that a full run writes.
func page(m report.Machine, args []string, lines []line, judged []report.Bar) string {
	var b strings.Builder
	command := "make bench-consolidation"
	if len(args) > 0 {
		command += fmt.Sprintf(" ARGS=%q", strings.Join(args, " "))
	}
	fmt.Fprintf(&b, "`%s` on %s wrote this part and the plots.\n\n", command, m)
	b.WriteString(table().Markdown(lines))
	for _, note := range notes(lines) {
		b.WriteString("\n" + note + "\n")
	}
	b.WriteString("\n" + report.Bars().Markdown(judged) + "\n")
	for _, p := range []string{costPlot, movesPlot, growthPlot} {
		fmt.Fprintf(&b, "![%s](%s)\n", strings.TrimSuffix(p, ".svg"), p)
	}
	return b.String()
}
