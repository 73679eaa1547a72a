package packing

import (
	"math"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// slot is a place where pods may go: an offering that a new node can be bought
// from, or one existing node.
type slot struct {
	existing bool
	// node indexes Problem.Nodes when existing; the others index Pools, Types
	// and Offerings when not.
	node                int
	pool, typ, offering int
	// open holds the values chosen for labels that the pool leaves open.
	open map[string]string
	free vec // allocatable less daemons, and less what runs there
	used vec // what daemons take of a new node
	// price is the offering's, NaN when unknown; cost is what it is compared
	// by: price + fee + risk, always finite.
	price, cost float64
	priced      bool
	ports       []hostPort
	// volumes with several users that are on an existing node.
	volumes []int32
	// rank orders slots by preference: 0 for existing nodes, then a group per
	// pool weight, then unpriced ones.
	rank int
}

// slotTable holds all slots, existing nodes last.
type slotTable struct {
	p     *Problem
	all   []slot
	first int // index of the first existing node
	index map[string]*labelIndex
	// pools holds what of each pool may still be bought.
	pools []poolLimit
}

// existing are the slots that are nodes already.
func (t *slotTable) existing() []slot { return t.all[t.first:] }

// labelIndex tells for one label key which slots carry which value.
type labelIndex struct {
	has    bitset
	values map[string]bitset
	sorted []string // values in order
	of     []int32  // slot → index into sorted, −1 when absent
}

func (t *slotTable) label(s *slot, key string) (string, bool) {
	if s.existing {
		v, ok := t.p.Nodes[s.node].Labels[key]
		return v, ok
	}
	pool := &t.p.Pools[s.pool]
	it := &pool.Types[s.typ]
	of := &it.Offerings[s.offering]
	key = stableName(key)
	switch {
	case key == corev1.LabelTopologyZone && of.Zone != "":
		return of.Zone, true
	case key == LabelCapacityType && of.CapacityType != "":
		return of.CapacityType, true
	case key == LabelNodePool:
		return pool.Name, true
	case key == corev1.LabelHostname:
		return "", true // every node has one, and none to buy has one that is known
	}
	if v, ok := of.Labels[key]; ok {
		return v, true
	}
	if v, ok := it.Labels[key]; ok {
		return v, true
	}
	if key == corev1.LabelInstanceTypeStable {
		return it.Name, true
	}
	if v, ok := pool.Labels[key]; ok {
		return v, true
	}
	v, ok := s.open[key]
	return v, ok
}

// labels builds the whole label set of a slot.
func (t *slotTable) labels(s *slot) map[string]string {
	if s.existing {
		return t.p.Nodes[s.node].Labels
	}
	pool := &t.p.Pools[s.pool]
	it := &pool.Types[s.typ]
	of := &it.Offerings[s.offering]
	out := make(map[string]string, len(pool.Labels)+len(it.Labels)+len(of.Labels)+len(s.open)+4)
	for _, m := range []map[string]string{s.open, pool.Labels, {corev1.LabelInstanceTypeStable: it.Name}, it.Labels, of.Labels} {
		for k, v := range m {
			out[k] = v
		}
	}
	if of.Zone != "" {
		out[corev1.LabelTopologyZone] = of.Zone
	}
	if of.CapacityType != "" {
		out[LabelCapacityType] = of.CapacityType
	}
	out[LabelNodePool] = pool.Name
	return WithOldNames(out)
}

func (t *slotTable) taints(s *slot) []corev1.Taint {
	if s.existing {
		return t.p.Nodes[s.node].Taints
	}
	return t.p.Pools[s.pool].Taints
}

// byLabel returns the index of a key, building it at first use.
func (t *slotTable) byLabel(key string) *labelIndex {
	if x, ok := t.index[key]; ok {
		return x
	}
	x := &labelIndex{has: newBitset(len(t.all)), values: map[string]bitset{}, of: make([]int32, len(t.all))}
	for i := range t.all {
		v, ok := t.label(&t.all[i], key)
		if !ok {
			continue
		}
		x.has.set(i)
		b, ok := x.values[v]
		if !ok {
			b = newBitset(len(t.all))
			x.values[v] = b
			x.sorted = append(x.sorted, v)
		}
		b.set(i)
	}
	slices.Sort(x.sorted)
	for i := range x.of {
		x.of[i] = -1
	}
	for n, v := range x.sorted {
		x.values[v].each(func(i int) bool { x.of[i] = int32(n); return true })
	}
	t.index[key] = x
	return x
}

// matching returns the slots whose label satisfies one requirement.
func (t *slotTable) matching(key string, op corev1.NodeSelectorOperator, values []string) bitset {
	x := t.byLabel(key)
	out := newBitset(len(t.all))
	switch op {
	case corev1.NodeSelectorOpIn:
		for _, v := range values {
			if b, ok := x.values[v]; ok {
				out.or(b)
			}
		}
	case corev1.NodeSelectorOpNotIn:
		out.fill(len(t.all))
		for _, v := range values {
			if b, ok := x.values[v]; ok {
				out.andNot(b)
			}
		}
	case corev1.NodeSelectorOpExists:
		out.or(x.has)
	case corev1.NodeSelectorOpDoesNotExist:
		out.fill(len(t.all))
		out.andNot(x.has)
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(values) != 1 {
			break
		}
		want, err := strconv.ParseInt(values[0], 10, 64)
		if err != nil {
			break
		}
		for v, b := range x.values {
			got, err := strconv.ParseInt(v, 10, 64)
			if err == nil && (op == corev1.NodeSelectorOpGt && got > want || op == corev1.NodeSelectorOpLt && got < want) {
				out.or(b)
			}
		}
	}
	return out
}

// costOf is what an offering is compared by.
func costOf(of *Offering, o *Options) (cost float64, priced bool) {
	if math.IsNaN(of.Price) || math.IsInf(of.Price, 0) || of.Price < 0 {
		return 0, false
	}
	return of.Price + o.NodeFee + max(of.Risk, 0)*o.InterruptionCost, true
}
