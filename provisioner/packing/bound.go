package packing

import (
	"fmt"
	"math"
)

// boundSlack keeps the bound on the safe side of rounding errors.
const boundSlack = 1 - 1e-9

// bound sets a lower bound on the cost of any plan that places the same pods,
// the better of two:
//
//   - the cover: nodes must be bought for what the pods ask for in total, and for
//     those that may not share a node, beyond what existing nodes have, at the
//     least price that any mixture of offerings has (see cover);
//   - Farley's: for any non-negative price of each class, no node holds pods
//     worth more than the optimum of a knapsack's relaxation; scaling the prices
//     until no offering holds more than it costs makes them a feasible solution
//     of the packing LP's dual, whose value less what existing nodes can hold is
//     a bound. (A. A. Farley, "A note on bounding a class of linear programming
//     problems, including cutting stock problems", Oper. Res. 38, 1990.)
//
// Of the rules between pods they know only how many of some pods a node may hold:
// by anti-affinity over the host name, by host ports, and by spread over the host
// name, read as Karpenter does: a node that may still be added counts as empty.
func (s *solver) bound(out *Plan) {
	placed := s.placed(out)
	wanted := s.c.wantedPods(placed)
	s.stats.ResourceBound = s.c.cover(wanted, s.c.t.existing(), false).value
	bound := math.Max(s.stats.ResourceBound, s.c.cover(wanted, s.c.t.existing(), true).value)
	if s.raised { // otherwise Farley's says what the cover does
		bound = math.Max(bound, s.farley(placed))
	}
	out.raise(bound * boundSlack)
}

// raise takes a lower bound.
func (out *Plan) raise(bound float64) {
	out.LowerBound, out.Gap = bound, 0
	switch {
	case out.LowerBound > 0:
		out.Gap = math.Max(out.Cost/out.LowerBound-1, 0)
	case out.Cost > 0:
		out.Gap = math.Inf(1)
	}
}

// sharpPods is up to how many pods Solve sharpens the bound by itself: it takes about 50 ms of
// processor time, however many pods there are, and is not needed to find a plan.
const sharpPods = 3000

// sharpen raises the bound of a plan that is not close to it yet to that of the sharing; see
// sharingBound.
func (s *solver) sharpen(out *Plan) {
	o := &s.c.p.Options
	if len(s.c.p.Pods) > sharpPods || out.Gap <= goodEnough-1 || out.Stats.Truncated || o.MaxCost > 0 || o.Effort < 1 {
		return
	}
	if bound := s.sharp(out); bound > out.LowerBound {
		out.raise(bound)
	}
}

// sharp is the bound of the sharing for the pods that a plan places.
func (s *solver) sharp(out *Plan) float64 {
	known := math.Inf(1)
	if out.Stats.UnknownPrices == 0 {
		known = out.Cost
	}
	return s.c.sharingBound(s.c.wantedPods(s.placed(out)), s.c.t.existing(), known) * boundSlack
}

// Bound is the best lower bound that is known on what plans cost that place the pods which a
// plan of Solve for the same problem places, in USD per hour. It is never below the plan's
// LowerBound, and above it for large problems, where Solve does not spend the time. It fails
// when the problem cannot be understood.
func Bound(p Problem, plan *Plan) (float64, error) {
	p.Options = p.Options.withDefaults()
	c, err := compile(&p, false)
	if err != nil {
		return 0, fmt.Errorf("compiling problem, %w", err)
	}
	return math.Max(plan.LowerBound, (&solver{c: c}).sharp(plan)), nil
}

// placed counts the placed pods of each class that priced nodes could be bought
// for; the others may go where the price is not known, and count for nothing.
func (s *solver) placed(out *Plan) []int {
	left := map[int32]bool{}
	for _, u := range out.Unplaced {
		left[int32(u.Pod)] = true
	}
	counts := make([]int, len(s.c.classes))
	for i, c := range s.c.classes {
		if !s.anyPriced(c) {
			continue
		}
		counts[i] = len(c.pods)
		if len(left) == 0 {
			continue
		}
		for _, pod := range c.pods {
			if left[pod] {
				counts[i]--
			}
		}
	}
	return counts
}

func (s *solver) anyPriced(c *class) bool {
	found := false
	c.fits.each(func(i int) bool {
		found = i < s.c.t.first && s.c.t.all[i].priced
		return !found && i < s.c.t.first
	})
	return found
}

