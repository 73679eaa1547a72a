package packing

import (
	"fmt"
	"slices"
)

// topologyRule names the rule about other pods that rejects a slot as things
// stand at the end.
func (x *explainer) topologyRule(c *class, i int) string {
	if rule := x.domainRule(c, i); rule != "" {
		return rule
	}
	if s := &x.s.c.t.all[i]; s.existing {
		if rule := x.nodeRule(c, x.s.c.existing[s.node]); rule != "" {
			return rule
		}
	}
	// A node of its own would do for the pod, but for the others that it has to share it with.
	for _, gi := range c.topology.affinity {
		if g := x.s.c.groups[gi]; g.hostname {
			return about(RulePodAffinity, g)
		}
	}
	for _, gi := range slices.Concat(c.topology.anti, c.topology.matches) {
		if g := x.s.c.groups[gi]; g.hostname && g.kind == groupAnti {
			return about(RuleAntiAffinity, g)
		}
	}
	for k := range c.topology.spread {
		return about(RuleSpread, x.s.c.groups[c.topology.spread[k].group])
	}
	return RuleExistingTaken
}

func about(rule string, g *group) string { return fmt.Sprintf("%s(%s)", rule, g.key) }

// domainRule names the rule over domains larger than a node that rejects a slot; empty when
// none does.
func (x *explainer) domainRule(c *class, i int) string {
	t := &c.topology
	value := func(gi int) (*group, int32) {
		g := x.s.c.groups[gi]
		if g.hostname {
			return g, -1
		}
		return g, x.s.c.t.byLabel(g.key).of[i]
	}
	anywhere := slices.ContainsFunc(t.affinity, func(gi int) bool { return x.s.c.groups[gi].total > 0 })
	for _, gi := range t.affinity {
		if g, v := value(gi); !g.hostname && (v < 0 || g.matched[v] == 0 && (anywhere || !t.selfAffinity)) {
			return about(RulePodAffinity, g)
		}
	}
	for k := range t.spread {
		r := &t.spread[k]
		self := int32(0)
		if r.self {
			self = 1
		}
		if g, v := value(r.group); !g.hostname && (v < 0 || g.matched[v]+self-r.minimum(g) > r.maxSkew) {
			return about(RuleSpread, g)
		}
	}
	for _, gi := range t.anti {
		if g, v := value(gi); v >= 0 && g.matched[v] > 0 {
			return about(RuleAntiAffinity, g)
		}
	}
	for _, gi := range t.matches {
		if g, v := value(gi); g.kind == groupAnti && v >= 0 && g.owners[v] > 0 {
			return about(RuleAntiAffinity, g)
		}
	}
	return ""
}

// nodeRule names the rule over the host name that keeps one more pod of a class off a node;
// empty when none does.
func (x *explainer) nodeRule(c *class, b *bin) string {
	t := &c.topology
	at := func(gi int) (g *group, m binMark) {
		if k, ok := b.at(gi); ok {
			m = b.marks[k]
		}
		return x.s.c.groups[gi], m
	}
	for _, gi := range t.affinity {
		if g, m := at(gi); g.hostname && m.matched == 0 && (g.total > 0 || !t.selfAffinity) {
			return about(RulePodAffinity, g)
		}
	}
	for _, gi := range t.anti {
		if g, m := at(gi); g.hostname && m.matched > 0 {
			return about(RuleAntiAffinity, g)
		}
	}
	for _, gi := range t.matches {
		if g, m := at(gi); g.hostname && g.kind == groupAnti && m.owners > 0 {
			return about(RuleAntiAffinity, g)
		}
	}
	for k := range t.spread {
		if g, m := at(t.spread[k].group); g.hostname && m.matched >= t.spread[k].maxSkew {
			return about(RuleSpread, g)
		}
	}
	return ""
}
