package consolidation

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// hunt looks for moves and applies them to the fleet.
type hunt struct {
	fleet        *fleet
	options      *Options
	moves        []Move
	tried, found int
}

// BreakEvenAge is the least age of a node before a move that saves savedPerHour
// may give it up: what it cost to launch it (overlap, during which it and what it
// replaced were both paid) and what it costs to move its pods, divided by the
// saving; at least floor. A younger node has not yet earned what its launch cost,
// and giving it up would let a price that swings back and forth move pods for
// nothing.
func BreakEvenAge(price, podCost, savedPerHour float64, overlap, floor time.Duration) time.Duration {
	if savedPerHour <= 0 {
		return math.MaxInt64
	}
	hours := (price*overlap.Hours() + podCost) / savedPerHour
	if hours >= float64(math.MaxInt64)/float64(time.Hour) {
		return math.MaxInt64
	}
	return max(floor, time.Duration(hours*float64(time.Hour)))
}

func (h *hunt) full() bool { return h.options.MaxMoves > 0 && len(h.moves) >= h.options.MaxMoves }

// young tells whether a node is below the floor of its break-even.
func (h *hunt) young(m *member) (time.Duration, bool) {
	if h.options.Now.IsZero() || m.LaunchedAt.IsZero() || m.Reclaim {
		return 0, false
	}
	age := h.options.Now.Sub(m.LaunchedAt)
	return age, age < h.options.BreakEven
}

// rule out candidates that cannot be touched whatever a move saves.
func (h *hunt) rule(m *member) bool {
	switch age, young := h.young(m); {
	case m.Blocked != "":
		m.kept = "kept because " + m.Blocked
	case young:
		m.kept = fmt.Sprintf("kept because it was launched %s ago and breaks even after %s at the earliest",
			age.Round(time.Second), h.options.BreakEven)
	case math.IsNaN(m.Node.Price) && len(m.movable) > 0:
		m.kept = "kept because its price is not known"
	case !h.budget(m, nil):
		m.kept = fmt.Sprintf("kept because the disruption budget of pool %s is spent", m.Pool)
	default:
		return true
	}
	return false
}

// budget tells whether the pool of m allows one more beside a set.
func (h *hunt) budget(m *member, set []*member) bool {
	left, limited := h.fleet.budgets[m.Pool]
	for _, o := range set {
		if o.Pool == m.Pool {
			left--
		}
	}
	return !limited || left > 0
}

// empties gives up nodes without pods to move: free, and certain.
func (h *hunt) empties() {
	for _, m := range h.fleet.nodes {
		if len(m.movable) > 0 || h.full() || !h.rule(m) {
			continue
		}
		saved := m.Node.Price
		if math.IsNaN(saved) {
			saved = 0
		}
		h.commit([]*member{m}, Move{Remove: []string{m.Node.Name}, SavedPerHour: saved, Why: "no pod needs the node"}, nil)
	}
}

// fold gives up, one by one and best promise first, the nodes whose pods the others
// have room for: most of what fragmentation costs, and quick to find.
func (h *hunt) fold(ctx context.Context) error {
	for _, m := range h.fleet.byPromise() {
		if ctx.Err() != nil || h.full() {
			return nil //nolint:nilerr // time that runs out ends the search with what was found
		}
		if !h.rule(m) {
			continue
		}
		t, err := h.try(ctx, []*member{m}, false)
		if err != nil {
			return err
		}
		if t.why == "" {
			h.accept(t)
		}
	}
	return nil
}

func (h *hunt) accept(t *trial) {
	h.found++
	h.commit(t.set, t.move, t.pods)
}

// patience is how many seeds in a row may come to nothing before a pass over the
// candidates ends: those that follow promise less.
const patience = 30

// grow tries sets around each candidate, best promise first, and does so again,
// with promises as the moves found leave them, until nothing is found.
func (h *hunt) grow(ctx context.Context) error {
	for again := true; again; {
		again = false
		h.fleet.rank()
		line, failures := h.fleet.byPromise(), 0
		for i, seed := range line {
			if ctx.Err() != nil || h.full() {
				return nil //nolint:nilerr // as above
			}
			if failures == patience {
				break
			}
			if seed.gone || !h.rule(seed) {
				continue
			}
			best, why, err := h.around(ctx, seed, line[i+1:])
			if err != nil {
				return err
			}
			if best == nil {
				seed.fruitless = why
				failures++
				continue
			}
			failures = 0
			again = true
			h.accept(best)
		}
	}
	return nil
}

// setSizes are the sizes of the removal sets tried around one seed.
func setSizes(most int) []int {
	var out []int
	for n := 1; n <= most; n = max(n+1, n*8/5) {
		out = append(out, n)
	}
	return out
}

