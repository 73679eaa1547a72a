package consolidation

import (
	"fmt"
	"math"
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
	if h.options.Now.IsZero() || m.LaunchedAt.IsZero() {
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
