// Command consolidation compares Supercargo's search for savings with Karpenter's consolidation: both are given the same
// fragmented clusters in this process and go on until they find nothing more, and the same code carries out, prices and checks
// what they command. See --help and docs/benchmarks.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"supercargo.dev/e2e/bench/program"
	"supercargo.dev/e2e/bench/report"
)

// settings are the flags.
type settings struct {
	*program.Flags
	nodes    int
	patience time.Duration
}

const about = `Compares Supercargo's consolidation with Karpenter's in one process.

  make bench-consolidation                                everything; plots and docs/benchmarks.md are written anew
  make bench-consolidation SHORT=1                        about a minute
  make bench-consolidation ARGS="--pods FILE --nodes N"   your own pods

A cluster is made by buying nodes for two and a half times the pods, of which six in ten then leave. Both engines may disrupt
all nodes, and carrying a command out takes no time. Karpenter runs with its default time limits (1 min multi-node, 3 min
single-node), Supercargo with its default time budget (2 s a search).
`

func parse(args []string, errs io.Writer) (*settings, error) {
	f := flag.NewFlagSet("bench-consolidation", flag.ContinueOnError)
	s := &settings{Flags: program.NewFlags(f, errs, about, "", program.Texts{
		Short: "small clusters and little patience: about a minute on two idle cores",
		Seed:  "of the clusters",
		Runs:  "of the first search and of Karpenter's first round; the median is shown (default 3, 1 with --short)",
		Out:   "consolidation.json (one object per row), consolidation-settings.json (rows at other settings) and consolidation-runs.json",
		Whole: "--short, --case, --pods and --nodes",
		Cases: []string{karpenterMix, realSpot, realOnDemand, openb, growth},
	})}
	f.IntVar(&s.nodes, "nodes", 0, "about how many nodes a cluster has (default 500, 60 with --short; with --pods a tenth of the pods)")
	f.DurationVar(&s.patience, "patience", 0, "computing time after which Karpenter is stopped between two commands (default 1m, 6s with --short); the table says where it was")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := s.Check(f); err != nil {
		return nil, err
	}
	switch {
	case s.nodes < 0:
		return nil, fmt.Errorf("--nodes is %d, want 1 or more", s.nodes)
	case s.patience < 0:
		return nil, fmt.Errorf("--patience is %s, want a positive duration", s.patience)
	}
	if s.Runs == 0 {
		s.Runs = pick(s.Short, 1, 3)
	}
	if s.patience == 0 {
		s.patience = pick(s.Short, 6*time.Second, time.Minute)
	}
	return s, nil
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// full says whether the run measures everything that the docs show.
func (s *settings) full() bool { return s.Whole() && s.nodes == 0 }

func main() {
	program.Main("bench-consolidation", func(ctx context.Context, args []string, out, errs io.Writer) error {
		s, err := parse(args, errs)
		if err != nil {
			return err
		}
		return run(ctx, s, out)
	})
}

func run(ctx context.Context, s *settings, w io.Writer) error {
	machine := report.ThisMachine(time.Now())
	fmt.Fprintf(w, "%s\n\n", machine)
	trials, err := s.trials(w)
	if err != nil {
		return err
	}
	var lines []line
	for _, t := range trials {
		fmt.Fprintf(w, "%s, about %s nodes …\n", t.name, report.Int(t.nodes))
		got, err := s.measure(ctx, t)
		if err != nil {
			return fmt.Errorf("measuring %s, %w", t.name, err)
		}
		lines = append(lines, got...)
		// Written after each case: what was measured survives an interrupt.
		if err := s.write(lines); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	if err := table().Text(w, lines); err != nil {
		return err
	}
	for _, note := range notes(lines) {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w)
	judged := bars(lines)
	if err := report.Bars().Text(w, judged); err != nil {
		return err
	}
	if !s.full() {
		return nil
	}
	if err := plots(s.Docs, lines); err != nil {
		return err
	}
	return report.WriteBlock(filepath.Join(s.Docs, "benchmarks.md"), "consolidation", page(machine, os.Args[1:], lines, judged))
}
