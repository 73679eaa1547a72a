package packing_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

// zonesOf counts the pods that a plan puts on new nodes of each zone.
func zonesOf(plan *packing.Plan) map[string]int {
	out := map[string]int{}
	for _, n := range plan.Nodes {
		out[n.Zone] += len(n.Pods)
	}
	return out
}

func TestTopologySpreadFieldsMeanWhatTheyMeanToKubeScheduler(t *testing.T) {
	app := map[string]string{"app": "web"}
	inZones := func(n int, types []packing.InstanceType) packing.Pool {
		p := pool("default", types)
		p.Requirements = []packing.Requirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: zones[:n]}}
		return p
	}
	tests := []struct {
		name string
		pool packing.Pool
		// change is applied to each of six pods with a spread over zones of skew 1.
		change   func(i int, p *corev1.Pod)
		nodes    []packing.Node
		want     []int // pods per zone on new nodes
		unplaced int
	}{
		{name: "six pods go two to each zone", pool: pool("default", listed(false)), want: []int{2, 2, 2}},
		{
			name: "minDomains beyond the zones there are admit maxSkew per zone", pool: inZones(2, listed(false)),
			change: func(_ int, p *corev1.Pod) { p.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To[int32](3) },
			want:   []int{1, 1, 0}, unplaced: 4,
		},
		{
			name: "minDomains that are met change nothing", pool: pool("default", listed(false)),
			change: func(_ int, p *corev1.Pod) { p.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To[int32](3) },
			want:   []int{2, 2, 2},
		},
		{
			name: "matchLabelKeys count each revision for itself", pool: inZones(2, listed(false)),
			change: func(i int, p *corev1.Pod) {
				p.Labels["pod-template-hash"] = fmt.Sprint(i / 5) // five of one, one of the other
				p.Spec.TopologySpreadConstraints[0].MatchLabelKeys = []string{"pod-template-hash"}
			},
			// Three and two of the one, and the other's in either zone.
			want: []int{3, 3, 0},
		},
		{
			name: "a node selector leaves its zones to be counted alone", pool: pool("default", listed(false)),
			change: func(_ int, p *corev1.Pod) {
				p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: zones[0]}
			},
			want: []int{6, 0, 0},
		},
		{
			name: "nodeAffinityPolicy Ignore counts the zones that the selector leaves out", pool: pool("default", listed(false)),
			nodes: []packing.Node{oldNode("full", zones[1], packing.CapacityOnDemand, 0, 0, 0)},
			change: func(_ int, p *corev1.Pod) {
				p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: zones[0]}
				p.Spec.TopologySpreadConstraints[0].NodeAffinityPolicy = ptr.To(corev1.NodeInclusionPolicyIgnore)
			},
			want: []int{1, 0, 0}, unplaced: 5,
		},
		{
			name: "nodes with a taint count by default", pool: inZones(1, listed(false)),
			nodes: []packing.Node{tainted(oldNode("full", zones[1], packing.CapacityOnDemand, 0, 0, 0))},
			want:  []int{1, 0, 0}, unplaced: 5,
		},
		{
			name: "nodeTaintsPolicy Honor leaves out nodes with a taint", pool: inZones(1, listed(false)),
			nodes: []packing.Node{tainted(oldNode("full", zones[1], packing.CapacityOnDemand, 0, 0, 0))},
			change: func(_ int, p *corev1.Pod) {
				p.Spec.TopologySpreadConstraints[0].NodeTaintsPolicy = ptr.To(corev1.NodeInclusionPolicyHonor)
			},
			want: []int{6, 0, 0},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{tt.pool}, Nodes: tt.nodes}
			for i := range 6 {
				b := makePod(fmt.Sprintf("web-%d", i)).req(500, 512).label("app", "web").spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
				if tt.change != nil {
					tt.change(i, b.p)
				}
				p.Pods = append(p.Pods, b.pod())
			}
			plan := solve(t, &p)
			got := zonesOf(&plan)
			for i, want := range tt.want {
				if got[zones[i]] != want || len(plan.Unplaced) != tt.unplaced {
					t.Fatalf("pods per zone %v with %d unplaced, want %v with %d", got, len(plan.Unplaced), tt.want, tt.unplaced)
				}
			}
		})
	}
}

