package packing

import (
	"context"
	"slices"
)

// Solve finds a plan. It fails only when the problem cannot be understood: a nil
// pod, two nodes of one name, a selector that does not parse. When ctx ends or
// the time budget is spent, it returns the best plan so far with
// Stats.Truncated set; pods that had not been looked at are then unplaced.
func Solve(ctx context.Context, p Problem) (Plan, error) {
	p.Options = p.Options.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, p.Options.TimeBudget)
	defer cancel()

	var m mode
	s, plan, err := solve(ctx, &p, m)
	if err != nil {
		return Plan{}, err
	}
	try := func(m mode, better func(a, than *Plan) bool) error {
		if ctx.Err() == nil {
			solver, other, err := solve(ctx, &p, m)
			if err != nil {
				return err
			}
			if better(&other, &plan) {
				s, plan = solver, other
			}
		}
		return nil
	}
	noWorse := func(a, than *Plan) bool { return p.compareUnplaced(a, than) <= 0 }
	if plan.Stats.Evicted > 0 {
		m.strict = true
		if err := try(m, noWorse); err != nil {
			return Plan{}, err
		}
	}
	if p.yielding = p.yield(&plan); len(p.yielding) > 0 {
		if err := try(m, noWorse); err != nil {
			return Plan{}, err
		}
	}
	if p.inverted(&plan) {
		m.tiered = true
		if err := try(m, noWorse); err != nil {
			return Plan{}, err
		}
	}
	since := 0 // variants since the best
	for n := range p.variants(s, &plan) {
		if plan.Gap <= goodEnough-1 || since == fruitless && len(p.Pods) > fewPods {
			break
		}
		m.variant, since = uint64(n+1), since+1
		if err := try(m, p.cheaper); err != nil {
			return Plan{}, err
		}
		if s.variant == m.variant {
			since = 0
		}
	}
	m.variant = s.variant
	if broken, _ := s.hostRules(); broken > 0 && p.Options.MaxCost <= 0 {
		m.caps = s.hostCaps()
		if err := try(m, p.worthwhile); err != nil {
			return Plan{}, err
		}
	}
	s.sharpen(&plan)
	plan.Stats.Truncated = plan.Stats.Truncated || ctx.Err() != nil
	return plan, nil
}

// mode is a way to solve a problem.
type mode struct {
	// strict reads spread domains more widely; see compile.
	strict bool
	// tiered packs pods of higher priority before those of lower.
	tiered bool
	// caps are limits per node to keep, by group; see hostCaps.
	caps map[int]int32
	// variant is another choice of domains and of what is taken apart; 0 is the first.
	variant uint64
}

// variantPods is the number of pods beyond which only one variant is tried, and
// variantWork, over the square of the number of pods, how many are tried: nodes that few pods
// share are worth more of them.
const (
	variantPods = 300
	variantWork = 60_000
	maxVariants = 24
)

// fruitless is after how many variants that were no better no more are tried, unless there are so few pods that all cost next to
// nothing, and one more node is much of the price.
const (
	fruitless = 6
	fewPods   = 30
)

// Every other variant varies the prices of domains slightly, to divide pods otherwise
// among zones of about one price, or widely, as it takes to put a pod that might be on spot
// beside one that must not.
const (
	slightly = 0.5
	widely   = 2.0
)

// variants is how often a small problem is solved anew: where there are few nodes it
// matters which domain each pod is in, and how the last nodes are filled. A problem that was
// solved exactly, with no choice of domains, has no variants.
func (p *Problem) variants(s *solver, plan *Plan) int {
	if len(p.Pods) > variantPods || p.Options.Effort < 1 || p.Options.MaxCost > 0 || len(plan.Nodes) == 0 {
		return 0
	}
	choice := slices.ContainsFunc(s.assign.items, func(it *item) bool { return it.cell != nil })
	if s.stats.Exact && !choice {
		return 0
	}
	if len(p.Pods) <= fewPods {
		return maxVariants
	}
	return min(maxVariants, int(p.Options.Effort*variantWork)/(len(p.Pods)*len(p.Pods)))
}

// cheaper tells whether a plan is better: by what has no place, then by cost and what it
// breaks of preferences.
func (p *Problem) cheaper(a, than *Plan) bool {
	if o := p.compareUnplaced(a, than); o != 0 {
		return o < 0
	}
	return a.Stats.UnknownPrices <= than.Stats.UnknownPrices && p.price(a) < p.price(than)-1e-9
}

// price is what plans are compared by, in USD per hour.
func (p *Problem) price(plan *Plan) float64 {
	return plan.Cost + p.Options.NodeFee*float64(len(plan.Nodes)) + plan.Stats.PreferencePrice
}
