package packing

import (
	"encoding/binary"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
)

// feasibility computes which slots a pod's own rules allow.
type feasibility struct {
	t *slotTable
	// taintGroups are the distinct taint lists and the slots that have them.
	taintGroups []taintGroup
	// holds maps a request to the slots with room for it.
	holds map[string]bitset
	key   []byte
}

type taintGroup struct {
	taints []corev1.Taint
	slots  bitset
}

func newFeasibility(t *slotTable) *feasibility {
	f := &feasibility{t: t, holds: map[string]bitset{}}
	byKey := map[string]int{}
	var key []byte
	for i := range t.all {
		taints := t.taints(&t.all[i])
		key = key[:0]
		for j := range taints {
			if taints[j].Effect == corev1.TaintEffectPreferNoSchedule {
				key = append(key, '~')
			}
			key = append(append(key, taints[j].Key...), 0)
			key = append(append(key, taints[j].Value...), 0)
			key = append(append(key, taints[j].Effect...), 0)
		}
		g, ok := byKey[string(key)]
		if !ok {
			g = len(f.taintGroups)
			byKey[string(key)] = g
			f.taintGroups = append(f.taintGroups, taintGroup{taints: taints, slots: newBitset(len(t.all))})
		}
		f.taintGroups[g].slots.set(i)
	}
	return f
}

// term returns the slots that one node selector term allows.
func (f *feasibility) term(term *corev1.NodeSelectorTerm) bitset {
	out := newBitset(len(f.t.all))
	if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
		return out // an empty term matches nothing
	}
	out.fill(len(f.t.all))
	for i := range term.MatchExpressions {
		e := &term.MatchExpressions[i]
		out.and(f.t.matching(e.Key, e.Operator, e.Values))
	}
	for i := range term.MatchFields {
		e := &term.MatchFields[i]
		if e.Key != "metadata.name" {
			return newBitset(len(f.t.all))
		}
		for s := range f.t.all {
			slot := &f.t.all[s]
			named := slot.existing && len(e.Values) == 1 && f.t.p.Nodes[slot.node].Name == e.Values[0]
			if named != (e.Operator == corev1.NodeSelectorOpIn) {
				out.clear(s)
			}
		}
	}
	return out
}

func (f *feasibility) terms(terms []corev1.NodeSelectorTerm) bitset {
	out := newBitset(len(f.t.all))
	for i := range terms {
		out.or(f.term(&terms[i]))
	}
	return out
}

// required evaluates node selector and required node affinity.
func (f *feasibility) required(p *corev1.Pod) bitset {
	out := newBitset(len(f.t.all))
	out.fill(len(f.t.all))
	for k, v := range p.Spec.NodeSelector {
		out.and(f.t.matching(k, corev1.NodeSelectorOpIn, []string{v}))
	}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			out.and(f.terms(r.NodeSelectorTerms))
		}
	}
	return out
}

// tolerated returns the slots without a hard taint that the pod does not
// tolerate, and, per taint group, how many soft ones it does not.
func (f *feasibility) tolerated(p *corev1.Pod) (hard bitset, soft []int) {
	hard = newBitset(len(f.t.all))
	for g := range f.taintGroups {
		ok, n := true, 0
		for i := range f.taintGroups[g].taints {
			taint := &f.taintGroups[g].taints[i]
			if tolerates(p.Spec.Tolerations, taint) {
				continue
			}
			if taint.Effect == corev1.TaintEffectPreferNoSchedule {
				n++
			} else {
				ok = false
			}
		}
		if ok {
			hard.or(f.taintGroups[g].slots)
		}
		if n > 0 {
			if soft == nil {
				soft = make([]int, len(f.taintGroups))
			}
			soft[g] = n
		}
	}
	return hard, soft
}

func tolerates(tolerations []corev1.Toleration, taint *corev1.Taint) bool {
	for i := range tolerations {
		if tolerations[i].ToleratesTaint(klog.Background(), taint, false) {
			return true
		}
	}
	return false
}

