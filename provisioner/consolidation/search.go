package consolidation

import (
	"context"
	"fmt"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeBudget        = 2 * time.Second
	DefaultMinSavingFraction = 0.03
	DefaultMinSavingPerHour  = 0.01
	DefaultHorizon           = time.Hour
	DefaultLaunchOverlap     = 3 * time.Minute
	DefaultBreakEven         = 15 * time.Minute
	DefaultPodCost           = 0.0005
	DefaultMaxRemove         = 30
)

func (o Options) withDefaults() Options {
	if o.TimeBudget <= 0 {
		o.TimeBudget = DefaultTimeBudget
	}
	o.MinSavingFraction = orDefault(o.MinSavingFraction, DefaultMinSavingFraction)
	o.MinSavingPerHour = orDefault(o.MinSavingPerHour, DefaultMinSavingPerHour)
	o.DefaultPodCost = orDefault(o.DefaultPodCost, DefaultPodCost)
	if o.Horizon <= 0 {
		o.Horizon = DefaultHorizon
	}
	if o.LaunchOverlap <= 0 {
		o.LaunchOverlap = DefaultLaunchOverlap
	}
	if o.BreakEven == 0 {
		o.BreakEven = DefaultBreakEven
	}
	if o.MaxRemove <= 0 {
		o.MaxRemove = DefaultMaxRemove
	}
	o.Packing.InterruptionCost = o.InterruptionCost
	return o
}

// orDefault reads zero as the default and a negative value as none.
func orDefault(v, standard float64) float64 {
	switch {
	case v == 0:
		return standard
	case v < 0:
		return 0
	}
	return v
}

// Search finds moves. It fails only when the state cannot be understood. When ctx
// ends or the time budget is spent it returns the moves found so far, each of
// which is complete: every displaced pod has a place.
//
// It aims first: packings of the whole cluster say which nodes it is better off without, and where
// their pods go. What they say is carried out in as many moves as it falls into, best saving per cost
// of moving first. Moves count for more than they cost at first; those that merely pay are left for a
// search that finds no better ones. Where no packing of the whole finds anything, it goes from node to
// node, those that promise most first, and tries to replace each alone and together with the next.
func Search(ctx context.Context, s State) (Plan, error) {
	start := time.Now()
	s.Options = s.Options.withDefaults()
	// The rest is for saying what was found.
	ctx, cancel := context.WithTimeout(ctx, s.Options.TimeBudget*9/10)
	defer cancel()
	f, err := newFleet(ctx, &s)
	if err != nil {
		return Plan{}, fmt.Errorf("reading cluster state, %w", err)
	}
	var plan Plan
	if plan.LowerBound, err = f.lowerBound(); err != nil {
		return Plan{}, fmt.Errorf("bounding cost, %w", err)
	}
	plan.Cost = f.cost()
	h := &hunt{fleet: f, options: &s.Options}
	h.empties()
	if err := h.run(ctx); err != nil {
		return Plan{}, fmt.Errorf("searching moves, %w", err)
	}
	plan.Moves = h.moves
	plan.After = f.cost()
	plan.LowerBound = min(plan.LowerBound, plan.After)
	plan.Kept = f.kept(ctx, h.found > 0)
	plan.Stats = Stats{Tried: h.tried, Found: h.found, Truncated: ctx.Err() != nil, Elapsed: time.Since(start)}
	return plan, nil
}

// run looks for moves. Those that save much for what they disturb come first; others are left
// for when there are none of them.
func (h *hunt) run(ctx context.Context) error {
	for _, weight := range []float64{h.fleet.moveWeight(), 1} {
		if err := h.pursue(ctx, weight); err != nil || h.found > 0 {
			return err
		}
	}
	return h.grow(ctx)
}

// pursue aims and carries out, again and again, until nothing comes of it.
func (h *hunt) pursue(ctx context.Context, weight float64) error {
	for before := -1; before < h.found && ctx.Err() == nil && !h.full(); {
		before = h.found
		t, err := h.aim(ctx, weight)
		if err != nil {
			return err
		}
		if err := h.carry(ctx, t, weight); err != nil {
			return err
		}
	}
	return nil
}