func tainted(n packing.Node) packing.Node {
	n.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	return n
}

// TestPodsCountForWhatTheSchedulerCounts has a node on which exactly three pods fit by what component-helpers' PodRequests says
// of them.
func TestPodsCountForWhatTheSchedulerCounts(t *testing.T) {
	cpu := func(milli int64) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI)}}
	}
	always := ptr.To(corev1.ContainerRestartPolicyAlways)
	for name, tc := range map[string]struct {
		change func(*corev1.PodSpec)
		want   int64
	}{
		"the sum of containers": {func(s *corev1.PodSpec) { s.Containers = append(s.Containers, corev1.Container{Resources: cpu(200)}) }, 300},
		"the largest init container where it is more": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Resources: cpu(250)}, {Resources: cpu(700)}}
		}, 700},
		"containers where they are more than init containers": {func(s *corev1.PodSpec) { s.InitContainers = []corev1.Container{{Resources: cpu(50)}} }, 100},
		"sidecars beside containers": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Resources: cpu(300), RestartPolicy: always}}
		}, 400},
		"sidecars beside the init containers that follow": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Resources: cpu(300), RestartPolicy: always}, {Resources: cpu(500)}}
		}, 800},
		"init containers before a sidecar without it": {func(s *corev1.PodSpec) {
			s.InitContainers = []corev1.Container{{Resources: cpu(350)}, {Resources: cpu(300), RestartPolicy: always}}
		}, 400},
		"overhead of the runtime class":                          {func(s *corev1.PodSpec) { s.Overhead = cpu(250).Requests }, 350},
		"pod-level requests in place of those of its containers": {func(s *corev1.PodSpec) { s.Resources = ptr.To(cpu(600)) }, 600},
		"pod-level requests and overhead": {func(s *corev1.PodSpec) {
			s.Resources = ptr.To(cpu(600))
			s.Overhead = cpu(100).Requests
		}, 700},
	} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Nodes: []packing.Node{oldNode("old", zones[0], packing.CapacityOnDemand, 3*tc.want+tc.want-1, 4096, 50)}}
			for i := range 5 {
				b := makePod(fmt.Sprintf("pod-%d", i)).req(100, 10)
				tc.change(&b.p.Spec)
				got := resourcehelper.PodRequests(b.p, resourcehelper.PodResourcesOptions{})
				if got.Cpu().MilliValue() != tc.want {
					t.Fatalf("the scheduler counts %s, the test expects %dm", got.Cpu(), tc.want)
				}
				p.Pods = append(p.Pods, b.pod())
			}
			plan := solve(t, &p)
			if len(plan.Bindings) != 3 {
				t.Errorf("%d pods on a node with room for three", len(plan.Bindings))
			}
		})
	}
}

func TestPoolsOfHigherWeightAreUsedFirstAndTheOthersForWhatTheyCannotHold(t *testing.T) {
	dear, cheap := pool("dear", listed(false)), pool("cheap", listed(true))
	dear.Weight, cheap.Weight = 10, 1
	onlySmall := pool("dear", listed(false)[:1])
	onlySmall.Weight = 10
	limited := dear
	limited.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("8")}
	taintedPool := dear
	taintedPool.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
	starting := dear
	starting.StartupTaints = taintedPool.Taints
	for name, tc := range map[string]struct {
		first    packing.Pool
		cpuMilli int64
		want     map[string]bool // pools bought from
	}{
		"though another is cheaper":                  {dear, 500, map[string]bool{"dear": true}},
		"unless its types are too small":             {onlySmall, 3000, map[string]bool{"cheap": true}},
		"up to its limits":                           {limited, 1500, map[string]bool{"dear": true, "cheap": true}},
		"unless it has a taint":                      {taintedPool, 500, map[string]bool{"cheap": true}},
		"though nodes have a taint while they start": {starting, 500, map[string]bool{"dear": true}},
	} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{cheap, tc.first}, Pods: replicas("web", 16, tc.cpuMilli, 256)}
			plan := solve(t, &p)
			got := map[string]bool{}
			for _, n := range plan.Nodes {
				got[n.Pool] = true
			}
			if len(plan.Unplaced) > 0 || fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("bought from %v with %d unplaced, want %v", got, len(plan.Unplaced), tc.want)
			}
		})
	}
}

