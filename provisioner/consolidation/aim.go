package consolidation

import (
	"cmp"
	"context"
	"math"
	"slices"

	"supercargo.dev/provisioner/packing"
)

// aim decides what the cluster is to become: it marks as leaving the nodes that a
// packing of the whole cluster is better off without, and returns them by what they
// save for the cost of moving their pods, most first.
//
// The nodes are lined up by how dear they are for what they can hold, and so many of
// the dearest leave that what the others and the nodes bought for their pods cost, with
// the moves weighed in, is least. Each number tried is one packing of all displaced
// pods, not a guess: room that no pod fits into counts as lost.
func (h *hunt) aim(ctx context.Context) ([]*member, error) {
	line := slices.DeleteFunc(h.fleet.byPromise(), func(m *member) bool { return !h.rule(m) })
	numbers := sizes(len(h.part(line)), len(line))
	for _, m := range line {
		m.leaving = false
	}
	slices.SortStableFunc(line, func(a, b *member) int { return cmp.Compare(b.dear, a.dear) })
	// The rest of the time is for carrying it out.
	ctx, cancel := context.WithTimeout(ctx, h.options.TimeBudget/aimPart)
	defer cancel()
	pools := h.pools(math.Inf(1))
	best, least := numbers[0], math.Inf(1)
	if len(line) > maxAimed {
		numbers = nil
	}
	for _, n := range numbers {
		if ctx.Err() != nil {
			break
		}
		cost, err := h.without(ctx, line[:n], pools)
		if err != nil {
			return nil, err
		}
		if cost < least {
			best, least = n, cost
		}
	}
	out := line[:best]
	for _, m := range out {
		m.leaving = true
	}
	slices.SortStableFunc(out, bySaving)
	return out, nil
}

// aimPart is the part of the time that aim may take: one of so many. Where not one
// packing is done in it, the number of nodes that leave is guessed from sums.
const aimPart = 4

// maxAimed is the number of nodes beyond which one packing of them all takes so long
// that the guess has to do.
const maxAimed = 1000

// bySaving orders nodes by their price for the cost of moving all their pods, most first.
func bySaving(a, b *member) int {
	return cmp.Compare(b.Node.Price/(b.moving()+1e-6), a.Node.Price/(a.moving()+1e-6))
}

// sizes are the numbers of leaving nodes that are tried: around the number that the
// rest would have room for if all of it could be used, and all.
func sizes(base, all int) []int {
	var out []int
	for _, share := range []float64{1, 0.97, 1.03, 1.06, 1.12, 1.2, 1.4} {
		if n := min(all, int(math.Round(float64(base)*share))); !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	if !slices.Contains(out, all) {
		out = append(out, all)
	}
	return out
}

// without is what the cluster would cost per hour without a set of nodes, their pods
// packed anew, and the moves written off over the horizon; +Inf when pods would have
// no place.
func (h *hunt) without(ctx context.Context, set []*member, pools []packing.Pool) (float64, error) {
	var pods []packing.Pod
	cost := h.fleet.cost()
	for _, m := range set {
		cost += h.weight*m.moving()/h.options.Horizon.Hours() - m.Node.Price
		for _, k := range m.movable {
			pods = append(pods, m.successor(k))
		}
	}
	plan, err := h.fleet.solve(ctx, pods, set, pools, 0)
	switch {
	case err != nil:
		return 0, err
	case ctx.Err() != nil: // it is not complete
		return math.Inf(1), nil //nolint:nilerr // it is a reason and not a failure
	case len(plan.Unplaced) > 0 || plan.Stats.UnknownPrices > 0:
		return math.Inf(1), nil
	}
	return cost + plan.Cost, nil
}

// replace gives up nodes whose pods the others have not enough room for: together, so
// that few nodes of the right sizes are bought for what has no place. It returns those
// that stay after all.
func (h *hunt) replace(ctx context.Context, rest []*member) ([]*member, error) {
	var stay []*member
	for len(rest) > 0 && ctx.Err() == nil && !h.full() {
		set := h.extend(nil, rest, h.options.MaxRemove)
		if len(set) == 0 {
			break // the budgets are spent
		}
		rest = slices.DeleteFunc(slices.Clone(rest), func(m *member) bool { return slices.Contains(set, m) })
		for _, m := range set {
			m.leaving = false
		}
		t, err := h.try(ctx, set, true)
		if err != nil {
			return nil, err
		}
		if t.why == "" {
			h.accept(t)
			continue
		}
		for _, m := range set {
			m.leaving = true
		}
		stay = append(stay, set...)
	}
	return append(stay, rest...), nil
}
