package consolidation

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"supercargo.dev/provisioner/packing"
)

// target is what the cluster could become: a packing of the pods of some nodes on the others
// and on new ones.
type target struct {
	set []*member
	// leaving take no pods though they are not in the set: they will be in a later one.
	leaving []*member
	pods    []placed
	from    []int // the index in set of the node that each pod is on
	plan    packing.Plan
	// cost in USD per hour of the whole cluster, with the moves written off over the
	// horizon; +Inf when pods would have no place.
	cost float64
}

// aim looks for what the cluster is to become when the cost of moving a pod counts so many
// times. A target without nodes says that it is best left as it is.
//
// The nodes are lined up by how dear they are for what they can hold. Where in the line to
// draw the border between those that leave and those that stay is tried first, then what
// comes of letting single nodes near it change sides. Each trial is one packing of all
// displaced pods, not a guess: room that no pod fits into counts as lost.
func (h *hunt) aim(ctx context.Context, weight float64) (*target, error) {
	line := slices.DeleteFunc(h.fleet.byPromise(), func(m *member) bool { return m.took || m.stuck || !h.rule(m) })
	for _, m := range line {
		m.dear = h.fleet.dear(m, weight)
	}
	slices.SortStableFunc(line, func(a, b *member) int { return cmp.Compare(b.dear, a.dear) })
	pools := h.pools(math.Inf(1))
	if len(line) > maxSwept {
		return h.slice(ctx, line[:h.fleet.dispensable(line)], pools, weight)
	}
	// The rest of the time is for carrying it out.
	ctx, cancel := context.WithTimeout(ctx, h.options.TimeBudget/aimPart)
	defer cancel()
	best := &target{cost: h.fleet.cost()}
	look := func(set []*member) (bool, error) {
		t, err := h.without(ctx, set, pools, weight)
		if err != nil || t.cost >= best.cost-nothing {
			return false, err
		}
		best = t
		return true, nil
	}
	// All of them first: that finds the nodes that cannot leave.
	if _, err := look(line); err != nil {
		return nil, err
	}
	line = slices.DeleteFunc(line, func(m *member) bool { return m.stuck })
	for _, n := range sizes(h.fleet.dispensable(line), len(line)) {
		if ctx.Err() != nil {
			break
		}
		if _, err := look(line[:n]); err != nil {
			return nil, err
		}
	}
	if err := h.swap(ctx, line, best.set, look); err != nil {
		return nil, err
	}
	return best, nil
}

// slice is a target for some of the nodes that are to leave, those that save most for the cost
// of moving their pods, for clusters of which one packing of all takes too long.
func (h *hunt) slice(ctx context.Context, leaving []*member, pools []packing.Pool, weight float64) (*target, error) {
	leaving = slices.SortedStableFunc(slices.Values(leaving), bySaving)
	mark(leaving, true)
	defer mark(leaving, false)
	n := min(len(leaving), maxSlice)
	t, err := h.without(ctx, leaving[:n], pools, weight)
	if err != nil || t.cost >= h.fleet.cost()-nothing {
		return &target{}, err
	}
	t.leaving = leaving[n:]
	return t, nil
}

func mark(set []*member, leaving bool) {
	for _, m := range set {
		m.leaving = leaving
	}
}

const (
	// aimPart is the part of the time that aiming may take: one of so many.
	aimPart = 3
	// maxSwept is the number of nodes beyond which one packing of them all takes too long: of
	// more, so many are packed at a time as maxSlice says, and the border is where sums of cpu
	// and memory have it.
	maxSwept = 1000
	maxSlice = 100
	// swaps is how many nodes may change sides one after another without a better target
	// before it is taken to be good.
	swaps = 60
)

// swap lets nodes near the border of a set change sides, at random, as long as that leads to
// something better.
func (h *hunt) swap(ctx context.Context, line, set []*member, look func([]*member) (bool, error)) error {
	if len(line) < 2 {
		return nil
	}
	rng := rand.New(rand.NewPCG(h.options.Seed, uint64(len(line)))) //nolint:gosec // nothing depends on its being hard to guess
	leaves := make([]bool, len(line))
	for i, m := range line {
		leaves[i] = slices.Contains(set, m)
	}
	border, width := len(set), max(5, len(line)/8)
	low, high := max(0, border-width), min(len(line), border+width)
	for misses := 0; misses < swaps && ctx.Err() == nil; misses++ {
		flips := []int{low + rng.IntN(high-low)}
		if rng.IntN(2) == 0 {
			flips = append(flips, low+rng.IntN(high-low))
		}
		for _, i := range flips {
			leaves[i] = !leaves[i]
		}
		var next []*member
		for i, m := range line {
			if leaves[i] {
				next = append(next, m)
			}
		}
		better, err := look(next)
		if err != nil {
			return err
		}
		if better {
			misses = -1
			continue
		}
		for _, i := range flips {
			leaves[i] = !leaves[i]
		}
	}
	return nil
}