// around finds the best move that gives up seed, or says why there is none. Larger
// sets are tried as long as the smaller ones do not simply empty the node: what fits
// elsewhere for nothing needs no company.
func (h *hunt) around(ctx context.Context, seed *member, next []*member) (*trial, string, error) {
	var best *trial
	set := []*member{seed}
	var first string
	for _, size := range setSizes(h.options.MaxRemove) {
		if ctx.Err() != nil {
			break
		}
		set = h.extend(set, next, size)
		if len(set) < size {
			break
		}
		t, err := h.try(ctx, set, true)
		if err != nil {
			return nil, "", err
		}
		if t.why != "" {
			if first == "" {
				first = t.why
			}
			continue
		}
		if best == nil || t.rate() > best.rate() {
			best = t
		}
		if len(t.move.Launch) == 0 {
			break
		}
	}
	return best, first, nil
}

// extend adds the next candidates in line that may join a set.
func (h *hunt) extend(set, next []*member, size int) []*member {
	in := map[*member]bool{}
	for _, m := range set {
		in[m] = true
	}
	for _, m := range next {
		if len(set) >= size {
			break
		}
		if m.gone || in[m] || m.Blocked != "" || math.IsNaN(m.Node.Price) || !h.budget(m, set) {
			continue
		}
		if _, young := h.young(m); young {
			continue
		}
		set = append(set[:len(set):len(set)], m)
		in[m] = true
	}
	return set
}

// trial is a removal set that was tried.
type trial struct {
	set  []*member
	pods []placed
	move Move
	why  string // why it does not pay; "" when it does
}

// placed is a displaced pod with the cost of moving it.
type placed struct {
	packing.Pod
	cost float64
}

// rate is the saving per hour for each dollar of disruption.
func (t *trial) rate() float64 { return t.move.SavedPerHour / (t.move.DisruptionCost + 1e-6) }

// try packs the pods of a set elsewhere, on new nodes too if launch is set, and weighs
// the result.
func (h *hunt) try(ctx context.Context, set []*member, launch bool) (*trial, error) {
	h.tried++
	t := &trial{set: set}
	price, podCost := 0.0, 0.0
	for _, m := range set {
		price += m.Node.Price
		t.move.Remove = append(t.move.Remove, m.Node.Name)
		for _, k := range m.movable {
			t.pods = append(t.pods, placed{m.Node.Pods[k], m.costs[k]})
			t.move.Pods = append(t.move.Pods, m.Node.Pods[k])
			podCost += m.costs[k]
		}
	}
	plan, err := h.place(ctx, t.move.Pods, set, price, launch)
	if err != nil {
		return nil, err
	}
	switch {
	case ctx.Err() != nil:
		t.why = "time ran out"
		return t, nil //nolint:nilerr // it is a reason and not a failure
	case plan.Stats.TooDear:
		t.why = fmt.Sprintf("its pods would have no place for less: replacing it saves less than the minimum of $%.4f/h", h.leastSaving(set, price))
		return t, nil
	case len(plan.Unplaced) > 0:
		t.why = fmt.Sprintf("%d of its pods would have no place for less: %s", len(plan.Unplaced), plan.Unplaced[0].Message)
		return t, nil
	case plan.Stats.UnknownPrices > 0:
		t.why = "a replacement's price is not known"
		return t, nil
	}
	t.move.Launch, t.move.Bindings = plan.Nodes, plan.Bindings
	t.move.SavedPerHour = price - plan.Cost
	t.move.DisruptionCost = podCost + plan.Cost*h.options.LaunchOverlap.Hours()
	t.why = h.weigh(t, price)
	if t.why == "" {
		keepSaving(&t.move)
		t.move.Why = describe(t, plan.Cost)
	}
	return t, nil
}

// nothing is a cost that no node is below, in USD per hour: with it as the most that
// may be spent, the packer gives up unless the nodes that stay have room for all.
const nothing = 1e-9

// place packs pods on the nodes that stay, and only if those have no room for all,
// and launch is set, on new ones too.
func (h *hunt) place(ctx context.Context, pods []packing.Pod, set []*member, price float64, launch bool) (packing.Plan, error) {
	if slices.ContainsFunc(pods, spreads) {
		// Zones in which a node could be bought count for the spread.
		most := nothing
		if launch {
			most = price - h.leastSaving(set, price)
		}
		return h.fleet.solve(ctx, pods, set, h.pools(price), most)
	}
	plan, err := h.fleet.solve(ctx, pods, set, nil, nothing)
	if err != nil || len(plan.Unplaced) == 0 || !launch || ctx.Err() != nil {
		return plan, err
	}
	return h.fleet.solve(ctx, pods, set, h.pools(price), price-h.leastSaving(set, price))
}

// spreads tells whether a pod must be spread over domains larger than a node.
func spreads(p packing.Pod) bool {
	return slices.ContainsFunc(p.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.TopologyKey != corev1.LabelHostname
	})
}

