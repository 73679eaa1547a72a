package packing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeBudget          = 5 * time.Second
	DefaultNodeFee             = 0.0002
	DefaultPreferencePrice     = 0.0005
	DefaultMaxAlternatives     = 60
	DefaultAlternativePriceCap = 2.0
)

func (o Options) withDefaults() Options {
	if o.TimeBudget <= 0 {
		o.TimeBudget = DefaultTimeBudget
	}
	switch {
	case o.NodeFee == 0:
		o.NodeFee = DefaultNodeFee
	case o.NodeFee < 0:
		o.NodeFee = 0
	}
	switch {
	case o.PreferencePrice == 0:
		o.PreferencePrice = DefaultPreferencePrice
	case o.PreferencePrice < 0:
		o.PreferencePrice = 0
	}
	if o.MaxAlternatives <= 0 {
		o.MaxAlternatives = DefaultMaxAlternatives
	}
	if o.AlternativePriceCap <= 0 {
		o.AlternativePriceCap = DefaultAlternativePriceCap
	}
	if o.MaxNodeShare <= 0 || o.MaxNodeShare > 1 {
		o.MaxNodeShare = 1
	}
	if o.MaxSpotPoolShare <= 0 || o.MaxSpotPoolShare > 1 {
		o.MaxSpotPoolShare = 1
	}
	if o.Effort == 0 {
		o.Effort = 1
	}
	return o
}

// solve finds a plan.
func solve(ctx context.Context, p *Problem, m mode) (*solver, Plan, error) {
	clock := time.Now()
	c, err := compile(p, m.strict)
	if err != nil {
		return nil, Plan{}, fmt.Errorf("compiling problem, %w", err)
	}
	c.capHosts(m.caps)
	s := &solver{
		c: c, assign: newAssigner(c), rng: rand.New(rand.NewPCG(p.Options.Seed, 0x5ca1ab1e+m.variant)), variant: m.variant,
		disturbed: map[int]bool{},
	}
	if m.variant > 0 {
		s.assign.rng, s.assign.varied = s.rng, slightly
		if m.variant%2 == 0 {
			s.assign.varied = widely
		}
	}
	s.lap(&s.stats.Compile, &clock)
	for _, tier := range tiers(c.units(), m.tiered) {
		waiting := s.takeStuck() // for company of lower priority, it may be
		s.assign.run(tier)
		s.again(waiting)
		s.lap(&s.stats.Construct, &clock)
		s.pack(ctx, &clock)
	}
	s.settle(ctx, &clock)
	s.diversify()
	s.check()
	if p.Options.MaxCost > 0 && len(p.Pools) == 0 && (s.todo() || len(s.assign.stuck) > 0) {
		s.stats.TooDear = true
	}
	c.capHosts(nil) // they do not bind the bound, nor explain what has no place
	plan := s.plan(ctx)
	s.stats.Truncated = ctx.Err() != nil
	s.stats.Classes, s.stats.Options = len(c.classes), len(c.t.all)
	plan.Stats = s.stats
	return s, plan, nil
}

// solver carries one problem from items to a plan.
type solver struct {
	c      *compiled
	assign *assigner
	rng    *rand.Rand
	bins   []*bin // bought
	stats  Stats
	// worth is the price of one more copy of each item, by item index.
	worth []float64
	// raised is set when worth is more than what the cover says.
	raised bool
	// disturbed groups had pods counted that found no room after all.
	disturbed map[int]bool
	// variant of the solution; see mode.
	variant uint64
}

func (s *solver) lap(into *time.Duration, clock *time.Time) {
	now := time.Now()
	*into += now.Sub(*clock)
	*clock = now
}

// maxPackRounds bounds how often pods that found no room under a pool's limits
// are offered to the next pools and cells.
const maxPackRounds = 8

// pack packs all items: first from the pools that they prefer, then, for what
// those have no room for, from the next, then in other cells.
func (s *solver) pack(ctx context.Context, clock *time.Time) {
	for range maxPackRounds {
		if !s.todo() {
			return
		}
		s.round(ctx, clock)
		if ctx.Err() != nil || s.stats.TooDear || !s.fallBack() {
			return
		}
	}
}

func (s *solver) todo() bool {
	for _, it := range s.assign.items {
		if it.todo > 0 {
			return true
		}
	}
	return false
}