// farley evaluates the class prices that the search ended with.
func (s *solver) farley(placed []int) float64 {
	c := s.c
	worth := s.classWorth()
	kinds, y := s.boundKinds(placed, worth)
	if len(kinds) == 0 {
		return 0
	}
	p := &pricing{c: c, kinds: kinds}
	for r := range c.d.names {
		p.rows = append(p.rows, r)
	}
	limits := c.t.pools
	c.t.pools = make([]poolLimit, len(limits)) // bought up or not, they count
	p.offers = buildOffers(c, kinds)
	c.t.pools = limits
	theta := math.Inf(1)
	for o := range p.offers {
		sl := &c.t.all[p.offers[o].slot]
		if !sl.priced || !p.load(o, fillOf{y: y}) {
			continue
		}
		if most := p.sack.solve(); most > 0 {
			theta = math.Min(theta, s.least(p, o)/most)
		}
	}
	if math.IsInf(theta, 1) {
		return 0
	}
	value := 0.0
	for i, k := range kinds {
		value += y[i] * float64(k.demand)
	}
	for i := c.t.first; i < len(c.t.all); i++ {
		p.offers = append(p.offers[:0], offer{slot: i, kinds: newBitset(len(kinds))})
		for k := range kinds {
			if kinds[k].slots.has(i) {
				p.offers[0].kinds.set(k)
			}
		}
		if p.load(0, fillOf{y: y}) {
			value -= p.sack.solve()
		}
	}
	return theta * value
}

// least is a floor on the price of an offer and of all that it beat: those are
// compared by cost, which may charge this offer's risk more than theirs less.
func (s *solver) least(p *pricing, o int) float64 {
	sl := &s.c.t.all[p.offers[o].slot]
	if s.c.p.Options.InterruptionCost == 0 {
		return sl.price
	}
	worst := 0.0
	for i := range s.c.t.first {
		if x := &s.c.t.all[i]; x.priced {
			worst = max(worst, x.cost-x.price-s.c.p.Options.NodeFee)
		}
	}
	return max(0, sl.cost-s.c.p.Options.NodeFee-worst)
}

// classWorth is the price of one more pod of each class: the mean over the items
// its pods are in, which share a bundle's by the size of their requests.
func (s *solver) classWorth() map[*class]float64 {
	sum, n := map[*class]float64{}, map[*class]float64{}
	for _, it := range s.assign.items {
		if it.index >= len(s.worth) {
			continue
		}
		total := 0.0
		for _, p := range it.u.parts {
			total += s.share(p.c.req) * float64(p.n)
		}
		copies := float64(len(it.pods) / it.u.size)
		for _, p := range it.u.parts {
			w := s.worth[it.index]
			if total > 0 {
				w *= s.share(p.c.req) / total
			}
			sum[p.c] += w * copies * float64(p.n)
			n[p.c] += copies * float64(p.n)
		}
	}
	for c := range sum {
		if n[c] > 0 {
			sum[c] /= n[c]
		}
	}
	return sum
}

func (s *solver) share(req vec) float64 {
	w := 0.0
	for r, x := range req {
		w += float64(x) / s.c.scale[r]
	}
	return w
}

// boundKinds groups classes of one request and one set of priced slots.
func (s *solver) boundKinds(placed []int, worth map[*class]float64) ([]*kind, []float64) {
	c := s.c
	priced := newBitset(len(c.t.all))
	for i := range c.t.all {
		if c.t.all[i].existing || c.t.all[i].priced {
			priced.set(i)
		}
	}
	var kinds []*kind
	var value []float64
	byKey := map[string]int{}
	for i, cl := range c.classes {
		if placed[i] == 0 || worth[cl] <= 0 {
			continue
		}
		slots := cl.fits.clone()
		slots.and(priced)
		u := newUnit(c.groups, []part{{cl, 1}}, cl.pods)
		most := min(u.perNodeCap(c.groups), placed[i])
		key := string(appendVec(nil, cl.req)) + slots.key()
		if most < placed[i] {
			key += "c"
		}
		k, ok := byKey[key]
		if !ok {
			k = len(kinds)
			byKey[key] = k
			kinds = append(kinds, &kind{req: cl.req, slots: slots})
			value = append(value, 0)
		}
		kinds[k].demand += placed[i]
		kinds[k].perNode += most
		value[k] += worth[cl] * float64(placed[i])
	}
	for k := range value {
		value[k] /= float64(kinds[k].demand)
	}
	return kinds, value
}