// class fills in what c's own rules say.
func (f *feasibility) class(c *class, pricePerRule float64) {
	c.affinityOK = f.required(c.rep.Pod)
	var soft []int
	c.tolerated, soft = f.tolerated(c.rep.Pod)
	c.fits = c.affinityOK.clone()
	if c.rep.NodeTerms != nil {
		c.fits.and(f.terms(c.rep.NodeTerms))
	}
	c.fits.and(c.tolerated)
	room := f.roomFor(c.req)
	c.fits.and(room)
	c.opens = c.affinityOK.clone()
	c.opens.and(c.tolerated)
	c.opens.and(room)
	if len(c.shared) > 0 {
		c.fits.each(func(i int) bool {
			if s := &f.t.all[i]; !c.asks(s).fits(s.free) {
				c.fits.clear(i)
			}
			return true
		})
	}
	if len(c.ports) > 0 {
		c.fits.each(func(i int) bool {
			if portsConflict(c.ports, f.t.all[i].ports) {
				c.fits.clear(i)
			}
			return true
		})
	}
	if c.blocked || len(c.claims) > 0 {
		c.fits = newBitset(len(f.t.all))
	}
	if pricePerRule > 0 {
		f.preferences(c, soft, pricePerRule)
	}
}

// roomFor returns the slots that hold a request when nothing else is placed.
func (f *feasibility) roomFor(req vec) bitset {
	f.key = f.key[:0]
	for _, x := range req {
		f.key = binary.AppendVarint(f.key, x)
	}
	if b, ok := f.holds[string(f.key)]; ok {
		return b
	}
	b := newBitset(len(f.t.all))
	for i := range f.t.all {
		if req.fits(f.t.all[i].free) {
			b.set(i)
		}
	}
	f.holds[string(f.key)] = b
	return b
}

// preferences prices the preferred node affinity terms and the PreferNoSchedule
// taints that each slot breaks.
func (f *feasibility) preferences(c *class, soft []int, price float64) {
	charge := func(at bitset, usd float64) {
		if c.penalty == nil {
			c.penalty = make([]float64, len(f.t.all))
		}
		at.each(func(i int) bool { c.penalty[i] += usd; return true })
	}
	if a := c.rep.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			pref := &a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i]
			if len(pref.Preference.MatchExpressions) == 0 && len(pref.Preference.MatchFields) == 0 {
				continue // kube-scheduler scores nothing for it
			}
			broken := c.fits.clone()
			broken.andNot(f.term(&pref.Preference))
			if !broken.empty() {
				charge(broken, price*float64(pref.Weight)/100)
			}
		}
	}
	for g, n := range soft {
		if n > 0 {
			charge(f.taintGroups[g].slots, price*float64(n))
		}
	}
}

// daemons charges each offering with the daemonsets that would run on it.
func (f *feasibility) daemons(d *dims) {
	type load struct {
		req   vec
		ports []hostPort
	}
	sum := map[string]vec{} // shared between slots with the same daemons and type
	loads := make([]load, len(f.t.p.DaemonSets))
	on := make([]bitset, len(loads))
	for i, ds := range f.t.p.DaemonSets {
		loads[i] = load{req: d.request(&Pod{Pod: ds}), ports: hostPorts(ds)}
		on[i] = f.required(ds)
		hard, _ := f.tolerated(ds)
		on[i].and(hard)
	}
	var key []byte
	for s := range f.t.all {
		slot := &f.t.all[s]
		if slot.existing {
			continue
		}
		key = key[:0]
		for i := range loads {
			if on[i].has(s) {
				key = append(key, byte(i), byte(i>>8))
				slot.ports = append(slot.ports, loads[i].ports...)
			}
		}
		used, ok := sum[string(key)]
		if !ok {
			used = make(vec, len(d.names))
			for i := range loads {
				if on[i].has(s) {
					used.add(loads[i].req)
				}
			}
			sum[string(key)] = used
		}
		slot.used = used
		slot.free = slot.free.clone()
		slot.free.sub(used)
	}
}
