package packing

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/selection"
)

// labelValue is a label that a selector demands of every pod it matches.
type labelValue struct{ key, value string }

// anchor returns one label that every pod of the group must carry, if its
// selectors demand one; it keeps the matching of groups against pods from being
// quadratic in the number of workloads.
func (g *group) anchor() (labelValue, bool) {
	for i := range g.all {
		rs, _ := g.all[i].selector.Requirements()
		for j := range rs {
			if op := rs[j].Operator(); op == selection.Equals || op == selection.In || op == selection.DoubleEquals {
				if vs := rs[j].Values(); vs.Len() == 1 {
					v, _ := vs.PopAny()
					return labelValue{rs[j].Key(), v}, true
				}
			}
		}
	}
	return labelValue{}, false
}

// groupMatcher finds the groups that count a pod.
type groupMatcher struct {
	groups   []*group
	anchored map[labelValue][]int
	keys     []string // keys of anchors, sorted
	rest     []int
	scratch  []int
}

func newGroupMatcher(groups []*group) *groupMatcher {
	m := &groupMatcher{groups: groups, anchored: map[labelValue][]int{}}
	keys := map[string]bool{}
	for i, g := range groups {
		if g.workload != "" {
			continue
		}
		if a, ok := g.anchor(); ok {
			m.anchored[a] = append(m.anchored[a], i)
			keys[a.key] = true
		} else {
			m.rest = append(m.rest, i)
		}
	}
	for k := range keys {
		m.keys = append(m.keys, k)
	}
	slices.Sort(m.keys)
	return m
}

// of returns the groups that count p, ascending. The result is the caller's.
func (m *groupMatcher) of(p *corev1.Pod) []int {
	m.scratch = m.scratch[:0]
	try := func(candidates []int) {
		for _, g := range candidates {
			if m.groups[g].matches(p) {
				m.scratch = append(m.scratch, g)
			}
		}
	}
	for _, k := range m.keys {
		if v, ok := p.Labels[k]; ok {
			try(m.anchored[labelValue{k, v}])
		}
	}
	try(m.rest)
	if len(m.scratch) == 0 {
		return nil
	}
	slices.Sort(m.scratch)
	return slices.Clone(m.scratch)
}
