package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/e2e/bench/report"
)

// Names of what is written.
const (
	resultsFile = "e2e.json"
	samplesFile = "e2e-cost.json"
	plotFile    = "bench-e2e-cost.svg"
	page        = "benchmarks.md"
	block       = "end-to-end"
)

// benchmark runs all cases, one after the other: they must not take processor time from each other.
func benchmark(ctx context.Context, o Options, out io.Writer) (err error) {
	log.SetLogger(logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if o.Dir == "" {
		if o.Dir, err = os.MkdirTemp("", "endtoend-"); err != nil {
			return fmt.Errorf("creating a directory for logs, %w", err)
		}
		defer func() {
			if err == nil {
				err = os.RemoveAll(o.Dir)
			}
		}()
	} else if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return fmt.Errorf("resolving --dir, %w", err)
	}
	var results []Result
	var samples []Sample
	for _, c := range Cases(o) {
		r, s, err := Run(ctx, o, c, out)
		if err != nil {
			return fmt.Errorf("%s: %w (logs: %s)", c.Name, err, o.Dir)
		}
		results, samples = append(results, r), append(samples, s...)
		// A run of many minutes that is interrupted leaves what it has.
		if err := errors.Join(report.WriteJSON(filepath.Join(o.Out, resultsFile), results), report.WriteJSON(filepath.Join(o.Out, samplesFile), samples)); err != nil {
			return err
		}
	}
	if err := table().Text(out, results); err != nil {
		return err
	}
	drawing := filepath.Join(o.Out, plotFile)
	if o.Docs != "" {
		drawing = filepath.Join(o.Docs, plotFile)
		if err := report.WriteBlock(filepath.Join(o.Docs, page), block, markdown(o, results, time.Now())); err != nil {
			return err
		}
	}
	return drawingOf(o, results, samples).WriteSVG(drawing)
}

func table() report.Table[Result] {
	return report.Table[Result]{
		{Name: "case", Left: true, Cell: func(r Result) string { return r.Case }},
		{Name: "all bound, s", Cell: func(r Result) string { return report.Float(r.SecondsToAllBound, 1) }},
		{Name: "engine CPU, s", Cell: func(r Result) string { return report.Float(r.BindCPUSeconds, 1) }},
		{Name: "nodes (spot)", Cell: func(r Result) string { return nodes(r.Nodes, r.SpotNodes) }},
		{Name: "$/h", Cell: func(r Result) string { return report.Float(r.CostPerHour, 3) }},
		{Name: "/ bound", Cell: func(r Result) string { return report.Float(r.Ratio, 3) }},
		{Name: "settled: nodes (spot)", Cell: func(r Result) string { return nodes(r.NodesAfter, r.SpotNodesAfter) }},
		{Name: "$/h", Cell: func(r Result) string { return report.Float(r.CostPerHourAfter, 3) }},
		{Name: "/ bound", Cell: func(r Result) string { return report.Float(r.RatioAfter, 3) }},
		{Name: "settled after, s", Cell: settled},
		{Name: "pods moved", Cell: func(r Result) string { return report.Int(r.PodsMoved) }},
		{Name: "nodes given up", Cell: func(r Result) string { return report.Int(r.disrupted()) }},
		{Name: "pod-seconds without a node", Cell: func(r Result) string { return report.Int(int64(r.UnboundPodSecondsChurn)) }},
		{Name: "$ in all", Cell: func(r Result) string { return report.Float(r.DollarsTotal, 3) }},
	}
}

func nodes(all, spot int) string { return fmt.Sprintf("%s (%s)", report.Int(all), report.Int(spot)) }

func settled(r Result) string {
	if !r.Settled {
		return fmt.Sprintf("not in %.0f", r.SecondsToSettle)
	}
	return report.Float(r.SecondsToSettle, 0)
}

// markdown is the generated part of the page.
func markdown(o Options, results []Result, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "`make bench-e2e%s`, on %s. %s pods, seed %d, churn %s.\n\n", o.Command, report.ThisMachine(now), report.Int(o.Pods), o.Seed, o.Churn)
	b.WriteString(table().Markdown(results))
	b.WriteString("\n![USD per hour over time](" + plotFile + ")\n\n")
	for _, r := range results {
		fmt.Fprintf(&b, "- **%s**: %s. Nodes given up: %s.\n", r.Case, r.Setting, reasons(r.Disruptions))
	}
	fmt.Fprintf(&b, `
All bound is counted from the start of the engine's process with all pods pending and includes its own start; engine CPU is what its
process used until all pods ran. $/h and $ are the cloud's own bill; bound is the packer's lower bound for the pods there are, at the
requests they have then, so it is lower where pods were rightsized. $ in all is of churn and settling, %s for each case. Moved are pods
that ran and were evicted or lost their node; pods that scaling down ends are not. All cases have the same one NodePool, which sells spot
and on-demand (consolidateAfter %s, disruption budget %s), the same market with prices that stand still, and no spot interruptions. A fifth
of the pods must be on on-demand machines; the others may be on either.

What differs from the defaults: neither engine takes a lease, as there is one replica of each. A run has minutes where a cluster has hours, so
in the cases that do not say "defaults" Supercargo's break-even age, launch overlap and cost of moving a pod are a %s of their defaults.
Karpenter has no such settings; what it waits is consolidateAfter and a fixed 15 s of validation, which is Supercargo's default too.
`, o.Churn+o.SettleLimit, o.ConsolidateAfter, o.DisruptionBudget, fraction(o.TimeScale))
	return b.String()
}

func fraction(scale int) string {
	if scale == 10 {
		return "tenth"
	}
	return fmt.Sprintf("1/%d", scale)
}

// reasons lists why machines were given up.
func reasons(counts map[string]int) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		name := why
		if name == "" {
			name = "without a reason"
		}
		parts = append(parts, fmt.Sprintf("%d %s", counts[why], name))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func drawingOf(o Options, results []Result, samples []Sample) report.Plot {
	p := report.Plot{
		Title: fmt.Sprintf("%s pods: bound, scaled up and down, settled", report.Int(o.Pods)),
		X:     "minutes since the start of the engine", Y: "USD per hour", Bare: true,
	}
	for i := range results {
		curve := report.Curve{Name: results[i].Case}
		for k := range samples {
			if samples[k].Case == results[i].Case {
				curve.Points = append(curve.Points, report.Point{X: samples[k].Seconds / 60, Y: samples[k].USDPerHour})
			}
		}
		p.Curves = append(p.Curves, curve)
	}
	return p
}