func TestDaemonsTakeRoomOnlyOfTheOfferingsTheyRunOn(t *testing.T) {
	for _, key := range []string{corev1.LabelArchStable, "beta.kubernetes.io/arch"} {
		t.Run(key, func(t *testing.T) {
			large := makePod("agent").req(1500, 256).selector(key, "amd64").p
			p := packing.Problem{Pods: replicas("web", 1, 1500, 256), DaemonSets: []*corev1.Pod{large}}
			for _, s := range families() {
				if s.name == "c5.large" || s.name == "r7g.large" { // 2 CPUs each; the cheaper one runs the agent
					p.Pools = append(p.Pools, pool(s.name, []packing.InstanceType{s.instanceType(false)}))
				}
			}
			plan := solve(t, &p)
			if len(plan.Nodes) != 1 || plan.Nodes[0].InstanceType != "r7g.large" {
				t.Errorf("bought %+v, want the type that no daemon fills", plan.Nodes)
			}
		})
	}
}

func TestMinValuesLimitWhatANodeHoldsToWhatEnoughTypesDo(t *testing.T) {
	p := packing.Problem{Pods: replicas("web", 30, 1000, 512)}
	choosy := pool("default", listed(false)[:7]) // c5, from 2 to 64 CPUs
	choosy.Requirements = []packing.Requirement{{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpExists, MinValues: ptr.To(4)}}
	p.Pools = []packing.Pool{choosy}
	plan := solve(t, &p)
	for _, n := range plan.Nodes {
		types := map[string]bool{}
		for _, a := range n.Alternatives {
			types[a.InstanceType] = true
		}
		if len(types) < 4 {
			t.Errorf("a node with %d pods has %d types to choose from, want 4", len(n.Pods), len(types))
		}
	}
	if len(plan.Unplaced) > 0 {
		t.Errorf("%d pods unplaced", len(plan.Unplaced))
	}
}

func TestPodAffinityReachesTheNamespacesItSelects(t *testing.T) {
	other := func(s podBuilder) packing.Pod { s.p.Namespace = "other"; return s.pod() }
	for name, tc := range map[string]struct {
		term corev1.PodAffinityTerm
		want int // nodes
	}{
		"its own namespace by default": {corev1.PodAffinityTerm{}, 1},
		"namespaces by name":           {corev1.PodAffinityTerm{Namespaces: []string{"other"}}, 2},
		"namespaces by label":          {corev1.PodAffinityTerm{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "b"}}}, 2},
		"all namespaces":               {corev1.PodAffinityTerm{NamespaceSelector: &metav1.LabelSelector{}}, 2},
		"namespaces of no such label":  {corev1.PodAffinityTerm{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "c"}}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			shy := makePod("shy").req(100, 100)
			avoid := tc.term
			avoid.TopologyKey, avoid.LabelSelector = corev1.LabelHostname, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "loud"}}
			shy.affinity().PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{avoid}}
			p := packing.Problem{
				Pods:       []packing.Pod{shy.pod(), other(makePod("loud").req(100, 100).label("app", "loud"))},
				Pools:      []packing.Pool{pool("default", listed(false))},
				Namespaces: map[string]map[string]string{"default": {"team": "a"}, "other": {"team": "b"}},
			}
			if plan := solve(t, &p); len(plan.Nodes) != tc.want {
				t.Errorf("%d nodes, want %d", len(plan.Nodes), tc.want)
			}
		})
	}
}
