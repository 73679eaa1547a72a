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
			p := m.successor(k)
			t.pods = append(t.pods, placed{p, m.costs[k]})
			t.move.Pods = append(t.move.Pods, p)
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
		t.why = fmt.Sprintf("its pods would have no place for less: replacing it saves less than the minimum of $%.4f/h", h.leastSaving(price))
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
	t.move.RiskPerHour = h.fleet.riskTaken(set, plan.Nodes) * h.options.InterruptionCost
	t.move.DisruptionCost = podCost + plan.Cost*h.options.LaunchOverlap.Hours()
	t.why = h.weigh(t, price)
	if t.why == "" {
		keepSaving(&t.move)
		t.move.Why = describe(t, plan.Cost)
	}
	return t, nil
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

// place packs pods on the nodes that stay, and only if those have no room for all,
// and launch is set, on new ones too.
func (h *hunt) place(ctx context.Context, pods []packing.Pod, set []*member, price float64, launch bool) (packing.Plan, error) {
	if slices.ContainsFunc(pods, spreads) {
		// Zones in which a node could be bought count for the spread.
		most := nothing
		if launch {
			most = price - h.leastSaving(price)
		}
		return h.fleet.solve(ctx, pods, set, h.pools(price), most)
	}
	plan, err := h.fleet.solve(ctx, pods, set, nil, nothing)
	if err != nil || len(plan.Unplaced) == 0 || !launch || ctx.Err() != nil {
		return plan, err
	}
	return h.fleet.solve(ctx, pods, set, h.pools(price), price-h.leastSaving(price))
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
func (h *hunt) weigh(t *trial, price float64) string {
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
