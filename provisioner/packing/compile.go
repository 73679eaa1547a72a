package packing

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// compiled is a problem in the form that the search works on.
type compiled struct {
	p       *Problem
	d       *dims
	t       *slotTable
	classes []*class
	groups  []*group
	// existing bins, in the order of Problem.Nodes.
	existing []*bin
	// scale is the largest amount of each resource that a slot holds: it turns
	// amounts into numbers near one.
	scale []float64
	// vols is nil when no pod has volumes to attach.
	vols *volumeUse
	// residentsOf counts, per existing node and group, the pods that were there.
	residentsOf map[[2]int]int32
}

// residing is how many pods that a group counts were on an existing node.
func (c *compiled) residing(slot, group int) int32 { return c.residentsOf[[2]int{slot, group}] }

// compile reads a problem. strict makes every domain of a spread constraint count
// where any node could be bought, not only those where its own pods could go.
func compile(p *Problem, strict bool) (*compiled, error) {
	if p.Memo == nil {
		p.Memo = &Memo{}
	}
	relevant, asked := map[string]bool{}, map[corev1.ResourceName]bool{}
	for i := range p.Pods {
		if p.Pods[i].Pod == nil {
			return nil, fmt.Errorf("pod %d is nil", i)
		}
		relevantLabels(relevant, p.Pods[i].Pod)
	}
	names := map[string]bool{}
	for i := range p.Nodes {
		if names[p.Nodes[i].Name] {
			return nil, fmt.Errorf("two nodes are named %q", p.Nodes[i].Name)
		}
		names[p.Nodes[i].Name] = true
		for _, key := range p.residents(i).keys {
			relevant[key] = true
		}
	}
	f := newFingerprinter(relevant)
	f.vols, f.shares = newVolumeUse(p), p.Options.shares()
	classes, err := compileClasses(p.Pods, f)
	if err != nil {
		return nil, err
	}
	requests := make([]corev1.ResourceList, len(classes))
	for i, c := range classes {
		requests[i] = requestList(c.rep)
		for name, q := range requests[i] {
			if !q.IsZero() {
				asked[name] = true
			}
		}
	}
	if f.vols != nil {
		for driver := range f.vols.total {
			asked[AttachableVolumes(driver)] = true
		}
	}
	c := &compiled{p: p, d: newDims(asked, f.vols), classes: classes, vols: f.vols, residentsOf: map[[2]int]int32{}}
	for i, cl := range classes {
		cl.req = c.d.vec(requests[i])
		cl.req[dimPods] = 1
		c.volumes(cl)
	}
	c.t = buildSlots(p, c.d, c.mentioned())
	if err := c.rules(f, strict); err != nil {
		return nil, err
	}
	c.measure()
	return c, nil
}

// residents is what is known of the pods on node i.
func (p *Problem) residents(i int) *residents { return p.Memo.of(p.Nodes[i].Pods) }

// measure finds the scale of each resource.
func (c *compiled) measure() {
	c.scale = make([]float64, len(c.d.names))
	for i := range c.t.all {
		for r, x := range c.t.all[i].free {
			c.scale[r] = math.Max(c.scale[r], float64(x))
		}
	}
	for r := range c.scale {
		if c.scale[r] <= 0 {
			c.scale[r] = 1
		}
	}
}

