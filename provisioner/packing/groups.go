package packing

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

type groupKind uint8

const (
	groupSpread groupKind = iota
	groupAffinity
	groupAnti
)

// group counts pods that a topology rule looks at, per domain of one label key.
// Rules that look at the same pods share it.
type group struct {
	kind     groupKind
	key      string
	hostname bool
	// all must match for a pod to be counted.
	all []podMatcher
	// eligible limits the slots on which pods count; nil means all.
	eligible bitset
	// matched pods, and for anti-affinity the pods that own the term, per value
	// of the label (index into labelIndex.sorted). Unused when hostname.
	matched, owners []int32
	// total matched pods anywhere.
	total int32
	// limit is how many pods a node may hold where a preference is to be kept as if
	// it were a rule; 0 means any number.
	limit int32
	// workload counts the pods of a workload, whatever their labels.
	workload string
}

func (g *group) matches(p *corev1.Pod) bool {
	for i := range g.all {
		if !g.all[i].matches(p) {
			return false
		}
	}
	return true
}

// passesOver tells whether kube-scheduler leaves out a pod that runs, for it is going
// already. A pod to place stands for its successor.
func (g *group) passesOver(p *corev1.Pod) bool {
	return g.kind == groupSpread && p.DeletionTimestamp != nil
}

// spreadRule is one topology spread constraint of a class.
type spreadRule struct {
	group               int
	maxSkew, minDomains int32
	self                bool
	domains             []int32 // eligible values of the key
}

// minimum is the least count over the eligible domains, as kube-scheduler's
// minMatchNum.
func (r *spreadRule) minimum(g *group) int32 {
	if len(r.domains) < int(r.minDomains) || len(r.domains) == 0 {
		return 0
	}
	least := g.matched[r.domains[0]]
	for _, d := range r.domains[1:] {
		least = min(least, g.matched[d])
	}
	return least
}

// classTopology lists the rules of a class about other pods.
type classTopology struct {
	spread, soft []spreadRule
	affinity     []int // groups, one per term, of which each domain must hold a match
	selfAffinity bool  // the class matches its own terms
	anti         []int // groups whose matches it must not meet
	prefer       []preferTerm
	hosts        []hostRule
	share        workloadShare
	matches      []int // groups that count its pods
}

// preferTerm is a preferred pod (anti-)affinity term: usd is its price per pod
// when broken, negative for anti-affinity.
type preferTerm struct {
	group int
	usd   float64
}

// topology compiles the rules of all classes.
type topology struct {
	t         *slotTable
	selectors *selectorCache
	groups    []*group
	byID      map[string]int
	price     float64
	strict    bool
}

func (x *topology) group(kind groupKind, key string, all []podMatcher, eligible bitset) int {
	ids := make([]string, len(all))
	for i := range all {
		ids[i] = all[i].id
	}
	id := fmt.Sprintf("%d|%s|%s|", kind, key, strings.Join(ids, "&"))
	if eligible != nil {
		id += eligible.key()
	}
	if g, ok := x.byID[id]; ok {
		return g
	}
	g := &group{kind: kind, key: key, hostname: key == corev1.LabelHostname, all: all, eligible: eligible}
	if !g.hostname {
		n := len(x.t.byLabel(key).sorted)
		g.matched, g.owners = make([]int32, n), make([]int32, n)
	}
	x.byID[id] = len(x.groups)
	x.groups = append(x.groups, g)
	return len(x.groups) - 1
}

// class compiles the rules of c and removes the slots that lack a label that
// they need.
func (x *topology) class(c *class) error {
	if err := x.spreads(c); err != nil {
		return err
	}
	a := c.rep.Spec.Affinity
	if a == nil {
		return nil
	}
	if a.PodAffinity != nil {
		if err := x.affinity(c, a.PodAffinity); err != nil {
			return err
		}
	}
	if a.PodAntiAffinity == nil {
		return nil
	}
	groups, err := x.antiTerms(c.rep.Pod)
	if err != nil {
		return err
	}
	c.topology.anti = groups
	return x.preferred(c, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, -1)
}

func (x *topology) antiTerms(p *corev1.Pod) ([]int, error) {
	var out []int
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return nil, nil
	}
	terms := p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	for i := range terms {
		m, err := x.selectors.term(p, &terms[i])
		if err != nil {
			return nil, err
		}
		out = append(out, x.group(groupAnti, terms[i].TopologyKey, []podMatcher{m}, nil))
	}
	return out, nil
}

