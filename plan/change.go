package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/plan/dump"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/recommender/demand"
)

// price fills in what a change costs, and returns the packing of the cluster with it.
func (r *Report) price(ctx context.Context, before *cluster, objects, change *dump.Objects, o *Options, m *market, s *sizes, without *packed) (*packed, error) {
	if len(change.Workloads) == 0 {
		return nil, errors.New("the change holds no workload: want Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs or CronJobs")
	}
	if len(change.Ignored) > 0 {
		before.notef("of the change these have no pods that are known, and no price: %s", change.Kinds())
	}
	r.Change = &Change{}
	changed, added := r.Change.apply(objects, change)
	after := newCluster(changed, o, s)
	after.blockers() // so that pods that must not be moved are known
	after.keepTied(o.KeepBlocked)
	with, err := after.pack(ctx, o, m)
	if err != nil {
		return nil, err
	}
	r.Change.Packed = ChangeCost{
		PricePerHour: round(with.plan.Cost - without.plan.Cost), PricePerMonth: round((with.plan.Cost - without.plan.Cost) * HoursPerMonth),
		Nodes:         len(with.plan.Nodes) - len(without.plan.Nodes),
		UnknownPrices: with.plan.Stats.UnknownPrices,
	}
	asIs, err := after.asIs(ctx, o, m, added)
	if err != nil {
		return nil, err
	}
	r.Change.AsIs = ChangeCost{
		PricePerHour: round(asIs.plan.Cost), PricePerMonth: round(asIs.plan.Cost * HoursPerMonth), Nodes: len(asIs.plan.Nodes),
		UnknownPrices: asIs.plan.Stats.UnknownPrices, Buy: asIs.purchases(), Unplaced: asIs.unplaced(),
	}
	notes := after.notes
	after.notes, after.input = before.notes, before.input
	for _, note := range notes {
		after.notef("%s", note)
	}
	return with, nil
}

// apply returns the objects with the workloads of the change in place of those of the same kind and name, and which pods are
// new.
func (c *Change) apply(objects, change *dump.Objects) (*dump.Objects, map[*corev1.Pod]bool) {
	out := *objects
	out.Namespaces = slices.Concat(objects.Namespaces, change.Namespaces)
	type identity struct{ kind, namespace, name string }
	at := map[identity]int{}
	for i := range change.Workloads {
		w := &change.Workloads[i]
		at[identity{w.Kind, w.Namespace, w.Name}] = i
		c.Workloads = append(c.Workloads, ChangedWorkload{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name, After: int(w.Replicas)})
	}
	out.Workloads = slices.DeleteFunc(slices.Clone(objects.Workloads), func(w dump.Workload) bool {
		_, ok := at[identity{w.Kind, w.Namespace, w.Name}]
		return ok
	})
	out.Workloads = append(out.Workloads, change.Workloads...)
	out.Pods = nil
	for _, p := range objects.Pods {
		owner, ok := demand.OwnerOf(p)
		i, replaced := at[identity{owner.Kind, owner.Namespace, owner.Name}]
		if !ok || !replaced {
			out.Pods = append(out.Pods, p)
			continue
		}
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			c.Workloads[i].Before++
		}
		if owner.Kind == "DaemonSet" { // its pods on nodes that stay go on running
			out.Pods = append(out.Pods, p)
		}
	}
	added := map[*corev1.Pod]bool{}
	for i := range change.Workloads {
		w := &change.Workloads[i]
		if w.Kind == "DaemonSet" {
			c.Workloads[i].After = c.Workloads[i].Before
			continue
		}
		for n := range w.Replicas {
			p := *w.Pod // shares its spec, which nobody writes to
			p.Name = fmt.Sprintf("%s-%d", w.Name, n)
			added[&p] = true
			out.Pods = append(out.Pods, &p)
		}
		c.Pods += c.Workloads[i].After - c.Workloads[i].Before
	}
	return &out, added
}

// asIs places the added pods on the nodes as they are, and buys nodes for those that find no room.
func (c *cluster) asIs(ctx context.Context, o *Options, m *market, added map[*corev1.Pod]bool) (*packed, error) {
	found, _ := groups(c.nodes, demandedLabels(c.pods, m.types))
	p := packing.Problem{
		Pools: pools(found, m.types), DaemonSets: c.daemons, Namespaces: c.namespaces,
		Options: packing.Options{Seed: o.Seed, TimeBudget: o.TimeBudget},
	}
	for _, n := range c.nodes {
		p.Nodes = append(p.Nodes, c.fixed(n))
	}
	var movers []*pod
	waiting := 0
	for _, known := range c.pods {
		switch {
		case added[known.Pod]:
			p.Pods = append(p.Pods, c.mover(known, o))
			movers = append(movers, known)
		case known.node == nil && known.role == movable:
			waiting++
		}
	}
	if waiting > 0 {
		c.notef("the price of the change on the nodes as they are leaves out %d other pods that wait for a node", waiting)
	}
	if o.Progress != nil {
		o.Progress(fmt.Sprintf("placing %d changed pods on the nodes as they are", len(movers)))
	}
	c.volumes.attach.Apply(&p)
	solved, err := packing.Solve(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("placing the change, %w", err)
	}
	return &packed{c: c, m: m, plan: solved, movers: movers}, nil
}
