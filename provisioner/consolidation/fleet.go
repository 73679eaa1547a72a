package consolidation

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"

	"supercargo.dev/provisioner/packing"
)

// fleet is the cluster as the moves found so far leave it.
type fleet struct {
	state *State
	nodes []*member
	// launched are the replacements of earlier moves; they stay.
	launched []packing.Node
	fixed    []packing.Node
	budgets  map[string]int
	price    float64 // of launched
	memo     packing.Memo
	worth    amounts // what a core and a byte of memory cost where they are cheapest
	seq      int
	risks    map[offeringKey]float64 // interruptions per hour
	apart    bool                    // whether some pod keeps others off more than its node
}

// member is a candidate.
type member struct {
	packing.Node
	*Candidate
	movable []int                               // indices into Node.Pods of pods that would have to move
	costs   []float64                           // of moving each pod, by index into Node.Pods
	anew    map[*corev1.Pod]corev1.ResourceList // see Candidate.Anew
	gone    bool
	leaving bool    // see hunt.carry
	stuck   bool    // has a pod without another place, see hunt.stick
	loose   bool    // has none
	took    bool    // pods of nodes given up
	dear    float64 // see fleet.dear
	kept    string  // why it stays, "" while undecided
	// fruitless says why the last search around it found nothing.
	fruitless string
	promise   float64 // see rank
}

func newFleet(ctx context.Context, s *State) (*fleet, error) {
	f := &fleet{state: s, budgets: map[string]int{}}
	for k, v := range s.Budgets {
		f.budgets[k] = v
	}
	f.risks = risks(s.Pools)
	for i := range s.Fixed {
		f.fixed = append(f.fixed, live(s.Fixed[i]))
	}
	for i := range s.Candidates {
		c := &s.Candidates[i]
		m := &member{Candidate: c, Node: live(c.Node)}
		costs := map[*corev1.Pod]float64{}
		for k := range c.Pods {
			if k < len(c.Anew) && c.Anew[k] != nil {
				if m.anew == nil {
					m.anew = map[*corev1.Pod]corev1.ResourceList{}
				}
				m.anew[c.Pods[k].Pod] = c.Anew[k]
			}
			costs[c.Pods[k].Pod] = s.Options.DefaultPodCost
			if k < len(c.PodCost) {
				costs[c.Pods[k].Pod] = c.PodCost[k]
			}
		}
		for k := range m.Node.Pods {
			p := &m.Node.Pods[k]
			m.costs = append(m.costs, costs[p.Pod])
			if moves(p) {
				m.movable = append(m.movable, k)
			}
		}
		f.nodes = append(f.nodes, m)
	}
	if err := f.reserve(ctx); err != nil {
		return nil, err
	}
	var need amounts
	for _, m := range f.nodes {
		need = need.plus(requested(m.Node.Pods))
	}
	f.worth = unitPrices(s.Pools, need)
	for _, n := range f.standing(nil) {
		f.apart = f.apart || slices.ContainsFunc(n.Pods, keepsApart)
	}
	f.rank()
	return f, nil
}