func (x *topology) affinity(c *class, a *corev1.PodAffinity) error {
	terms := a.RequiredDuringSchedulingIgnoredDuringExecution
	all := make([]podMatcher, len(terms))
	c.topology.selfAffinity = len(terms) > 0
	for i := range terms {
		m, err := x.selectors.term(c.rep.Pod, &terms[i])
		if err != nil {
			return err
		}
		all[i] = m
		c.topology.selfAffinity = c.topology.selfAffinity && m.matches(c.rep.Pod)
	}
	for i := range terms {
		if terms[i].TopologyKey != corev1.LabelHostname {
			c.fits.and(x.t.byLabel(terms[i].TopologyKey).has)
		}
		g := x.group(groupAffinity, terms[i].TopologyKey, all, nil)
		if !slices.Contains(c.topology.affinity, g) {
			c.topology.affinity = append(c.topology.affinity, g)
		}
	}
	return x.preferred(c, a.PreferredDuringSchedulingIgnoredDuringExecution, 1)
}

func (x *topology) preferred(c *class, terms []corev1.WeightedPodAffinityTerm, sign float64) error {
	if x.price <= 0 {
		return nil
	}
	for i := range terms {
		t := &terms[i].PodAffinityTerm
		m, err := x.selectors.term(c.rep.Pod, t)
		if err != nil {
			return err
		}
		if usd := x.price * float64(terms[i].Weight) / 100; t.TopologyKey == corev1.LabelHostname {
			// To be with other pods on a node is left to kube-scheduler's own scoring,
			// and so is to be apart from pods of other kinds.
			if sign < 0 && usd > 0 && m.matches(c.rep.Pod) {
				c.topology.hosts = append(c.topology.hosts, hostRule{
					group: x.group(groupSpread, t.TopologyKey, []podMatcher{m}, nil), limit: 1, usd: usd, each: true,
				})
			}
			continue
		}
		c.topology.prefer = append(c.topology.prefer, preferTerm{
			group: x.group(groupAffinity, t.TopologyKey, []podMatcher{m}, nil),
			usd:   sign * x.price * float64(terms[i].Weight) / 100,
		})
	}
	return nil
}

func (x *topology) spreads(c *class) error {
	constraints := c.rep.Spec.TopologySpreadConstraints
	if len(constraints) == 0 {
		return nil
	}
	// Nodes that lack the key of any hard constraint do not take part.
	keyed := newBitset(len(x.t.all))
	keyed.fill(len(x.t.all))
	for i := range constraints {
		if tk := constraints[i].TopologyKey; constraints[i].WhenUnsatisfiable == corev1.DoNotSchedule && tk != corev1.LabelHostname {
			keyed.and(x.t.byLabel(tk).has)
		}
	}
	c.fits.and(keyed)
	for i := range constraints {
		tsc := &constraints[i]
		m, err := x.selectors.spread(c.rep.Pod, tsc)
		if err != nil {
			return err
		}
		if m.selector.Empty() {
			continue // kube-scheduler counts nothing for it
		}
		hard := tsc.WhenUnsatisfiable == corev1.DoNotSchedule
		if !hard && x.price <= 0 {
			continue
		}
		eligible := keyed.clone()
		if ptr.Deref(tsc.NodeAffinityPolicy, corev1.NodeInclusionPolicyHonor) == corev1.NodeInclusionPolicyHonor {
			eligible.and(c.affinityOK)
		}
		if ptr.Deref(tsc.NodeTaintsPolicy, corev1.NodeInclusionPolicyIgnore) == corev1.NodeInclusionPolicyHonor {
			eligible.and(c.tolerated)
		}
		r := spreadRule{
			group:      x.group(groupSpread, tsc.TopologyKey, []podMatcher{m}, eligible),
			maxSkew:    tsc.MaxSkew,
			minDomains: ptr.Deref(tsc.MinDomains, 1),
			self:       m.matches(c.rep.Pod),
		}
		if tsc.TopologyKey != corev1.LabelHostname {
			r.domains = x.domains(c, tsc.TopologyKey, eligible)
		}
		switch {
		case hard:
			c.topology.spread = append(c.topology.spread, r)
		case tsc.TopologyKey != corev1.LabelHostname:
			c.topology.soft = append(c.topology.soft, r)
		case r.self:
			c.topology.hosts = append(c.topology.hosts, hostRule{group: r.group, limit: max(r.maxSkew, 1), usd: x.price})
		}
	}
	return nil
}

// domains are the values of key that count for a constraint of c: those of
// eligible existing nodes, and those where a node could be bought for c, or when
// strict for any pod.
func (x *topology) domains(c *class, key string, eligible bitset) []int32 {
	ix := x.t.byLabel(key)
	seen := make([]bool, len(ix.sorted))
	eligible.each(func(i int) bool {
		if v := ix.of[i]; v >= 0 && (x.strict || x.t.all[i].existing || c.opens.has(i)) {
			seen[v] = true
		}
		return true
	})
	var out []int32
	for v, ok := range seen {
		if ok {
			out = append(out, int32(v))
		}
	}
	return out
}
