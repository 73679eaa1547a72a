package packing_test

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"supercargo.dev/provisioner/packing"
)

// drawProblem draws a small problem that may use every kind of rule; cross lets
// workloads have rules about one another.
func drawProblem(t *rapid.T, cross bool) packing.Problem {
	d := drawer{t, cross}
	p := packing.Problem{Namespaces: map[string]map[string]string{
		"default": {"team": "a"}, "other": {"team": "b"},
	}}
	p.Options.Seed = rapid.Uint64().Draw(t, "seed")
	if cross && d.chance("shares", 5) {
		p.Options.MaxNodeShare, p.Options.MaxSpotPoolShare = 0.6, 0.4
	}
	types := d.types()
	for i := range d.n("pools", 1, 3) {
		p.Pools = append(p.Pools, d.pool(fmt.Sprintf("pool-%d", i), types))
	}
	if d.chance("daemonsets", 3) {
		p.DaemonSets = daemonSets()
	}
	for i := range d.n("nodes", 0, 4) {
		p.Nodes = append(p.Nodes, d.node(i, types))
	}
	for i := range d.n("deployments", 1, 6) {
		p.Pods = append(p.Pods, d.deployment(fmt.Sprintf("d%d", i), "pod")...)
	}
	return p
}

type drawer struct {
	t *rapid.T
	// cross lets workloads have rules about one another.
	cross bool
}

func (d drawer) n(label string, low, high int) int {
	return rapid.IntRange(low, high).Draw(d.t, label)
}

// chance is true once in n draws.
func (d drawer) chance(label string, n int) bool {
	return rapid.IntRange(1, n).Draw(d.t, label) == n
}

func pick[T any](d drawer, label string, from ...T) T {
	return from[rapid.IntRange(0, len(from)-1).Draw(d.t, label)]
}

func (d drawer) types() []packing.InstanceType {
	var out []packing.InstanceType
	all := families()
	for i := range d.n("types", 1, 6) {
		s := all[(d.n("type", 0, len(all)-1)+i)%len(all)]
		s.name = fmt.Sprintf("%s-%d", s.name, i)
		it := s.instanceType(d.chance("spot", 2))
		for k := range it.Offerings {
			it.Offerings[k].Available = !d.chance("sold out", 8)
			if d.chance("unknown price", 30) {
				it.Offerings[k].Price = math.NaN()
			}
		}
		if d.chance("gpu", 4) {
			it.Allocatable["nvidia.com/gpu"] = resource.MustParse("4")
			it.Capacity["nvidia.com/gpu"] = resource.MustParse("4")
		}
		if d.chance("attach limit", 3) {
			it.Allocatable[packing.AttachableVolumes("ebs")] = quantity(int64(d.n("volumes per node", 0, 4)))
		}
		out = append(out, it)
	}
	return out
}

func (d drawer) pool(name string, types []packing.InstanceType) packing.Pool {
	p := pool(name, types)
	p.Weight = int32(d.n("weight", 0, 2))
	if d.chance("tainted", 4) {
		p.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: pick(d, "effect", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule)}}
	}
	if d.chance("labelled", 3) {
		p.Labels = map[string]string{"tier": pick(d, "tier", "gold", "tin")}
	}
	if d.chance("open label", 4) {
		p.Requirements = append(p.Requirements, packing.Requirement{Key: "rack", Operator: corev1.NodeSelectorOpIn, Values: []string{"r1", "r2"}})
	}
	if d.chance("zones", 4) {
		p.Requirements = append(p.Requirements, packing.Requirement{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: zones[:d.n("zone count", 1, 3)]})
	}
	if d.chance("min values", 6) {
		p.Requirements = append(p.Requirements, packing.Requirement{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpExists, MinValues: ptr.To(2)})
	}
	if d.cross && d.chance("limited", 4) {
		p.Limits = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(int64(d.n("cpu limit", 0, 40)), resource.DecimalSI)}
	}
	if d.cross && d.chance("node limit", 8) {
		if p.Limits == nil {
			p.Limits = corev1.ResourceList{}
		}
		p.Limits[packing.ResourceNodes] = *resource.NewQuantity(int64(d.n("nodes limit", 0, 3)), resource.DecimalSI)
	}
	return p
}

