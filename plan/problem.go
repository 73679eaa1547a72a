package plan

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/packing"
)

// keepTied keeps the nodes that hold pods which can run nowhere else, and with blocked those that hold pods that must not be
// moved.
func (c *cluster) keepTied(blocked bool) {
	for _, p := range c.pods {
		if p.role != movable || p.node == nil || p.node.keep != "" {
			continue
		}
		_, tied := c.volumes.terms(p)
		switch {
		case tied:
			p.node.keep = "local volumes"
		case len(p.Spec.ResourceClaims) > 0:
			p.node.keep = "pods with claimed devices"
		case nailed(p.Pod):
			p.node.keep = "pods that ask for this node by name"
		case blocked && c.blocked[p]:
			p.node.keep = "pods that must not be moved"
		}
	}
	c.volumes.guessed = 0
}

// nailed says whether a pod asks for one node by name.
func nailed(p *corev1.Pod) bool {
	if _, ok := p.Spec.NodeSelector[corev1.LabelHostname]; ok {
		return true
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return false
	}
	required := p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil || len(required.NodeSelectorTerms) == 0 {
		return false
	}
	for i := range required.NodeSelectorTerms {
		if !namesHost(&required.NodeSelectorTerms[i]) {
			return false
		}
	}
	return true
}

// problem is the packing of the pods that the plan moves; movers are those pods, in its order.
func (c *cluster) problem(o *Options, pools []packing.Pool) (p packing.Problem, movers []*pod) {
	p = packing.Problem{
		Pools: pools, DaemonSets: c.daemons, Namespaces: c.namespaces,
		Options: packing.Options{Seed: o.Seed, TimeBudget: o.TimeBudget},
	}
	for _, n := range c.nodes {
		if n.keep != "" {
			p.Nodes = append(p.Nodes, c.fixed(n))
		}
	}
	for _, known := range c.pods {
		if known.role == movable && (known.node == nil || known.node.keep == "") {
			p.Pods = append(p.Pods, c.mover(known, o))
			movers = append(movers, known)
		}
	}
	c.volumes.attach.Apply(&p)
	return p, movers
}

// mover is a pod with what holds for it beyond its spec.
func (c *cluster) mover(known *pod, o *Options) packing.Pod {
	terms, _ := c.volumes.terms(known)
	if arch := archFor(known, o); arch != "" {
		terms = both(terms, []corev1.NodeSelectorTerm{requires(corev1.LabelArchStable, arch)})
	}
	if o.Spot != SpotOff {
		switch c.tolerance(known.Pod) {
		case v1alpha1.SpotNever:
			terms = both(terms, []corev1.NodeSelectorTerm{requires(packing.LabelCapacityType, packing.CapacityOnDemand, packing.CapacityReserved)})
		case v1alpha1.SpotRequire:
			terms = both(terms, []corev1.NodeSelectorTerm{requires(packing.LabelCapacityType, packing.CapacitySpot)})
		}
	}
	return packing.Pod{Pod: known.Pod, Requests: known.wanted, NodeTerms: terms, Volumes: c.volumes.of(known.Pod)}
}

// archFor is the architecture that a pod has to keep: the one it runs on, unless its images are said to exist for others.
func archFor(p *pod, o *Options) string {
	if len(o.Architectures) > 0 || choosesArch(p.Pod) {
		return ""
	}
	if p.node != nil {
		return archOf(p.node.Node)
	}
	return o.mostUsedArch
}

// choosesArch says whether the pod itself selects an architecture.
func choosesArch(p *corev1.Pod) bool {
	if _, ok := p.Spec.NodeSelector[corev1.LabelArchStable]; ok {
		return true
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	return slices.ContainsFunc(p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms,
		func(t corev1.NodeSelectorTerm) bool {
			return slices.ContainsFunc(t.MatchExpressions, func(e corev1.NodeSelectorRequirement) bool {
				return e.Key == corev1.LabelArchStable
			})
		})
}

// tolerance is what the pod, or its namespace, says about spot capacity.
func (c *cluster) tolerance(p *corev1.Pod) v1alpha1.SpotTolerance {
	if v := p.Annotations[v1alpha1.SpotAnnotation]; v != "" {
		return v1alpha1.SpotTolerance(v)
	}
	return v1alpha1.SpotTolerance(c.spotOfNamespace[p.Namespace])
}

// fixed is a node that stays, with all that runs on it.
func (c *cluster) fixed(n *node) packing.Node {
	out := packing.Node{Name: n.Name, Labels: n.Labels, Taints: n.Spec.Taints, Allocatable: n.Status.Allocatable, Price: n.price}
	if n.Labels[corev1.LabelHostname] == "" {
		out.Labels = withLabel(n.Labels, corev1.LabelHostname, n.Name)
	}
	if n.Spec.Unschedulable {
		out.Taints = append(slices.Clone(out.Taints), corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	for _, p := range n.pods {
		out.Pods = append(out.Pods, packing.Pod{Pod: p.Pod, Requests: p.enforced, Volumes: c.volumes.of(p.Pod), Daemon: p.role != movable})
	}
	return out
}

func withLabel(l map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(l)+1)
	for k, v := range l {
		out[k] = v
	}
	out[key] = value
	return out
}

// summary is the cluster as it is.
func (c *cluster) summary() Summary {
	var t tally
	for _, n := range c.nodes {
		t.node(n)
	}
	return t.summary()
}

// tally sums up nodes, existing or planned.
type tally struct {
	s                              Summary
	cpu, memory                    float64 // requested, in cores and bytes
	cpuAllocatable, memAllocatable float64
}

func (t *tally) node(n *node) {
	t.machine(n.Status.Capacity, n.Status.Allocatable, capacityTypeOf(n.Node) == packing.CapacitySpot, n.price)
	for _, p := range n.pods {
		t.s.Pods++
		t.cpu += p.enforced.Cpu().AsApproximateFloat64()
		t.memory += p.enforced.Memory().AsApproximateFloat64()
	}
}

func (t *tally) machine(capacity, allocatable corev1.ResourceList, spot bool, price float64) {
	t.s.Nodes++
	t.s.SpotNodes += btoi(spot)
	if len(capacity) == 0 {
		capacity = allocatable
	}
	t.s.VCPU += capacity.Cpu().AsApproximateFloat64()
	t.s.MemoryGiB += capacity.Memory().AsApproximateFloat64() / (1 << 30)
	t.cpuAllocatable += allocatable.Cpu().AsApproximateFloat64()
	t.memAllocatable += allocatable.Memory().AsApproximateFloat64()
	if math.IsNaN(price) {
		t.s.UnknownPrices++
	} else {
		t.s.PricePerHour += price
	}
}

func (t *tally) summary() Summary {
	s := t.s
	s.PricePerHour, s.PricePerMonth = round(s.PricePerHour), round(s.PricePerHour*HoursPerMonth)
	s.VCPU, s.MemoryGiB = tenth(s.VCPU), tenth(s.MemoryGiB)
	if t.cpuAllocatable > 0 {
		s.CPUPercent = tenth(100 * t.cpu / t.cpuAllocatable)
	}
	if t.memAllocatable > 0 {
		s.MemoryPercent = tenth(100 * t.memory / t.memAllocatable)
	}
	return s
}

func tenth(v float64) float64 { return math.Round(v*10) / 10 }
