package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// generalGroup is the group of nodes without labels that pods ask for, and without taints.
const generalGroup = "general"

// maxGroups bounds the groups of nodes that a plan tells apart: each of them multiplies the offerings.
const maxGroups = 16

// group is what nodes have in common that decides which pods they take: labels that some pod asks for, and taints.
type group struct {
	name   string
	labels map[string]string
	taints []corev1.Taint
	nodes  int
}

// groups divides the nodes that are replaced, so that the new ones can be what pods ask for. The general group is always
// among them. It returns how many more there were than it tells apart.
func groups(nodes []*node, demanded map[string]bool) (out []group, left int) {
	found := map[string]*group{generalGroup: {name: generalGroup}}
	for _, n := range nodes {
		if n.keep != "" {
			continue
		}
		g := groupOf(n.Node, demanded)
		if known, ok := found[g.name]; ok {
			known.nodes++
			continue
		}
		g.nodes = 1
		found[g.name] = &g
	}
	sorted := slices.SortedFunc(maps.Values(found), func(a, b *group) int {
		return cmp.Or(-cmp.Compare(btoi(a.name == generalGroup), btoi(b.name == generalGroup)), cmp.Compare(b.nodes, a.nodes), cmp.Compare(a.name, b.name))
	})
	for _, g := range sorted {
		if len(out) == maxGroups {
			left++
			continue
		}
		out = append(out, *g)
	}
	return out, left
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func groupOf(n *corev1.Node, demanded map[string]bool) group {
	g := group{}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(demanded)) {
		if v, ok := n.Labels[key]; ok {
			if g.labels == nil {
				g.labels = map[string]string{}
			}
			g.labels[key] = v
			parts = append(parts, key+"="+v)
		}
	}
	taints := slices.DeleteFunc(slices.Clone(n.Spec.Taints), func(t corev1.Taint) bool { return passing(&t) })
	slices.SortFunc(taints, func(a, b corev1.Taint) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Effect, b.Effect))
	})
	for _, t := range taints {
		g.taints = append(g.taints, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		parts = append(parts, t.ToString())
	}
	if g.name = strings.Join(parts, ","); g.name == "" {
		g.name = generalGroup
	}
	return g
}

// passing recognises taints that say how a node is at the moment, not what it is for.
func passing(t *corev1.Taint) bool {
	if t.Effect == corev1.TaintEffectPreferNoSchedule {
		return true
	}
	switch t.Key {
	case "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler":
		return true
	}
	domain, name, ok := strings.Cut(t.Key, "/")
	return ok && (domain == "node.kubernetes.io" || domain == "node.cloudprovider.kubernetes.io" || domain == "karpenter.sh" ||
		strings.HasPrefix(domain, "node.cilium.") || strings.HasSuffix(name, "agent-not-ready") || strings.HasSuffix(domain, ".agent-not-ready"))
}

// demandedLabels are the keys that pods ask nodes for and that do not come with the machine.
func demandedLabels(pods []*pod, types []packing.InstanceType) map[string]bool {
	ofMachine := map[string]bool{
		corev1.LabelTopologyZone: true, corev1.LabelFailureDomainBetaZone: true, corev1.LabelHostname: true,
		packing.LabelCapacityType: true, labelEKSCapacityType: true, "topology.ebs.csi.aws.com/zone": true,
	}
	for i := range types {
		for key := range types[i].Labels {
			ofMachine[key] = true
		}
	}
	demanded := map[string]bool{}
	ask := func(key string) {
		if !ofMachine[key] && key != "" {
			demanded[key] = true
		}
	}
	for _, p := range pods {
		if p.role != movable {
			continue
		}
		for key := range p.Spec.NodeSelector {
			ask(key)
		}
		for i := range p.Spec.TopologySpreadConstraints {
			ask(p.Spec.TopologySpreadConstraints[i].TopologyKey)
		}
		if p.Spec.Affinity == nil {
			continue
		}
		if a := p.Spec.Affinity.NodeAffinity; a != nil && a.RequiredDuringSchedulingIgnoredDuringExecution != nil {
			for _, term := range a.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
				for i := range term.MatchExpressions {
					ask(term.MatchExpressions[i].Key)
				}
			}
		}
		var terms []corev1.PodAffinityTerm
		if a := p.Spec.Affinity.PodAffinity; a != nil {
			terms = append(terms, a.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
		if a := p.Spec.Affinity.PodAntiAffinity; a != nil {
			terms = append(terms, a.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
		for i := range terms {
			ask(terms[i].TopologyKey)
		}
	}
	return demanded
}

// pools turns groups into pools that may buy every type of the market.
func pools(groups []group, types []packing.InstanceType) []packing.Pool {
	out := make([]packing.Pool, len(groups))
	for i, g := range groups {
		out[i] = packing.Pool{Name: g.name, Labels: g.labels, Taints: g.taints, Types: types}
		if name, ok := g.labels[packing.LabelNodePool]; ok {
			out[i].Name = name // the packer reads the label off the pool's name
		}
	}
	return out
}
