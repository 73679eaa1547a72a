package packing

import (
	"context"
	"math"
	"slices"
)

// reprice constructs again with better prices where the cover's did badly.
func (s *solver) reprice(ctx context.Context, p *packer) {
	if s.c.p.Options.Effort < 0.5 || len(p.price.kinds) == 0 || len(p.price.offers) == 0 {
		return
	}
	if len(p.bins) < fewBins && !p.price.raised {
		return // it is rather that few nodes cannot all be full
	}
	was := p.outcome()
	if ctx.Err() != nil || was.cost <= farFromBound*p.price.bound || p.apartMost() {
		return
	}
	was.bins, was.limits, was.left, was.kindLeft = p.bins, p.snapshotLimits(), slices.Clone(p.left), slices.Clone(p.kindLeft)
	y, hot := slices.Clone(p.price.y), slices.Clone(p.price.hot)
	p.price.generate(ctx)
	s.raised = true
	s.stats.Columns += p.price.columns
	p.restart()
	p.construct(ctx, s.rng, p.price.work+s.work()/2)
	if now := p.outcome(); !now.better(&was) {
		p.bins, p.limits = was.bins, was.limits
		copy(p.left, was.left)
		copy(p.kindLeft, was.kindLeft)
		p.price.y, p.price.hot = y, hot
	}
}

// hopelessly is how far above Options.MaxCost a construction may be for improvement
// to be worth a try.
const hopelessly = 1.1

func (s *solver) hopeless(p *packer) bool {
	most := s.c.p.Options.MaxCost
	return most > 0 && p.outcome().cost > hopelessly*most
}

// Work that the search may spend, in units of pricing.work. Few pods are worth more
// of it each, for there what the last nodes waste counts for more.
const (
	workPerPod     = 10
	smallWork      = 4_000_000
	smallPerPod    = 6000
	largePods      = 4000
	largeWorkShare = 0.2
)

// constructShare is the part of the work that construction may spend; the rest is for taking
// nodes apart.
const constructShare = 0.85

// work is what the search may spend in all.
func (s *solver) work() int {
	todo := 0.0
	for _, it := range s.assign.items {
		todo += float64(it.todo * it.u.size)
	}
	w := math.Min(smallPerPod*todo, smallWork) * math.Max(1-todo/largePods, largeWorkShare)
	return int(math.Max(s.c.p.Options.Effort, 0) * (w + workPerPod*todo))
}