// sizes are the numbers of leaving nodes that are tried beside all: around the number that
// the rest would have room for if all of it could be used.
func sizes(base, all int) []int {
	var out []int
	for _, share := range []float64{1, 0.94, 0.97, 1.03, 1.06, 1.12, 1.2, 1.4} {
		if n := int(math.Round(float64(base) * share)); n < all && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// without packs the pods of a set of nodes anew. Nodes with a pod that has no other place
// stay: one such pod is no reason to leave the others where they are.
func (h *hunt) without(ctx context.Context, set []*member, pools []packing.Pool, weight float64) (*target, error) {
	for {
		t, err := h.pack(ctx, slices.DeleteFunc(slices.Clone(set), func(m *member) bool { return m.stuck }), pools, weight)
		if err != nil || len(t.plan.Unplaced) == 0 {
			return t, err
		}
		if found, err := h.stick(ctx, t, pools); err != nil || !found {
			return t, err
		}
	}
}

// pack packs the pods of a set of nodes on the others and on new ones.
func (h *hunt) pack(ctx context.Context, set []*member, pools []packing.Pool, weight float64) (*target, error) {
	// Of pods that are equal, the packer puts the first on nodes that stay: so fewer of the
	// nodes that save most have to wait for new ones.
	slices.SortStableFunc(set, bySaving)
	t := &target{set: set, cost: h.fleet.cost()}
	var pods []packing.Pod
	for i, m := range t.set {
		t.cost += weight*m.moving()/h.options.Horizon.Hours() - m.Node.Price
		for _, k := range m.movable {
			p := m.successor(k)
			t.pods, t.from, pods = append(t.pods, placed{p, m.costs[k]}), append(t.from, i), append(pods, p)
		}
	}
	var err error
	if t.plan, err = h.fleet.solve(ctx, pods, h.fleet.standing(set), pools, 0); err != nil {
		return nil, err
	}
	t.cost += t.plan.Cost * (1 + h.options.LaunchOverlap.Hours()/h.options.Horizon.Hours())
	if ctx.Err() != nil || len(t.plan.Unplaced) > 0 || t.plan.Stats.UnknownPrices > 0 {
		t.cost = math.Inf(1)
	}
	return t, nil
}

// stickTests is of how many nodes it is found out after one packing whether they have such a
// pod. When pods have no place because room lacks, there are as many as nodes.
const stickTests = 20

// stick marks the nodes of a target whose pods would have no place even if all others stayed,
// and tells whether there are any. Each node is looked at once.
func (h *hunt) stick(ctx context.Context, t *target, pools []packing.Pool) (bool, error) {
	lost := map[*member][]packing.Pod{}
	for _, u := range t.plan.Unplaced {
		m := t.set[t.from[u.Pod]]
		lost[m] = append(lost[m], t.pods[u.Pod].Pod)
	}
	found, tests := false, 0
	for _, m := range t.set {
		if lost[m] == nil || m.loose || tests == stickTests {
			continue
		}
		tests++
		plan, err := h.fleet.solve(ctx, lost[m], h.fleet.standing([]*member{m}), pools, 0)
		if err != nil || ctx.Err() != nil {
			return false, err
		}
		m.stuck, m.loose = len(plan.Unplaced) > 0, len(plan.Unplaced) == 0
		if m.stuck {
			found = true
			m.fruitless = fmt.Sprintf("%d of its pods have no other place: %s", len(plan.Unplaced), plan.Unplaced[0].Message)
		}
	}
	return found, nil
}

// bySaving orders nodes by their price for the cost of moving all their pods, most first.
func bySaving(a, b *member) int {
	return cmp.Compare(b.Node.Price/(b.moving()+1e-6), a.Node.Price/(a.moving()+1e-6))
}
