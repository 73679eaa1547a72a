package consolidation

import (
	"cmp"
	"context"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// fold carries out what aim is for: it gives up, one by one and best saving per
// disruption first, the nodes whose pods the others have room for, and then together
// those whose pods have to be bought for.
//
// It would move pods more than once if it put them on nodes that are given up later,
// so pods go only to nodes that stay. A node that was to leave and cannot joins those.
func (h *hunt) fold(ctx context.Context) error {
	h.weight = h.fleet.moveWeight()
	leaving, err := h.aim(ctx)
	if err != nil {
		return err
	}
	var rest []*member
	for _, m := range leaving {
		if ctx.Err() != nil || h.full() {
			break
		}
		folded, err := h.foldOne(ctx, m)
		if err != nil {
			return err
		}
		if !folded && h.rule(m) {
			m.leaving = true
			rest = append(rest, m)
		}
	}
	if rest, err = h.replace(ctx, rest); err != nil {
		return err
	}
	if err := h.settle(ctx, rest); err != nil {
		return err
	}
	for _, m := range leaving {
		m.leaving = false
	}
	misses := 0
	for _, m := range h.fleet.byPromise() {
		if ctx.Err() != nil || h.full() || misses == patience {
			return nil //nolint:nilerr // time that runs out ends the search with what was found
		}
		if m.took {
			continue // its new pods would move twice
		}
		folded, err := h.foldOne(ctx, m)
		if err != nil {
			return err
		}
		misses++
		if folded {
			misses = 0
		}
	}
	return nil
}

// settle decides which of the leaving nodes that could be given up neither alone nor
// together stay: whenever there is too little room for the first in line, the least
// dear of the others does.
func (h *hunt) settle(ctx context.Context, leaving []*member) error {
	leaving = slices.Clone(leaving)
	slices.SortStableFunc(leaving, bySaving)
	misses := 0
	for len(leaving) > 0 && ctx.Err() == nil && !h.full() {
		m := leaving[0]
		folded, err := h.foldOne(ctx, m)
		if err != nil {
			return err
		}
		switch {
		case folded || !h.rule(m):
			leaving, misses = leaving[1:], 0
		case misses < foldMisses && len(leaving) > 1:
			m.leaving = true
			dear := func(a, b *member) int { return cmp.Compare(a.dear, b.dear) }
			stays := slices.Index(leaving, slices.MinFunc(leaving[1:], dear))
			leaving[stays].leaving = false
			leaving, misses = slices.Delete(leaving, stays, stays+1), misses+1
		default: // it is not for want of room
			leaving, misses = leaving[1:], 0
		}
	}
	return nil
}

// foldMisses is how many further nodes stay for the sake of one before it is taken
// to be held by something else than want of room.
const foldMisses = 3

// foldOne gives up a node if those that stay have room for its pods. It no longer
// counts as leaving after that.
func (h *hunt) foldOne(ctx context.Context, m *member) (bool, error) {
	m.leaving = false
	if !h.rule(m) {
		return false, nil
	}
	t, err := h.try(ctx, []*member{m}, false)
	if err != nil || t.why != "" {
		return false, err
	}
	h.accept(t)
	return true, nil
}

// part marks nodes of a line as leaving, the dearest for what they hold: as many as
// the others could take the pods of if all of their cpu and memory could be used. It
// returns them by what they save for the cost of moving their pods, most first.
func (h *hunt) part(line []*member) []*member {
	var need, have amounts
	inLine := map[*member]bool{}
	for _, m := range line {
		inLine[m] = true
		need = need.plus(requested(m.Node.Pods))
	}
	for _, m := range h.fleet.nodes {
		if !m.gone && !inLine[m] {
			have = have.plus(spare(&m.Node))
		}
	}
	for i := range h.fleet.fixed {
		have = have.plus(spare(&h.fleet.fixed[i]))
	}
	for _, m := range line {
		m.dear = h.dear(m)
	}
	stay := slices.SortedStableFunc(slices.Values(line), func(a, b *member) int { return cmp.Compare(a.dear, b.dear) })
	for _, m := range stay {
		m.leaving = have.covers(need)
		if !m.leaving {
			have = have.plus(amountsOf(m.Node.Allocatable))
		}
	}
	var out []*member
	for _, m := range line {
		if m.leaving {
			out = append(out, m)
		}
	}
	return out
}

// moving is what it would cost to move all pods of a node that must move, in USD.
func (m *member) moving() float64 {
	usd := 0.0
	for _, k := range m.movable {
		usd += m.costs[k]
	}
	return usd
}

// moveShare is what moving an average pod counts as when it is decided which nodes
// stay: a share of what the pod costs per hour at the lowest prices, so that it means
// the same on spot. A node that stays because its pods are many saves their move now,
// and one that is dear for what it holds can still be replaced. A quarter is where, on
// fragmented clusters of 200 and 500 nodes, less saves little more money and moves many
// more pods.
const moveShare = 0.25

// moveWeight is how many times the cost of a move counts for that; not less than once. Who says that moving a pod costs less than
// DefaultPodCost has the share lowered with it.
func (f *fleet) moveWeight() float64 {
	var need amounts
	moving, pods := 0.0, 0.0
	for _, m := range f.nodes {
		if m.gone {
			continue
		}
		moving += m.moving()
		pods += float64(len(m.movable))
		for _, k := range m.movable {
			need = need.plus(amountsOf(m.Node.Pods[k].Requests))
		}
	}
	if moving <= 0 {
		return 1
	}
	share := moveShare * min(1, moving/pods/DefaultPodCost)
	return max(1, share*need.times(f.worth)*f.state.Options.Horizon.Hours()/moving)
}

// dear is what a node costs, less what it would cost to move its pods, for each USD
// that its cpu and memory are worth where they are cheapest.
func (h *hunt) dear(m *member) float64 {
	value := amountsOf(m.Node.Allocatable).times(h.fleet.worth)
	if math.IsNaN(m.Node.Price) || value <= 0 {
		return m.promise
	}
	return (m.Node.Price - h.weight*m.moving()/h.options.Horizon.Hours()) / value
}

// amounts are amounts of cpu in cores and memory in bytes, or prices of one of each.
type amounts [2]float64

func amountsOf(list corev1.ResourceList) amounts {
	cpu, memory := list[corev1.ResourceCPU], list[corev1.ResourceMemory]
	return amounts{cpu.AsApproximateFloat64(), memory.AsApproximateFloat64()}
}

func (a amounts) plus(b amounts) amounts   { return amounts{a[0] + b[0], a[1] + b[1]} }
func (a amounts) times(b amounts) float64  { return a[0]*b[0] + a[1]*b[1] }
func (a amounts) covers(need amounts) bool { return a[0] >= need[0] && a[1] >= need[1] }

// requested sums up what pods request.
func requested(pods []packing.Pod) amounts {
	var sum amounts
	for i := range pods {
		sum = sum.plus(amountsOf(pods[i].Requests))
	}
	return sum
}

// spare is what a node has left.
func spare(n *packing.Node) amounts {
	has, used := amountsOf(n.Allocatable), requested(n.Pods).plus(amountsOf(n.Daemons))
	return amounts{max(0, has[0]-used[0]), max(0, has[1]-used[1])}
}

// unitPrices are the prices of a core and of a byte of memory at which no offering
// sells for less than it holds and the needed amounts are worth most: the dual prices
// of buying them with fractions of nodes. They are found for one ratio of the two
// after another.
func unitPrices(pools []packing.Pool, need amounts) amounts {
	var best amounts
	most := 0.0
	const gib = 1 << 30
	for ratio := 1.0 / 64; ratio <= 4; ratio *= 1.1 { // a GiB for so many cores
		core := math.Inf(1)
		for i := range pools {
			for k := range pools[i].Types {
				it := &pools[i].Types[k]
				has := amountsOf(it.Allocatable)
				units := has[0] + has[1]/gib*ratio
				for _, o := range it.Offerings {
					if o.Available && o.Price/units < core {
						core = o.Price / units
					}
				}
			}
		}
		prices := amounts{core, core * ratio / gib}
		if value := need.times(prices); value > most && !math.IsInf(core, 1) {
			best, most = prices, value
		}
	}
	return best
}

// closed is a node that takes no further pod. Those on it still count for rules
// between pods.
func closed(n packing.Node) packing.Node {
	n.Allocatable = corev1.ResourceList{}
	return n
}
