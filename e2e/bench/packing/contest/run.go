package contest

import (
	"context"
	"fmt"
	"time"

	"supercargo.dev/e2e/bench/measure"
	"supercargo.dev/e2e/bench/report"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// Result is what an engine made of a problem: one plan, which it makes again in each run, and what the runs took.
type Result struct {
	Engine Engine
	// Pods of the problem, Types to choose from.
	Pods, Types int
	// Runs that were made; the figures below are their medians, but for PeakBytes, which is the most of any run.
	Runs int
	// Phases by the clock, CPU what all threads of the process used of processors in one run, inputs included.
	Phases Phases
	CPU    time.Duration
	// PeakBytes of heap that a run added at the most, garbage included; HeapBytes with what was there before, such as pods.
	PeakBytes, HeapBytes int64
	// CostPerHour of the plan and the least that any plan could cost that places the same pods, in USD.
	CostPerHour, LowerBound float64
	// NodesUsed is the number of nodes to buy, Unplaced that of pods left out.
	NodesUsed, Unplaced int
	// Violations of kube-scheduler's rules; nil as well when Unchecked.
	Violations []oracle.Violation
}

// PodsPerSecond by the clock.
func (r *Result) PodsPerSecond() float64 { return float64(r.Pods) / r.Phases.Total().Seconds() }

// Placed is the number of pods that got a node.
func (r *Result) Placed() int { return r.Pods - r.Unplaced }

// Limits of a comparison.
type Limits struct {
	// Runs of each engine, 1 at the least.
	Runs int
	// Patience bounds the time that one engine gets for all its runs; a run that has begun is always finished.
	Patience time.Duration
}

// Compare lets the engines solve a problem in turns and judges what they made of it. An engine starts every run from nothing.
func Compare(ctx context.Context, in *Input, engines []Engine, l Limits) ([]Result, error) {
	in.Register()
	problem, err := in.problem()
	if err != nil {
		return nil, err
	}
	entrants := make([]*entrant, len(engines))
	for i, e := range engines {
		entrants[i] = &entrant{engine: e}
	}
	for n := range max(1, l.Runs) {
		for _, e := range entrants {
			if n > 0 && l.Patience > 0 && e.spent+e.spent/time.Duration(n) > l.Patience {
				continue
			}
			if err := e.run(ctx, in); err != nil {
				return nil, fmt.Errorf("run %d of %s, %w", n+1, e.engine, err)
			}
		}
	}
	results := make([]Result, len(entrants))
	for i, e := range entrants {
		if results[i], err = e.result(ctx, &problem, in); err != nil {
			return nil, fmt.Errorf("judging %s, %w", e.engine, err)
		}
	}
	if err := bound(&problem, results, entrants); err != nil {
		return nil, err
	}
	return results, nil
}

// entrant is an engine with its runs so far.
type entrant struct {
	engine Engine
	spent  time.Duration
	phases []Phases
	usage  []measure.Usage
	plan   packing.Plan
}

func (e *entrant) run(ctx context.Context, in *Input) error {
	p := prepare(ctx, e.engine, in)
	var made run
	usage, err := measure.Run(func() (err error) {
		made, err = p.solve(e.engine)
		return err
	})
	if err == nil {
		err = ctx.Err() // an engine that was interrupted returns what it has
	}
	if err != nil {
		return err
	}
	e.spent += usage.Wall
	e.phases, e.usage = append(e.phases, made.phases), append(e.usage, usage)
	if len(e.phases) > 1 {
		return nil // the first plan is judged; later runs are for time and memory
	}
	e.plan, err = made.plan()
	return err
}

func (e *entrant) result(ctx context.Context, p *packing.Problem, in *Input) (Result, error) {
	v, err := judge(ctx, p, &e.plan)
	if err != nil {
		return Result{}, err
	}
	r := Result{
		Engine: e.engine, Pods: len(in.Pods), Types: in.Types(), Runs: len(e.phases),
		Phases: Phases{
			Inputs: median(e.phases, func(p Phases) time.Duration { return p.Inputs }),
			Build:  median(e.phases, func(p Phases) time.Duration { return p.Build }),
			Solve:  median(e.phases, func(p Phases) time.Duration { return p.Solve }),
		},
		CPU:         median(e.usage, func(u measure.Usage) time.Duration { return u.CPU }),
		CostPerHour: v.costPerHour, NodesUsed: v.nodes, Unplaced: v.unplaced, Violations: v.violations,
	}
	for _, u := range e.usage {
		r.PeakBytes = max(r.PeakBytes, u.PeakBytes)
		r.HeapBytes = max(r.HeapBytes, u.PeakBytes+u.BaseBytes)
	}
	return r, nil
}

// bound gives every result the same lower bound: the best for plans that place the pods which Supercargo's places. It is
// computed outside of what is timed.
func bound(p *packing.Problem, results []Result, entrants []*entrant) error {
	for _, e := range entrants {
		if e.engine != Supercargo {
			continue
		}
		usd, err := packing.Bound(*p, &e.plan)
		if err != nil {
			return fmt.Errorf("bounding the cost, %w", err)
		}
		for i := range results {
			results[i].LowerBound = usd
		}
	}
	return nil
}

func median[T any](all []T, of func(T) time.Duration) time.Duration {
	values := make([]float64, len(all))
	for i := range all {
		values[i] = float64(of(all[i]))
	}
	return time.Duration(report.Median(values))
}
