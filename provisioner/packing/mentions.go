package packing

import corev1 "k8s.io/api/core/v1"

// mentions are the node labels that the rules of pods look at.
type mentions struct {
	// values that rules about nodes name, by key.
	values map[string]map[string]bool
	// domains are the keys of rules about other pods: all values of them matter.
	domains map[string]bool
}

// mentioned collects what the pods to place, and those that repel pods from where they run,
// look at.
func (c *compiled) mentioned() mentions {
	m := mentions{values: map[string]map[string]bool{}, domains: map[string]bool{}}
	for _, cl := range c.classes {
		m.nodes(cl.rep)
		for i := range cl.rep.Spec.TopologySpreadConstraints {
			m.domains[cl.rep.Spec.TopologySpreadConstraints[i].TopologyKey] = true
		}
		if a := cl.rep.Spec.Affinity; a != nil && a.PodAffinity != nil {
			m.terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a := cl.rep.Spec.Affinity; a != nil && a.PodAntiAffinity != nil {
			m.terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	for i := range c.p.Nodes {
		for _, a := range c.p.residents(i).avoiding {
			m.terms(a.pod.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, nil)
		}
	}
	return m
}

func (m *mentions) terms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		m.domains[required[i].TopologyKey] = true
	}
	for i := range preferred {
		m.domains[preferred[i].PodAffinityTerm.TopologyKey] = true
	}
}

// nodes notes what a pod says about nodes.
func (m *mentions) nodes(p *Pod) {
	for k, v := range p.Spec.NodeSelector {
		m.note(k, v)
	}
	for i := range p.NodeTerms {
		m.term(&p.NodeTerms[i])
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil {
		return
	}
	na := p.Spec.Affinity.NodeAffinity
	if r := na.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
		for i := range r.NodeSelectorTerms {
			m.term(&r.NodeSelectorTerms[i])
		}
	}
	for i := range na.PreferredDuringSchedulingIgnoredDuringExecution {
		m.term(&na.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
	}
}

func (m *mentions) term(t *corev1.NodeSelectorTerm) {
	for i := range t.MatchExpressions {
		m.note(t.MatchExpressions[i].Key, t.MatchExpressions[i].Values...)
	}
}

func (m *mentions) note(key string, values ...string) {
	of := m.values[key]
	if of == nil {
		of = map[string]bool{}
		m.values[key] = of
	}
	for _, v := range values {
		of[v] = true
	}
}