func (d drawer) node(i int, types []packing.InstanceType) packing.Node {
	it := types[d.n("node type", 0, len(types)-1)]
	name := fmt.Sprintf("node-%d", i)
	n := packing.Node{Name: name, Allocatable: it.Allocatable, Price: 1, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelTopologyZone: pick(d, "node zone", zones...),
		packing.LabelCapacityType: packing.CapacityOnDemand, corev1.LabelInstanceTypeStable: it.Name, corev1.LabelArchStable: it.Labels[corev1.LabelArchStable],
	}}
	if d.chance("node tainted", 5) {
		n.Taints = []corev1.Taint{{Key: "dedicated", Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	}
	if d.chance("stray volume", 4) {
		n.Attached = []packing.Volume{{Driver: "ebs", ID: pick(d, "stray", "d0-shared", "d1-shared", "gone")}}
	}
	if d.chance("resident", 2) {
		pods := d.deployment(fmt.Sprintf("d%d", d.n("resident of", 0, 3)), fmt.Sprintf("resident-%d", i))
		n.Pods = append(n.Pods, pods[0])
	}
	return n
}

// deployment draws equal pods.
func (d drawer) deployment(app, prefix string) (out []packing.Pod) {
	match := map[string]string{"app": app}
	other := map[string]string{"app": fmt.Sprintf("d%d", d.n("other app", 0, 3))}
	if d.chance("revision", 5) {
		defer func() { revise(out, pick(d, "new revision", 0, 1, 2)) }()
	}
	selector := match
	if d.cross {
		selector = pick(d, "selector", match, match, match, other)
	}
	key := pick(d, "key", corev1.LabelTopologyZone, corev1.LabelTopologyZone, corev1.LabelHostname, packing.LabelCapacityType, "rack")
	b := makePod(app).req(pick(d, "cpu", int64(0), 100, 250, 500, 1000, 1900, 4000), pick(d, "memory", int64(0), 128, 512, 2048, 6144)).label("app", app)
	if d.chance("gpu pod", 12) {
		b.p.Spec.Containers[0].Resources.Requests["nvidia.com/gpu"] = resource.MustParse("1")
	}
	switch d.n("rule", 0, 11) {
	case 0, 1:
		b.spread(key, int32(d.n("skew", 1, 2)), corev1.DoNotSchedule, selector)
		if d.chance("min domains", 3) {
			b.p.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To(int32(d.n("domains", 1, 4)))
		}
		if d.chance("taints policy", 3) {
			b.p.Spec.TopologySpreadConstraints[0].NodeTaintsPolicy = ptr.To(corev1.NodeInclusionPolicyHonor)
		}
		if d.chance("affinity policy", 3) {
			b.p.Spec.TopologySpreadConstraints[0].NodeAffinityPolicy = ptr.To(corev1.NodeInclusionPolicyIgnore)
		}
	case 2:
		b.spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, match).spread(corev1.LabelHostname, int32(d.n("skew", 1, 3)), corev1.DoNotSchedule, match)
	case 3, 4:
		b.anti(key, selector)
	case 5:
		b.with(key, selector)
	case 6:
		b.spread(key, 1, corev1.ScheduleAnyway, selector)
	case 7:
		b.with(corev1.LabelTopologyZone, match).anti(corev1.LabelHostname, match)
	case 8:
		b.affinity().PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
			{Weight: int32(d.n("weight", 1, 100)), PodAffinityTerm: term(key, selector)},
		}}
	}
	switch d.n("node rule", 0, 9) {
	case 0:
		b.selector(corev1.LabelTopologyZone, pick(d, "zone", zones...))
	case 1:
		b.selector("tier", "gold")
	case 2:
		b.selector("rack", pick(d, "rack", "r1", "r2", "r3"))
	case 3:
		b.affinity().NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpNotIn, Values: []string{"arm64"}}}},
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: zones[1:]}}},
			},
		}}
	}
	if d.chance("tolerant", 3) {
		b.p.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	}
	if d.chance("host port", 12) {
		b.p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 8080, ContainerPort: 8080, Protocol: corev1.ProtocolTCP}}
	}
	if d.chance("urgent", 4) {
		b.p.Spec.Priority = ptr.To(int32(d.n("priority", -1, 2)))
	}
	if d.chance("other namespace", 6) {
		b.p.Namespace = "other"
	}
	if a := b.p.Spec.Affinity; a != nil && a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 && d.chance("namespaces", 3) {
		a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}
	}
	if d.chance("claims", 15) {
		b.p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimTemplateName: ptr.To("one-gpu")}}
	}
	particular := 0 // of the pods ask for a node of another kind than the rest
	if d.cross && d.chance("mixed", 6) {
		particular = d.n("particular", 1, 3)
	}
	mounts := d.n("mounts", 0, 11)
	for r := range d.n("replicas", 1, 6) {
		p := b.p.DeepCopy()
		p.Name = fmt.Sprintf("%s-%s-%d", prefix, app, r)
		if r < particular {
			if p.Spec.NodeSelector == nil {
				p.Spec.NodeSelector = map[string]string{}
			}
			p.Spec.NodeSelector["tier"] = "gold"
		}
		pod := packing.Pod{Pod: p, Workload: b.p.Namespace + "/" + app}
		if d.chance("volume", 20) {
			pod.NodeTerms = []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: zones[:1]}}}}
		}
		shared := packing.Volume{Driver: "ebs", ID: app + "-shared"}
		switch mounts {
		case 0: // one each
			pod.Volumes = []packing.Volume{{Driver: "ebs", ID: p.Name}}
		case 1: // one each and one for all
			pod.Volumes = []packing.Volume{{Driver: "ebs", ID: p.Name}, shared}
		case 2: // two drivers
			pod.Volumes = []packing.Volume{{Driver: "ebs", ID: p.Name}, {Driver: "ebs", ID: p.Name + "-2"}, {Driver: "nfs", ID: "all"}}
		case 3: // for one pod at a time
			shared.ID, shared.Exclusive = app+"-"+b.p.Namespace, true
			pod.Volumes = []packing.Volume{shared}
		}
		out = append(out, pod)
	}
	return out
}

// revise makes the first pods of a deployment those of another revision: spread constraints count each revision for itself.
func revise(pods []packing.Pod, n int) {
	for i := range pods {
		pods[i].Labels["rev"] = "new"
		if i < n {
			pods[i].Labels["rev"] = "old"
		}
		for k := range pods[i].Spec.TopologySpreadConstraints {
			pods[i].Spec.TopologySpreadConstraints[k].MatchLabelKeys = []string{"rev", "absent"}
		}
	}
}