// live copies a node without the pods that have ended, and with the requests of
// the others worked out once.
func live(n packing.Node) packing.Node {
	pods := make([]packing.Pod, 0, len(n.Pods))
	for _, p := range n.Pods {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if p.Requests == nil {
			p.Requests = resourcehelper.PodRequests(p.Pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
		}
		pods = append(pods, p)
	}
	n.Pods = pods
	return n
}

// moves tells whether a pod needs a new place when its node goes: not those that
// belong to the node, nor those on their way out.
func moves(p *packing.Pod) bool {
	if p.Daemon || p.DeletionTimestamp != nil {
		return false
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	for i := range p.OwnerReferences {
		if r := &p.OwnerReferences[i]; r.Controller != nil && *r.Controller && (r.Kind == "DaemonSet" || r.Kind == "Node") {
			return false
		}
	}
	return true
}

// reserve puts the pending pods that fit on nodes there, so that no move takes
// their place.
func (f *fleet) reserve(ctx context.Context) error {
	if len(f.state.Pending) == 0 {
		return nil
	}
	plan, err := f.solve(ctx, f.state.Pending, f.standing(nil), nil, 0)
	if err != nil {
		return fmt.Errorf("placing pending pods, %w", err)
	}
	for _, b := range plan.Bindings {
		f.place(b.Node, f.state.Pending[b.Pod], 0)
	}
	return nil
}

// place adds a pod to a node that stays.
func (f *fleet) place(node string, p packing.Pod, cost float64) {
	for _, m := range f.nodes {
		if m.Node.Name == node && !m.gone {
			m.movable = append(m.movable, len(m.Node.Pods))
			m.Node.Pods = append(m.Node.Pods, p)
			m.costs = append(m.costs, cost)
			m.took = true
			return
		}
	}
	for _, set := range [2][]packing.Node{f.launched, f.fixed} {
		for i := range set {
			if set[i].Name == node {
				set[i].Pods = append(set[i].Pods, p)
				return
			}
		}
	}
}

// trialEffort is the packer's effort for one trial: many quick trials find more
// than few careful ones.
const trialEffort = 0.01

// standing are the nodes that are left, less a set. Those that are to leave take no pods.
func (f *fleet) standing(less []*member) []packing.Node {
	without := make(map[*member]bool, len(less))
	for _, m := range less {
		without[m] = true
	}
	out := make([]packing.Node, 0, len(f.nodes)+len(f.launched)+len(f.fixed))
	for _, m := range f.nodes {
		switch {
		case m.gone || without[m]:
		case m.leaving:
			out = append(out, closed(m.Node))
		default:
			out = append(out, m.Node)
		}
	}
	out = append(out, f.launched...)
	return append(out, f.fixed...)
}

// solve packs pods on nodes and, where pools are given, on new ones.
func (f *fleet) solve(ctx context.Context, pods []packing.Pod, nodes []packing.Node, pools []packing.Pool, maxCost float64) (packing.Plan, error) {
	problem := packing.Problem{
		Pods: pods, Nodes: nodes, Pools: pools, DaemonSets: f.state.DaemonSets, Namespaces: f.state.Namespaces,
		Memo: &f.memo, Options: f.state.Options.Packing,
	}
	problem.Options.Seed, problem.Options.MaxCost = f.state.Options.Seed, maxCost
	if problem.Options.Effort == 0 {
		problem.Options.Effort = trialEffort
	}
	plan, err := packing.Solve(ctx, problem)
	if err != nil {
		return plan, fmt.Errorf("packing, %w", err)
	}
	return plan, nil
}

// rank orders the candidates by what giving them up promises: what they cost beyond
// the worth of what their pods request, per cost of moving the pods.
func (f *fleet) rank() {
	for _, m := range f.nodes {
		var used amounts
		cost := 0.0
		for _, k := range m.movable {
			cost += m.costs[k]
			p := &m.Node.Pods[k]
			list := p.Requests
			if p.Expected != nil {
				list = p.Expected
			}
			used = used.plus(amountsOf(list))
		}
		price := m.Node.Price
		if math.IsNaN(price) {
			price = 0
		}
		m.promise = max(0.02*price, price-used.times(f.worth)) / (cost + price*f.state.Options.LaunchOverlap.Hours() + 1e-6)
	}
}

// byPromise lists the candidates that may still be given up, best first.
func (f *fleet) byPromise() []*member {
	var out []*member
	for _, m := range f.nodes {
		if !m.gone && m.kept == "" {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b *member) int { return cmp.Compare(b.promise, a.promise) })
	return out
}

func (f *fleet) cost() float64 {
	usd := f.price
	for _, m := range f.nodes {
		if !m.gone && !math.IsNaN(m.Node.Price) {
			usd += m.Node.Price
		}
	}
	return usd
}

// lowerBound bounds what the pods of all candidates could cost: blocked ones
// stay at their price, the others are packed anew.
func (f *fleet) lowerBound() (float64, error) {
	problem := packing.Problem{
		Pools: slices.Clone(f.state.Pools), DaemonSets: f.state.DaemonSets, Namespaces: f.state.Namespaces,
		Nodes: slices.Clone(f.fixed), Options: f.state.Options.Packing,
	}
	stays := 0.0
	for i := range problem.Pools {
		problem.Pools[i].Limits = nil // what is given up may be bought again
	}
	for _, m := range f.nodes {
		if m.Blocked != "" {
			problem.Nodes = append(problem.Nodes, m.Node)
			if !math.IsNaN(m.Node.Price) {
				stays += m.Node.Price
			}
			continue
		}
		for _, k := range m.movable {
			problem.Pods = append(problem.Pods, m.Node.Pods[k])
		}
	}
	bound, err := packing.ResourceBound(problem)
	if err != nil {
		return 0, fmt.Errorf("bounding, %w", err)
	}
	return stays + bound, nil
}

// kept explains each candidate that stays, though others go when better is set.
func (f *fleet) kept(ctx context.Context, better bool) []Kept {
	var out []Kept
	for _, m := range f.nodes {
		if m.gone {
			continue
		}
		why := m.kept
		switch {
		case why != "":
		case m.fruitless != "":
			why = "kept because " + m.fruitless
		case ctx.Err() != nil:
			why = "kept because time ran out before it was looked at"
		case better:
			why = "kept because what others save is worth more for what it disturbs"
		default:
			why = "kept because no move that pays includes it"
		}
		if f.state.Returning > 0 && m.kept == "" {
			why += fmt.Sprintf("; %d offerings that were out of capacity are not used for replacements until they have stayed for a while", f.state.Returning)
		}
		out = append(out, Kept{m.Node.Name, why})
	}
	return out
}

// closed is a node that takes no further pod. Those on it still count for rules
// between pods.
func closed(n packing.Node) packing.Node {
	n.Allocatable = corev1.ResourceList{}
	return n
}