// rules subtracts what runs on existing nodes, compiles all rules, and
// counts residents in the groups that look at them.
func (c *compiled) rules(f *fingerprinter, strict bool) error {
	feas := newFeasibility(c.t)
	feas.daemons(c.d)
	for i := c.t.first; i < len(c.t.all); i++ {
		c.freeOf(&c.t.all[i])
	}
	topo := &topology{
		t: c.t, byID: map[string]int{}, price: c.p.Options.PreferencePrice, strict: strict,
		selectors: &selectorCache{namespaces: c.p.Namespaces, parsed: map[string]labels.Selector{}},
	}
	for _, cl := range c.classes {
		feas.class(cl, c.p.Options.PreferencePrice)
		if err := topo.class(cl); err != nil {
			return err
		}
	}
	shares := c.shares(topo)
	owned := map[*corev1.Pod][]int{}
	carried := map[labelValue]bool{}
	for _, cl := range c.classes {
		for k, v := range cl.rep.Labels {
			carried[labelValue{k, v}] = true
		}
	}
	for ni := range c.p.Nodes {
		avoiding := c.p.residents(ni).avoiding
		for i := range avoiding {
			if !avoiding[i].concerns(carried) {
				continue
			}
			groups, err := topo.antiTerms(avoiding[i].pod)
			if err != nil {
				return err
			}
			owned[avoiding[i].pod] = groups
		}
	}
	c.groups = topo.groups
	m := newGroupMatcher(c.groups)
	for _, cl := range c.classes {
		cl.topology.matches = m.of(cl.rep.Pod)
		if cl.topology.share.limit > 0 {
			cl.topology.matches = append(cl.topology.matches, cl.topology.share.group)
			slices.Sort(cl.topology.matches)
		}
	}
	c.count(m, f, owned)
	c.countShares(shares)
	return nil
}

func (c *compiled) freeOf(s *slot) {
	n := &c.p.Nodes[s.node]
	s.free = c.d.room(n.Allocatable)
	r := c.p.residents(s.node)
	r.subtract(s.free, c.d)
	s.ports = slices.Clip(r.ports)
	s.free.sub(c.d.vec(n.Daemons))
	c.attached(s)
}

// count adds the residents to the groups and builds the existing bins.
func (c *compiled) count(m *groupMatcher, f *fingerprinter, owned map[*corev1.Pod][]int) {
	c.existing = make([]*bin, len(c.p.Nodes))
	seen := map[string][]int{}
	var key []byte
	for ni := range c.p.Nodes {
		si := c.t.first + ni
		b := newBin(c.t, si)
		c.existing[ni] = b
		if len(c.groups) == 0 {
			continue
		}
		if len(m.rest) == 0 {
			c.countAnchored(m, b, ni, owned)
			continue
		}
		for pi := range c.p.Nodes[ni].Pods {
			pod := c.p.Nodes[ni].Pods[pi].Pod
			key = f.identity(key[:0], pod)
			groups, ok := seen[string(key)]
			if !ok {
				groups = m.of(pod)
				seen[string(key)] = groups
			}
			for _, g := range groups {
				if !c.groups[g].passesOver(pod) {
					c.resident(b, si, g, false)
				}
			}
			for _, g := range owned[pod] {
				c.resident(b, si, g, true)
			}
		}
	}
}

// countAnchored counts the residents of one node where every group demands some
// label: few nodes have a pod that carries it.
func (c *compiled) countAnchored(m *groupMatcher, b *bin, ni int, owned map[*corev1.Pod][]int) {
	si, r, pods := c.t.first+ni, c.p.residents(ni), c.p.Nodes[ni].Pods
	if len(r.byLabel) > 0 {
		for anchor, groups := range m.anchored {
			for _, pi := range r.byLabel[anchor] {
				for _, g := range groups {
					if pod := pods[pi].Pod; m.groups[g].matches(pod) && !m.groups[g].passesOver(pod) {
						c.resident(b, si, g, false)
					}
				}
			}
		}
	}
	for i := range r.avoiding {
		for _, g := range owned[r.avoiding[i].pod] {
			c.resident(b, si, g, true)
		}
	}
}

func (c *compiled) resident(b *bin, slot, gi int, owner bool) {
	g := c.groups[gi]
	if g.eligible != nil && !g.eligible.has(slot) {
		return
	}
	if g.hostname {
		k, ok := b.at(gi)
		if !ok {
			b.marks = append(b.marks, binMark{})
			copy(b.marks[k+1:], b.marks[k:])
			b.marks[k] = binMark{group: gi}
		}
		if owner {
			b.marks[k].owners++
		} else {
			b.marks[k].matched++
			g.total++
		}
		return
	}
	v := c.t.byLabel(g.key).of[slot]
	if v < 0 {
		return
	}
	if owner {
		g.owners[v]++
	} else {
		c.residentsOf[[2]int{slot, gi}]++
		g.matched[v]++
		g.total++
	}
}
