package main

import (
	"context"
	"fmt"
	"io"
	"math"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/packing/mix"
	"supercargo.dev/e2e/bench/report"
)

// How many odd mixes of each kind are compared.
const (
	sweepFull  = 6
	sweepShort = 1
)

// sweepResult sums up a comparison on odd mixes.
type sweepResult struct {
	problems, cheaper, equal, dearer int
	// morePlaced and fewerPlaced count the problems in which Supercargo placed more or fewer pods than Karpenter.
	morePlaced, fewerPlaced int
	// worst is the highest cost of Supercargo's over Karpenter's, on worstOn, of the problems in which both placed the same.
	worst   float64
	worstOn string
	// mean is the geometric mean of that.
	mean                  float64
	violations, rivalsOwn int
}

// String is a sentence for a note.
func (r *sweepResult) String() string {
	return fmt.Sprintf("%d problems: cheaper in %d, equal in %d, dearer in %d, mean %s; worst %s", r.problems, r.cheaper, r.equal, r.dearer,
		report.Float(r.mean, 3), r.worstOn)
}

// sweep compares both engines on odd mixes: small ones, and ones that rules dominate. It is about cost, not speed.
func (s *settings) sweep(ctx context.Context, w io.Writer) (*sweepResult, error) {
	if !s.Wants(sweep) {
		return nil, nil //nolint:nilnil // nothing was asked for
	}
	n := sweepFull
	if s.Short {
		n = sweepShort
	}
	out := &sweepResult{worst: math.NaN()}
	logs, compared := 0.0, 0
	for _, kind := range mix.Odd() {
		for k := range n {
			seed := s.Seed + uint64(k)
			in, err := kind.Make(seed)
			if err != nil {
				return nil, fmt.Errorf("making the mix %q, %w", kind.Name, err)
			}
			results, err := contest.Compare(ctx, in, both(), contest.Limits{Runs: 1})
			if err != nil {
				return nil, fmt.Errorf("comparing on the mix %q of seed %d, %w", kind.Name, seed, err)
			}
			ours, theirs := &results[0], &results[1]
			out.problems++
			out.violations += len(ours.Violations)
			out.rivalsOwn += len(theirs.Violations)
			at := fmt.Sprintf("%s, %d pods, seed %d", kind.Name, ours.Pods, seed)
			switch {
			case ours.Unplaced < theirs.Unplaced:
				out.morePlaced++
			case ours.Unplaced > theirs.Unplaced:
				out.fewerPlaced++
			}
			ratio := ours.CostPerHour / theirs.CostPerHour
			note := ""
			if len(ours.Violations) > 0 {
				note = fmt.Sprintf("  VIOLATIONS %d, first %v", len(ours.Violations), ours.Violations[0])
			}
			fmt.Fprintf(w, "  %-58s $%8.4f against $%8.4f  %.4f of it, %.4f of the bound  unplaced %d/%d  violations %d/%d%s\n", at, ours.CostPerHour,
				theirs.CostPerHour, ratio, ours.CostPerHour/ours.LowerBound, ours.Unplaced, theirs.Unplaced, len(ours.Violations), len(theirs.Violations), note)
			if ours.Unplaced != theirs.Unplaced || theirs.CostPerHour == 0 {
				continue
			}
			switch {
			case ratio < 1-1e-9:
				out.cheaper++
			case ratio > 1+1e-9:
				out.dearer++
			default:
				out.equal++
			}
			if !(ratio <= out.worst) {
				out.worst, out.worstOn = ratio, at
			}
			logs += math.Log(ratio)
			compared++
		}
	}
	out.mean = math.Exp(logs / float64(max(1, compared)))
	return out, nil
}
