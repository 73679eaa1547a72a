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
	// logs is the sum of the logarithms of that.
	logs                  float64
	violations, rivalsOwn int
}

// String is a sentence for a note.
func (r *sweepResult) String() string {
	return fmt.Sprintf("%d problems: cheaper in %d, equal in %d, dearer in %d, mean %s; worst %s", r.problems, r.cheaper, r.equal, r.dearer,
		report.Float(r.mean(), 3), r.worstOn)
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
			at := fmt.Sprintf("%s, %d pods, seed %d", kind.Name, ours.Pods, seed)
			out.add(ours, theirs, at)
			note := ""
			if len(ours.Violations) > 0 {
				note = fmt.Sprintf("  VIOLATIONS %d, first %v", len(ours.Violations), ours.Violations[0])
			}
			fmt.Fprintf(w, "  %-58s $%8.4f against $%8.4f  %.4f of it, %.4f of the bound  unplaced %d/%d  violations %d/%d%s\n", at, ours.CostPerHour,
				theirs.CostPerHour, ours.CostPerHour/theirs.CostPerHour, ours.CostPerHour/ours.LowerBound, ours.Unplaced, theirs.Unplaced, len(ours.Violations), len(theirs.Violations), note)
		}
	}
	return out, nil
}

// add counts one problem in. Costs are compared where both placed the same number of pods; costs that differ by rounding alone are
// equal.
func (r *sweepResult) add(ours, theirs *contest.Result, at string) {
	r.problems++
	r.violations += len(ours.Violations)
	r.rivalsOwn += len(theirs.Violations)
	switch {
	case ours.Unplaced < theirs.Unplaced:
		r.morePlaced++
		return
	case ours.Unplaced > theirs.Unplaced:
		r.fewerPlaced++
		return
	case theirs.CostPerHour == 0:
		return
	}
	ratio := ours.CostPerHour / theirs.CostPerHour
	switch {
	case ratio < 1-1e-9:
		r.cheaper++
	case ratio > 1+1e-9:
		r.dearer++
	default:
		r.equal++
		ratio = 1
	}
	if !(ratio <= r.worst) {
		r.worst, r.worstOn = ratio, at
	}
	r.logs += math.Log(ratio)
}

// mean is the geometric mean of Supercargo's cost over Karpenter's, NaN where nothing could be compared.
func (r *sweepResult) mean() float64 {
	return math.Exp(r.logs / float64(r.cheaper+r.equal+r.dearer))
}
