package plan

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
)

func (c *cluster) notef(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	if !slices.Contains(c.notes, note) {
		c.notes = append(c.notes, note)
	}
}

// noteAssumptions says what the plan rests on that its reader might not expect.
func (c *cluster) noteAssumptions(o *Options, sizes *sizes, p *packed) {
	spot := 0
	for _, n := range c.nodes {
		if n.keep == "" && capacityTypeOf(n.Node) == "spot" {
			spot++
		}
	}
	switch {
	case o.Spot == SpotOff && spot > 0:
		c.notef("%d of the nodes to be replaced are spot, and the plan buys on-demand only; --spot allows it spot capacity", spot)
	case o.Spot != SpotOff:
		c.notef("spot prices are averages of the past; pods and namespaces refuse spot with the annotation supercargo.dev/spot: never")
	}
	bare := 0
	for _, known := range p.movers {
		bare += btoi(known.wanted.Cpu().IsZero() || known.wanted.Memory().IsZero())
	}
	if bare > 0 {
		c.notef("%d pods request no cpu or no memory, and count as if they needed none", bare)
	}
	if n := len(p.plan.Unplaced); n > 0 {
		c.notef("%d pods have no place in the plan, and its price leaves them out", n)
	}
	if c.volumes.guessed > 0 {
		c.notef("the volumes of %d pods are not in the input; these pods stay in their zones", c.volumes.guessed)
	}
	if o.Rightsized {
		c.notef("%d pods are packed at the size that their WorkloadScalers recommend", sizes.rightsized)
		if sizes.low+sizes.without > 0 {
			c.notef("%d WorkloadScalers have no recommendation yet and %d one of low confidence; their pods are packed as they are", sizes.without, sizes.low)
		}
	}
	if c.input.GatedPods > 0 {
		c.notef("%d pods are held back by scheduling gates and are not planned for", c.input.GatedPods)
	}
	if p.plan.Stats.Truncated {
		c.notef("time ran out before the plan was as good as it gets; --time-budget gives it more")
	}
}

// kept groups the nodes that stay by reason, the dearest first.
func (c *cluster) kept() []Kept {
	found := map[string]*Kept{}
	for _, n := range c.nodes {
		if n.keep == "" {
			continue
		}
		k := found[n.keep]
		if k == nil {
			k = &Kept{Reason: n.keep, Example: n.Name}
			found[n.keep] = k
		}
		k.Nodes++
		if math.IsNaN(n.price) {
			k.UnknownPrices++
		} else {
			k.PricePerHour = round(k.PricePerHour + n.price)
		}
	}
	return slices.SortedFunc(values(found), func(a, b Kept) int {
		return cmp.Or(cmp.Compare(b.PricePerHour, a.PricePerHour), cmp.Compare(a.Reason, b.Reason))
	})
}

// unknownPrices groups the nodes without a price by reason.
func (c *cluster) unknownPrices() []UnknownPrice {
	found := map[string]*UnknownPrice{}
	for _, n := range c.nodes {
		if n.unknown == "" {
			continue
		}
		if found[n.unknown] == nil {
			found[n.unknown] = &UnknownPrice{Reason: n.unknown, Example: n.Name}
		}
		found[n.unknown].Nodes++
	}
	return slices.SortedFunc(values(found), func(a, b UnknownPrice) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Reason, b.Reason))
	})
}

func values[K comparable, V any](m map[K]*V) func(yield func(V) bool) {
	return func(yield func(V) bool) {
		for v := range maps.Values(m) {
			if !yield(*v) {
				return
			}
		}
	}
}
