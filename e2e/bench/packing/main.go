// Command packing compares Supercargo's packing with Karpenter's scheduler: both solve the same problems in this process, in
// turns, and the same code prices and checks what comes out. See --help and docs/benchmarks.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/packing/input"
	"supercargo.dev/e2e/bench/program"
	"supercargo.dev/e2e/bench/report"
)

// settings are the flags.
type settings struct {
	*program.Flags
	types    string
	engine   string
	most     int
	patience time.Duration
}

const about = `Compares Supercargo's packing with Karpenter's scheduler in one process.

  make bench-packing                                          everything; plots and docs/benchmarks.md are written anew
  make bench-packing SHORT=1                                  three minutes
  make bench-packing ARGS="--pods FILE --types FILE --seed N" your own pods and types
`

const aboutTypes = `
A file of types is a JSON array, or one object per line; price in USD per hour, capacityType spot or on-demand. What may be
left out: arch (amd64), labels, allocatable (all of the capacity), pods (110), available (true):

  ` + input.TypesExample + `
`

func parse(args []string, errs io.Writer) (*settings, error) {
	f := flag.NewFlagSet("bench-packing", flag.ContinueOnError)
	s := &settings{Flags: program.NewFlags(f, errs, about, aboutTypes, program.Texts{
		Short: "fewer sizes and runs: about three minutes on two idle cores",
		Seed:  "of the pods that are drawn, and of Supercargo's search",
		Runs:  "of each engine per row; the median is shown (default 5, 3 from 10,000 pods on; 1 with --short)",
		Out:   "packing.json (one object per row) and packing-runs.json (phases and violations)",
		Whole: "--short, --case, --pods and --engine",
		Cases: []string{karpenterMix, realSpot, realOnDemand, openb, growth, sweep},
	})}
	f.StringVar(&s.types, "types", "", "`FILE` of instance types for --pods (default: c, m and r types of AWS in us-east-1, spot and on demand; with NVIDIA types when a pod asks for nvidia.com/gpu)")
	f.StringVar(&s.engine, "engine", "", "supercargo or karpenter alone (default both, in turns)")
	f.IntVar(&s.most, "max-pods", 0, "leaves out the comparisons with Karpenter on more than `N` pods (default none); it takes minutes for 10,000")
	f.DurationVar(&s.patience, "patience", 2*time.Minute, "no further run of an engine on a row is begun that would exceed this; the first always is")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if err := s.Check(f); err != nil {
		return nil, err
	}
	if s.types != "" && s.Pods == "" {
		return nil, fmt.Errorf("--types %s goes with --pods FILE", s.types)
	}
	if s.engine != "" && s.engine != string(contest.Supercargo) && s.engine != string(contest.Karpenter) {
		return nil, fmt.Errorf("--engine is %q, want supercargo or karpenter", s.engine)
	}
	return s, nil
}

// full says whether the run measures everything that the docs show.
func (s *settings) full() bool { return s.Whole() && s.engine == "" }

func main() {
	program.Main("bench-packing", func(ctx context.Context, args []string, out, errs io.Writer) error {
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
		in, err := t.input()
		if err != nil {
			return fmt.Errorf("making %s, %w", t.name, err)
		}
		fmt.Fprintf(w, "%s, %s pods …\n", t.name, report.Int(len(in.Pods)))
		results, err := contest.Compare(ctx, in, t.engines, contest.Limits{Runs: t.runs, Patience: s.patience})
		if err != nil {
			return fmt.Errorf("comparing on %s, %w", t.name, err)
		}
		for i := range results {
			lines = append(lines, line{trial: t, Result: results[i], rival: rival(results, i)})
		}
		// Written after each row: what was measured survives an interrupt.
		if err := s.write(lines); err != nil {
			return err
		}
		if err := s.document(machine, lines, nil, false); err != nil {
			return err
		}
	}
	swept, err := s.sweep(ctx, w)
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := table().Text(w, lines); err != nil {
		return err
	}
	for _, note := range notes(lines) {
		fmt.Fprintln(w, note)
	}
	fmt.Fprintln(w)
	if err := report.Bars().Text(w, bars(lines, swept)); err != nil {
		return err
	}
	return s.document(machine, lines, swept, true)
}

// document writes the plots and the part of the docs, in a run that measures all that they show.
func (s *settings) document(m report.Machine, lines []line, swept *sweepResult, complete bool) error {
	if !s.full() {
		return nil
	}
	drawn, err := plots(s.Docs, lines)
	if err != nil {
		return err
	}
	return report.WriteBlock(filepath.Join(s.Docs, "benchmarks.md"), "packing", page(m, lines, swept, complete, drawn))
}

// rival is the other engine's result on the same problem, nil when there is none.
func rival(results []contest.Result, i int) *contest.Result {
	for k := range results {
		if k != i {
			return &results[k]
		}
	}
	return nil
}