// keepSaving drops alternatives so dear that launching them in place of what was
// chosen could eat more than half of the saving.
func keepSaving(m *Move) {
	for i := range m.Launch {
		n := &m.Launch[i]
		most := n.Price + m.SavedPerHour/2/float64(len(m.Launch))
		n.Alternatives = slices.DeleteFunc(n.Alternatives, func(a packing.Alternative) bool { return !(a.Price <= most) })
	}
}

// leastSaving is what a move that launches nodes must save, in USD per hour.
func (h *hunt) leastSaving(set []*member, price float64) float64 {
	if reclaimed(set) {
		return 0
	}
	return max(price*h.options.MinSavingFraction, h.options.MinSavingPerHour)
}

// reclaimed tells whether all of a set is to be given up anyway.
func reclaimed(set []*member) bool {
	return !slices.ContainsFunc(set, func(m *member) bool { return !m.Reclaim })
}

// weigh says why a move does not pay, or "".
func (h *hunt) weigh(t *trial, price float64) string {
	saved := t.move.SavedPerHour
	switch {
	case saved <= 1e-9:
		return "nothing cheaper holds its pods"
	case reclaimed(t.set):
		return ""
	case len(t.move.Launch) > 0 && saved < price*h.options.MinSavingFraction:
		return fmt.Sprintf("replacing it saves %.1f%%, less than the minimum of %.1f%%", 100*saved/price, 100*h.options.MinSavingFraction)
	case len(t.move.Launch) > 0 && saved < h.options.MinSavingPerHour:
		return fmt.Sprintf("replacing it saves $%.4f/h, less than the minimum of $%.4f/h", saved, h.options.MinSavingPerHour)
	case saved*h.options.Horizon.Hours() <= t.move.DisruptionCost:
		return fmt.Sprintf("moving its pods costs $%.4f, more than the $%.4f saved in %s", t.move.DisruptionCost, saved*h.options.Horizon.Hours(), h.options.Horizon)
	}
	if h.options.Now.IsZero() {
		return ""
	}
	for _, m := range t.set {
		if m.LaunchedAt.IsZero() || m.Reclaim {
			continue
		}
		need := BreakEvenAge(m.Node.Price, t.move.DisruptionCost*m.Node.Price/price, saved*m.Node.Price/price, h.options.LaunchOverlap, h.options.BreakEven)
		if age := h.options.Now.Sub(m.LaunchedAt); age < need {
			return fmt.Sprintf("it was launched %s ago and breaks even after %s", age.Round(time.Second), need.Round(time.Second))
		}
	}
	return ""
}

// pools are the pools without offerings that cost as much as what is given up:
// no replacement may.
func (h *hunt) pools(price float64) []packing.Pool {
	out := make([]packing.Pool, len(h.fleet.state.Pools))
	copy(out, h.fleet.state.Pools)
	for i := range out {
		out[i].Limits = h.limits(&out[i])
		types := make([]packing.InstanceType, 0, len(out[i].Types))
		for _, it := range out[i].Types {
			offerings := make([]packing.Offering, 0, len(it.Offerings))
			for _, o := range it.Offerings {
				if o.Price < price {
					offerings = append(offerings, o)
				}
			}
			if len(offerings) > 0 {
				it.Offerings = offerings
				types = append(types, it)
			}
		}
		out[i].Types = types
	}
	return out
}

// limits are what of a pool may be bought after earlier moves. What is given up
// counts until it is gone, so that a limit is not exceeded in between.
func (h *hunt) limits(pool *packing.Pool) corev1.ResourceList {
	if pool.Limits == nil {
		return nil
	}
	out := pool.Limits.DeepCopy()
	for _, m := range h.moves {
		for i := range m.Launch {
			if m.Launch[i].Pool != pool.Name {
				continue
			}
			for k := range pool.Types {
				if pool.Types[k].Name != m.Launch[i].InstanceType {
					continue
				}
				for name, left := range out {
					if name == packing.ResourceNodes {
						left.Sub(*one())
					} else {
						left.Sub(pool.Types[k].Capacity[name])
					}
					out[name] = left
				}
			}
		}
	}
	return out
}

func describe(t *trial, cost float64) string {
	var to []string
	for i := range t.move.Launch {
		to = append(to, t.move.Launch[i].InstanceType)
	}
	pods := fmt.Sprintf("%d pods", len(t.move.Pods))
	if len(to) == 0 {
		return fmt.Sprintf("%s fit on nodes that stay, saving $%.4f/h", pods, t.move.SavedPerHour)
	}
	return fmt.Sprintf("%d → %d nodes: %s, %d of them on nodes that stay; %s at $%.4f/h saves $%.4f/h",
		len(t.set), len(to), pods, len(t.move.Bindings), strings.Join(to, "+"), cost, t.move.SavedPerHour)
}
