package packing

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Memo remembers between problems what was worked out about the pods that run on
// nodes. It makes a series of problems about one cluster cheap, such as those of
// consolidation, which differ in a few nodes each.
//
// A node's pods are known again by their slice: whoever shares a Memo between
// problems may append to Node.Pods but not change what is in it. A Memo is for one
// goroutine at a time. The zero value is ready for use.
type Memo struct {
	nodes map[podList]*residents
}

// podList identifies a slice of pods.
type podList struct {
	first *Pod
	n     int
}

// residents is what compile needs to know about the pods on a node.
type residents struct {
	names   []corev1.ResourceName
	amounts []int64
	ports   []hostPort
	volumes []Volume
	// keys are the label keys that selectors of the pods look at.
	keys     []string
	avoiding []avoider
	// byLabel lists the pods, by their place on the node, that carry each label.
	byLabel map[labelValue][]int32
}

// avoider is a pod with required anti-affinity. Each of its terms matches only pods
// that carry one of the anchors, unless any is set.
type avoider struct {
	pod     *corev1.Pod
	anchors []labelValue
	any     bool
}

func newAvoider(p *corev1.Pod, terms []corev1.PodAffinityTerm) avoider {
	a := avoider{pod: p}
	for i := range terms {
		if s := terms[i].LabelSelector; s == nil || len(s.MatchLabels) == 0 {
			a.any = true
			continue
		}
		all := terms[i].LabelSelector.MatchLabels
		first := slices.Min(slices.Collect(maps.Keys(all))) // the term demands all of them: one will do
		a.anchors = append(a.anchors, labelValue{first, all[first]})
	}
	return a
}

// concerns tells whether the pod may avoid pods that carry the given labels.
func (a *avoider) concerns(carried map[labelValue]bool) bool {
	return a.any || slices.ContainsFunc(a.anchors, func(l labelValue) bool { return carried[l] })
}

func (m *Memo) of(pods []Pod) *residents {
	if len(pods) == 0 {
		return &residents{}
	}
	key := podList{&pods[0], len(pods)}
	if r, ok := m.nodes[key]; ok {
		return r
	}
	if m.nodes == nil {
		m.nodes = map[podList]*residents{}
	}
	r := newResidents(pods)
	m.nodes[key] = r
	return r
}

func newResidents(pods []Pod) *residents {
	r := &residents{byLabel: map[labelValue][]int32{}}
	keys := map[string]bool{}
	for i := range pods {
		p := pods[i].Pod
		for k, v := range p.Labels {
			l := labelValue{k, v}
			r.byLabel[l] = append(r.byLabel[l], int32(i)) //nolint:gosec // a node has few pods
		}
		for name, q := range requestList(&pods[i]) {
			if name != corev1.ResourcePods {
				r.add(name, amount(name, q))
			}
		}
		r.add(corev1.ResourcePods, 1)
		r.ports = append(r.ports, hostPorts(p)...)
		r.volumes = append(r.volumes, pods[i].Volumes...)
		if p.Spec.Affinity == nil && len(p.Spec.TopologySpreadConstraints) == 0 {
			continue
		}
		relevantLabels(keys, p)
		if a := p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			if terms := a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution; len(terms) > 0 {
				r.avoiding = append(r.avoiding, newAvoider(p, terms))
			}
		}
	}
	for k := range keys {
		r.keys = append(r.keys, k)
	}
	return r
}

func (r *residents) add(name corev1.ResourceName, n int64) {
	if i := slices.Index(r.names, name); i >= 0 {
		r.amounts[i] += n
		return
	}
	r.names, r.amounts = append(r.names, name), append(r.amounts, n)
}

// subtract takes what the pods use off what is free.
func (r *residents) subtract(free vec, d *dims) {
	for i, name := range r.names {
		if at, ok := d.index[name]; ok {
			free[at] -= r.amounts[i]
		}
	}
}
