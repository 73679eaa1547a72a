package packing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// unplaced explains each pod without a place. Pods of one class share the
// explanation.
func (s *solver) unplaced(ctx context.Context, taken []int) []Unplaced {
	left := map[*class][]int32{}
	var order []*class
	note := func(u *unit, pods []int32) {
		for i := 0; i < len(pods); {
			for _, p := range u.parts {
				if left[p.c] == nil {
					order = append(order, p.c)
				}
				left[p.c] = append(left[p.c], pods[i:i+p.n]...)
				i += p.n
			}
		}
	}
	for _, it := range s.assign.items {
		if rest := it.pods[taken[it.index]:]; len(rest) > 0 {
			note(it.u, rest)
		}
	}
	for _, st := range s.assign.stuck {
		note(st.u, st.pods)
	}
	if len(order) == 0 {
		return nil
	}
	var x *explainer
	if !s.stats.TooDear {
		x = &explainer{s: s, f: newFeasibility(s.c.t), outOfTime: ctx.Err() != nil}
	}
	var out []Unplaced
	for _, c := range order {
		var why Unplaced
		if !s.stats.TooDear {
			why = x.class(c)
		}
		for _, pod := range left[c] {
			u := why
			u.Pod = int(pod)
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b Unplaced) int { return cmp.Compare(a.Pod, b.Pod) })
	return out
}

// explainer attributes each slot to the first rule that takes it away.
type explainer struct {
	s         *solver
	f         *feasibility
	outOfTime bool
}

func (x *explainer) class(c *class) Unplaced {
	t := x.s.c.t
	counts := map[string]int{}
	affinity := x.f.required(c.rep.Pod)
	terms := affinity
	if c.rep.NodeTerms != nil {
		terms = x.f.terms(c.rep.NodeTerms)
	}
	tolerated, _ := x.f.tolerated(c.rep.Pod)
	for i := range t.all {
		s := &t.all[i]
		switch {
		case len(c.claims) > 0:
			counts[fmt.Sprintf("%s(%s)", RuleClaims, strings.Join(c.claims, ", "))]++
		case c.blocked && !x.s.c.p.yielding[int(c.pods[0])]:
			counts[RuleVolumeInUse]++
		case !affinity.has(i):
			counts[RuleNodeAffinity]++
		case !terms.has(i):
			counts[RuleVolumeZone]++
		case !tolerated.has(i):
			counts[RuleTaint]++
		default:
			counts[x.beyondLabels(c, s, i)]++
		}
	}
	counts[RuleUnavailable], counts[RuleNodeSize] = x.leftOut()
	u := Unplaced{}
	for rule, n := range counts {
		if n > 0 {
			u.Reasons = append(u.Reasons, Reason{rule, n})
		}
	}
	slices.SortFunc(u.Reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(b.Options, a.Options), cmp.Compare(a.Rule, b.Rule))
	})
	if x.outOfTime {
		u.Reasons = slices.Insert(u.Reasons, 0, Reason{RuleTimeBudget, len(t.all)})
	}
	u.Message = x.message(u.Reasons)
	u.Remedy = x.remedy(c, u.Reasons)
	return u
}

// leftOut counts the offerings that are no options at all.
func (x *explainer) leftOut() (unavailable, tooLarge int) {
	for i := range x.s.c.p.Pools {
		for j := range x.s.c.p.Pools[i].Types {
			it := &x.s.c.p.Pools[i].Types[j]
			large := x.s.c.p.Options.tooLarge(it)
			for k := range it.Offerings {
				switch {
				case !it.Offerings[k].Available:
					unavailable++
				case large:
					tooLarge++
				}
			}
		}
	}
	return unavailable, tooLarge
}

// beyondLabels names the rule that takes away a slot whose labels and taints
// suit the class.
func (x *explainer) beyondLabels(c *class, s *slot, i int) string {
	comp := x.s.c
	free := s.free
	for r, want := range c.asks(s) {
		if want > 0 && want > free[r] {
			if s.existing && want <= comp.d.room(comp.p.Nodes[s.node].Allocatable)[r] {
				return RuleExistingTaken
			}
			if driver, ok := attachedBy(comp.d.names[r]); ok && comp.d.countsVolumes(r) {
				return fmt.Sprintf("%s(%s)", RuleVolumeLimit, driver)
			}
			return fmt.Sprintf("%s(%s)", RuleResources, comp.d.names[r])
		}
	}
	if portsConflict(c.ports, s.ports) {
		return RuleHostPort
	}
	if !c.fits.has(i) { // a label that a rule about other pods needs is absent
		return x.topologyRule(c, i)
	}
	if s.existing {
		b := comp.existing[s.node]
		if !c.req.fits(b.free) {
			return RuleExistingTaken
		}
		if portsConflict(c.ports, b.ports) {
			return RuleHostPort
		}
		return x.topologyRule(c, i)
	}
	if !comp.t.pools[s.pool].allows(comp.typeOf(s)) {
		return fmt.Sprintf("%s(%s)", RulePoolLimit, comp.p.Pools[s.pool].Name)
	}
	if comp.needsMinValues(s.pool) && len(c.topology.spread)+len(c.topology.affinity)+len(c.topology.anti) == 0 {
		return fmt.Sprintf("%s(%s)", RuleMinValues, comp.p.Pools[s.pool].Name)
	}
	return x.topologyRule(c, i)
}

