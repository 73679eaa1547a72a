package consolidation

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// trial is a removal set that was tried.
type trial struct {
	set  []*member
	pods []placed
	// price of the set in USD per hour.
	price float64
	move  Move
	why   string // why it does not pay; "" when it does
}

// placed is a displaced pod with the cost of moving it.
type placed struct {
	packing.Pod
	cost float64
}

// rate is the saving per hour for each dollar of disruption.
func (t *trial) rate() float64 { return t.move.SavedPerHour / (t.move.DisruptionCost + 1e-6) }

// displace begins a trial with the pods of a set.
func (h *hunt) displace(set []*member) *trial {
	h.tried++
	t := &trial{set: set}
	for _, m := range set {
		t.price += m.Node.Price
		t.move.Remove = append(t.move.Remove, m.Node.Name)
		for _, k := range m.movable {
			p := m.successor(k)
			t.pods = append(t.pods, placed{p, m.costs[k]})
			t.move.Pods = append(t.move.Pods, p)
			t.move.DisruptionCost += m.costs[k]
		}
	}
	return t
}

// try packs the pods of a set elsewhere and weighs the result.
func (h *hunt) try(ctx context.Context, set []*member) (*trial, error) {
	t := h.displace(set)
	plan, err := h.place(ctx, t)
	if err != nil {
		return nil, err
	}
	switch {
	case ctx.Err() != nil:
		t.why = "time ran out"
		return t, nil //nolint:nilerr // it is a reason and not a failure
	case plan.Stats.TooDear:
		t.why = fmt.Sprintf("its pods would have no place for less: replacing it saves less than the minimum of $%.4f/h", h.leastSaving(t.price))
		return t, nil
	case len(plan.Unplaced) > 0:
		t.why = fmt.Sprintf("%d of its pods would have no place for less: %s", len(plan.Unplaced), plan.Unplaced[0].Message)
		return t, nil
	case plan.Stats.UnknownPrices > 0:
		t.why = "a replacement's price is not known"
		return t, nil
	}
	t.move.Order = plan.Order
	h.judge(t, plan.Nodes, plan.Bindings)
	return t, nil
}

// judge completes a trial with the places of its pods, and says what it is worth.
func (h *hunt) judge(t *trial, launch []packing.PlannedNode, bindings []packing.Binding) {
	t.move.Launch, t.move.Bindings = launch, bindings
	cost := 0.0
	for i := range launch {
		cost += launch[i].Price
	}
	t.move.SavedPerHour = t.price - cost
	t.move.RiskPerHour = h.fleet.riskTaken(t.set, launch) * h.options.InterruptionCost
	t.move.DisruptionCost += cost * h.options.LaunchOverlap.Hours()
	if t.why = h.weigh(t); t.why == "" {
		keepSaving(&t.move)
		t.move.Why = describe(t, cost)
	}
}

// successor is a pod of the node as it will be elsewhere.
func (m *member) successor(k int) packing.Pod {
	p := m.Node.Pods[k]
	if asks := m.anew[p.Pod]; asks != nil {
		p.Requests = asks
	}
	return p
}

// nothing is a cost that no node is below, in USD per hour: with it as the most that
// may be spent, the packer gives up unless the nodes that stay have room for all.
const nothing = 1e-9

// place packs the pods of a trial on the nodes that stay, and only if those have no room for
// all, on new ones too.
func (h *hunt) place(ctx context.Context, t *trial) (packing.Plan, error) {
	nodes, most := h.fleet.standing(t.set), t.price-h.leastSaving(t.price)
	// Zones in which a node could be bought count for the spread.
	if !slices.ContainsFunc(t.move.Pods, spreads) {
		plan, err := h.fleet.solve(ctx, t.move.Pods, nodes, nil, nothing)
		if err != nil || len(plan.Unplaced) == 0 || ctx.Err() != nil {
			return plan, err
		}
	}
	return h.fleet.solve(ctx, t.move.Pods, nodes, h.pools(t.price), most)
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
func (h *hunt) leastSaving(price float64) float64 {
	return max(price*h.options.MinSavingFraction, h.options.MinSavingPerHour)
}

// weigh says why a move does not pay, or "".
func (h *hunt) weigh(t *trial) string {
	price := t.price
	risk := max(0, t.move.RiskPerHour)
	saved := t.move.SavedPerHour - risk
	switch {
	case t.move.SavedPerHour <= nothing:
		return "nothing cheaper holds its pods"
	case saved <= nothing:
		return fmt.Sprintf("replacing it saves $%.4f/h, less than the $%.4f/h that further interruptions would cost", t.move.SavedPerHour, risk)
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
		if m.LaunchedAt.IsZero() {
			continue
		}
		need := BreakEvenAge(m.Node.Price, t.move.DisruptionCost*m.Node.Price/price, saved*m.Node.Price/price, h.options.LaunchOverlap, h.options.BreakEven)
		if age := h.options.Now.Sub(m.LaunchedAt); age < need {
			return fmt.Sprintf("it was launched %s ago and breaks even after %s", age.Round(time.Second), need.Round(time.Second))
		}
	}
	return ""
}
