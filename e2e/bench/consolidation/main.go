// Command consolidation compares Supercargo's search for savings with Karpenter's consolidation: both are given the same
// fragmented clusters in this process and go on until they find nothing more, and the same code carries out, prices and checks
// what they command. See --help and docs/benchmarks.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"supercargo.dev/e2e/bench/packing/input"
	"supercargo.dev/e2e/bench/report"
)

// settings are the flags.
type settings struct {
	short    bool
	only     string
	pods     string
	nodes    int
	seed     uint64
	runs     int
	patience time.Duration
	out      string
	docs     string
	data     string
}

func usage(f *flag.FlagSet) func() {
	return func() {
		fmt.Fprintf(f.Output(), `Compares Supercargo's consolidation with Karpenter's in one process.

  make bench-consolidation                                everything; plots and docs/benchmarks.md are written anew
  make bench-consolidation SHORT=1                        about a minute
  make bench-consolidation ARGS="--pods FILE --nodes N"   your own pods

A cluster is made by buying nodes for two and a half times the pods, of which six in ten then leave. Both engines may disrupt
all nodes, and carrying a command out takes no time. Karpenter runs with its default time limits (1 min multi-node, 3 min
single-node), Supercargo with its default time budget (2 s a search).

A file of pods has one Pod as JSON on each line, as kubectl get pods -A -o json | jq -c '.items[]' prints them:

  %s

Flags:
`, input.Example())
		f.PrintDefaults()
	}
}

func parse(args []string, errs io.Writer) (*settings, error) {
	s := &settings{}
	f := flag.NewFlagSet("bench-consolidation", flag.ContinueOnError)
	f.SetOutput(errs)
	f.Usage = usage(f)
	f.BoolVar(&s.short, "short", false, "small clusters and little patience: about a minute on two idle cores")
	f.StringVar(&s.only, "case", "", "comma-separated: karpenter-mix, real-spot, real-ondemand, openb, growth (default all; custom with --pods)")
	f.StringVar(&s.pods, "pods", "", "`FILE` of pods, one JSON object per line: the case custom")
	f.IntVar(&s.nodes, "nodes", 0, "about how many nodes a cluster has (default 500, 60 with --short; with --pods a tenth of the pods)")
	f.Uint64Var(&s.seed, "seed", 1, "of the clusters")
	f.IntVar(&s.runs, "runs", 0, "of the first search and of Karpenter's first round; the median is shown (default 3, 1 with --short)")
	f.DurationVar(&s.patience, "patience", 0, "computing time after which Karpenter is stopped between two commands (default 1m, 6s with --short); the table says where it was")
	f.StringVar(&s.out, "out", "out/bench", "`DIR` for consolidation.json (one object per row), consolidation-settings.json (rows at other settings) and consolidation-runs.json")
	f.StringVar(&s.docs, "docs", "docs", "`DIR` of benchmarks.md and the plots, which only a run without --case, --pods, --nodes and --short writes")
	f.StringVar(&s.data, "data", "../shared/data", "`DIR` with pods-openb, for the case openb")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q; see --help", f.Arg(0))
	case s.pods != "" && s.only != "" && s.only != custom:
		return nil, fmt.Errorf("--pods is the case custom; drop --case %s", s.only)
	case s.nodes < 0:
		return nil, fmt.Errorf("--nodes is %d, want 1 or more", s.nodes)
	case s.runs < 0:
		return nil, fmt.Errorf("--runs is %d, want 1 or more", s.runs)
	case s.patience < 0:
		return nil, fmt.Errorf("--patience is %s, want a positive duration", s.patience)
	}
	if s.runs == 0 {
		s.runs = pick(s.short, 1, 3)
	}
	if s.patience == 0 {
		s.patience = pick(s.short, 6*time.Second, time.Minute)
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
func (s *settings) full() bool { return !s.short && s.only == "" && s.pods == "" && s.nodes == 0 }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = run(ctx, s, os.Stdout)
	}
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "bench-consolidation:", err)
	stop()
	os.Exit(1) //nolint:gocritic // stop has been called
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
	if err := plots(s.docs, lines); err != nil {
		return err
	}
	return report.WriteBlock(filepath.Join(s.docs, "benchmarks.md"), "consolidation", page(machine, os.Args[1:], lines, judged))
}