// round packs what is left once and commits the result.
func (s *solver) round(ctx context.Context, clock *time.Time) {
	if s.onExisting() {
		s.lap(&s.stats.Construct, clock)
		return
	}
	price := newPricing(s.c, s.assign.items)
	price.run(ctx)
	s.raised = s.raised || price.raised
	s.lap(&s.stats.Price, clock)

	p := newPacker(s.c, s.assign.items, price)
	p.fillExisting()
	s.fillBought(p)
	price.bound = p.boundRest()
	if most := s.c.p.Options.MaxCost; most > 0 && price.bound > most {
		s.stats.TooDear = true
		return
	}
	if !p.exact(ctx) {
		p.construct(ctx, s.rng, int(constructShare*float64(s.work())))
		s.reprice(ctx, p)
	} else {
		s.stats.Exact = true
	}
	p.base = append([]int(nil), p.left...)
	s.lap(&s.stats.Construct, clock)

	if len(price.kinds) > 0 && s.c.p.Options.Effort > 0 && !s.stats.Exact && !s.hopeless(p) {
		m := &improver{p: p, rng: s.rng}
		m.empty(ctx, max(20, len(p.bins)/10))
		m.recreate(ctx, min(s.work(), price.work+int((1-constructShare)*float64(s.work()))))
		p.shrinkAll()
		s.stats.Rounds += m.rounds
	}
	s.lap(&s.stats.Improve, clock)
	s.commit(p)
}

// onExisting puts everything on existing nodes if it all fits there: then there
// is nothing to price.
func (s *solver) onExisting() bool {
	if len(s.c.existing) == 0 {
		return false
	}
	p := newPacker(s.c, s.assign.items, &pricing{c: s.c})
	p.fillExisting()
	if slices.Max(p.left) > 0 {
		return false
	}
	s.commit(p)
	return true
}

// commit makes a packing's result the state that later rounds start from.
func (s *solver) commit(p *packer) {
	s.bins = append(s.bins, p.bins...)
	for i, b := range p.existing {
		*s.c.existing[i] = *b
	}
	s.c.t.pools = p.limits
	for len(s.worth) < len(s.assign.items) {
		s.worth = append(s.worth, 0)
	}
	for i, it := range s.assign.items {
		it.todo = p.left[i]
		if k := p.kindOf(i); k >= 0 && it.kind < len(p.price.y) && s.worth[i] == 0 {
			s.worth[i] = p.price.y[it.kind]
		}
	}
}

// fallBack offers what is left to pools of the next lower weight, and what has
// none to other cells; false when nothing can change.
func (s *solver) fallBack() bool {
	if !s.todo() && len(s.assign.stuck) == 0 {
		return false
	}
	changed := false
	var again []stuck
	for _, it := range s.assign.items {
		if it.todo == 0 {
			continue
		}
		if it.rank > 0 && it.narrow(s.c.t, it.rank) {
			changed = true
			continue
		}
		if it.cell == nil {
			continue
		}
		from := len(it.pods) - it.todo*it.u.size
		pods := it.pods[from:]
		it.pods = it.pods[:from:from]
		s.assign.tally(it.u, it.cell, -int32(it.todo))
		it.todo = 0
		if it.u.banned == nil {
			it.u.banned = map[string]bool{}
		}
		it.u.banned[it.cell.id] = true
		s.disturb(it.u)
		for _, p := range it.u.parts {
			p.c.opens = p.c.opens.clone()
			p.c.opens.andNot(it.open)
		}
		again = append(again, stuck{it.u, pods})
	}
	if s.dropDomains() {
		again = append(again, s.takeStuck()...)
	}
	return s.again(again) || changed
}

// takeStuck empties the list of pods without a cell.
func (s *solver) takeStuck() []stuck {
	list := s.assign.stuck
	s.assign.stuck = nil
	return list
}

// again tries to find cells for pods that had none; true when some pod got one.
func (s *solver) again(list []stuck) bool {
	changed := false
	for _, a := range list {
		rest := s.assign.assign(a.u, a.pods)
		changed = changed || len(rest) < len(a.pods)
		if len(rest) > 0 {
			s.assign.stuck = append(s.assign.stuck, stuck{a.u, rest})
		}
	}
	return changed
}