func (x *explainer) message(reasons []Reason) string {
	total := 0
	parts := make([]string, 0, len(reasons))
	for _, r := range reasons {
		if r.Rule != RuleTimeBudget {
			total += r.Options
			parts = append(parts, fmt.Sprintf("%d by %s", r.Options, r.Rule))
		}
	}
	if total == 0 {
		return "no pool offers any instance type"
	}
	msg := fmt.Sprintf("none of %d options fits: %s", total, strings.Join(parts, ", "))
	if x.outOfTime {
		msg = "time ran out before a place was found; " + msg
	}
	return msg
}

// remedy says what would bring back the options closest to fitting: those that
// were lost to the rule tried last.
func (x *explainer) remedy(c *class, reasons []Reason) string {
	rules := []struct{ rule, text string }{
		{RuleTimeBudget, "raise the time budget"},
		{RuleClaims, "request the device as an extended resource in spec.containers[].resources.requests, or add a node that has it: " +
			"no node is bought for spec.resourceClaims, for it is not known which would have the devices"},
		{RulePoolLimit, "raise spec.limits of the NodePool"},
		{RuleMinValues, "lower minValues in the NodePool's spec.template.spec.requirements, or allow more instance types"},
		{RuleAntiAffinity, "relax spec.affinity.podAntiAffinity to preferred, or allow more domains of its topologyKey"},
		{RulePodAffinity, "check spec.affinity.podAffinity: no place has both room and a pod that its labelSelector matches"},
		{RuleSpread, "raise maxSkew in spec.topologySpreadConstraints, use ScheduleAnyway, or make all domains of its topologyKey available"},
		{RuleHostPort, "drop hostPort from spec.containers[].ports, or use a port that no daemonset takes"},
		{RuleVolumeLimit, "use fewer volumes per pod, or allow instance types that attach more, for driver"},
		{RuleNodeSize, "raise the provisioner's cap on the size of a node"},
		{RuleResources, ""},
		{RuleTaint, "add spec.tolerations for the taints of the NodePools, or a NodePool without them"},
		{RuleVolumeInUse, "wait for the other pod to end, or give the pod a claim of its own: accessMode ReadWriteOncePod admits one pod"},
		{RuleVolumeZone, "allow the zone of the pod's volumes in a NodePool's spec.template.spec.requirements"},
		{RuleNodeAffinity, "check spec.nodeSelector and spec.affinity.nodeAffinity against the labels and requirements of the NodePools"},
		{RuleUnavailable, "wait: the offerings that would fit have no capacity now"},
		{RuleExistingTaken, "add a NodePool whose instance types hold the pod"},
	}
	for _, want := range rules {
		for _, r := range reasons {
			name, about, _ := strings.Cut(r.Rule, "(")
			if name != want.rule {
				continue
			}
			if name == RuleResources {
				return x.resourceRemedy(c, corev1.ResourceName(strings.TrimSuffix(about, ")")))
			}
			if about != "" {
				return want.text + " (" + about
			}
			return want.text
		}
	}
	return "add a NodePool"
}

// resourceRemedy names the largest amount that would fit.
func (x *explainer) resourceRemedy(c *class, name corev1.ResourceName) string {
	d := x.s.c.d
	r, ok := d.index[name]
	if !ok {
		return "add a NodePool"
	}
	most := make(vec, len(d.names))
	for i := range x.s.c.t.all {
		if s := &x.s.c.t.all[i]; !s.existing && c.affinityOK.has(i) && c.tolerated.has(i) {
			most[r] = max(most[r], s.free[r])
		}
	}
	if most[r] <= 0 {
		return fmt.Sprintf("no instance type that the pod's other rules allow has %s: allow one in a NodePool", name)
	}
	q := d.list(most)[name]
	return fmt.Sprintf("lower resources.requests[%s] to at most %s, or allow larger instance types in a NodePool", name, q.String())
}
