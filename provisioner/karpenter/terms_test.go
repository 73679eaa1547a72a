package karpenter

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/provisioner/packing"
)

func term(key string, values ...string) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}}}
}

func TestAndDemandsOneTermOfEach(t *testing.T) {
	a, b, spot := term("zone", "a"), term("zone", "b"), term("capacity", "spot")
	both := func(x, y corev1.NodeSelectorTerm) corev1.NodeSelectorTerm {
		return corev1.NodeSelectorTerm{MatchExpressions: append(append([]corev1.NodeSelectorRequirement{}, x.MatchExpressions...), y.MatchExpressions...)}
	}
	for name, tc := range map[string]struct{ left, right, want []corev1.NodeSelectorTerm }{
		"no demand and no demand is none":        {nil, nil, nil},
		"one side's demand stands":               {nil, []corev1.NodeSelectorTerm{a}, []corev1.NodeSelectorTerm{a}},
		"alternatives are combined each by each": {[]corev1.NodeSelectorTerm{a, b}, []corev1.NodeSelectorTerm{spot}, []corev1.NodeSelectorTerm{both(a, spot), both(b, spot)}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, and(tc.left, tc.right)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPriceThatIsNotKnownIsNotZero(t *testing.T) {
	for _, unknown := range []float64{0, -1, math.Inf(1), math.NaN()} {
		if got := price(unknown); !math.IsNaN(got) {
			t.Errorf("price %v became %v, want NaN", unknown, got)
		}
	}
	if got := price(0.1); got != 0.1 {
		t.Errorf("price 0.1 became %v", got)
	}
}

func claim(name string, change ...func(*karpv1.NodeClaim)) *karpv1.NodeClaim {
	nc := &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{karpv1.NodePoolLabelKey: "default"},
		Annotations: map[string]string{PlannedAnnotation: "m6i.large/us-east-1a/spot"},
	}}
	nc.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")}
	nc.Spec.Requirements = []karpv1.NodeSelectorRequirementWithMinValues{
		{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"us-east-1a", "us-east-1b"}},
		{Key: "team", Operator: corev1.NodeSelectorOpIn, Values: []string{"blue"}},
	}
	for _, c := range change {
		c(nc)
	}
	return nc
}

func m6iLarge() *cloudprovider.InstanceType {
	offering := func(capacityType string, price float64) *cloudprovider.Offering {
		return &cloudprovider.Offering{Price: price, Available: true, Requirements: karpsched.NewLabelRequirements(map[string]string{
			corev1.LabelTopologyZone: "us-east-1a", karpv1.CapacityTypeLabelKey: capacityType,
		})}
	}
	return &cloudprovider.InstanceType{
		Name:         "m6i.large",
		Requirements: karpsched.NewLabelRequirements(map[string]string{corev1.LabelArchStable: "amd64", corev1.LabelInstanceTypeStable: "m6i.large"}),
		Capacity:     corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("8Gi")},
		Overhead:     &cloudprovider.InstanceTypeOverhead{},
		Offerings:    cloudprovider.Offerings{offering("spot", 0.03), offering("on-demand", 0.096)},
	}
}

func TestAClaimInFlightIsANodeOfTheOfferingItWasPlannedFor(t *testing.T) {
	types := pools{types: map[string]map[string]*cloudprovider.InstanceType{"default": {"m6i.large": m6iLarge()}}}
	got := inFlight(claim("default-1"), types, nil)
	want := packing.Node{
		Name:        "default-1",
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")},
		Price:       0.03,
		Labels: map[string]string{
			karpv1.NodePoolLabelKey: "default", "team": "blue", corev1.LabelArchStable: "amd64",
			corev1.LabelInstanceTypeStable: "m6i.large", corev1.LabelTopologyZone: "us-east-1a", karpv1.CapacityTypeLabelKey: "spot",
			// The names that its kubelet and the cloud's controller will give it too.
			"beta.kubernetes.io/arch": "amd64", corev1.LabelInstanceType: "m6i.large", corev1.LabelFailureDomainBetaZone: "us-east-1a",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAClaimInFlightHoldsWhatTheSmallestOfItsTypesDoes(t *testing.T) {
	xlarge := m6iLarge()
	xlarge.Name = "m6i.xlarge"
	xlarge.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("4Gi")}
	types := map[string]*cloudprovider.InstanceType{"m6i.large": m6iLarge(), "m6i.xlarge": xlarge}
	listing := func(names ...string) func(*karpv1.NodeClaim) {
		return func(nc *karpv1.NodeClaim) {
			nc.Spec.Requirements = append(nc.Spec.Requirements, karpv1.NodeSelectorRequirementWithMinValues{
				Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpIn, Values: names,
			})
		}
	}
	for name, tc := range map[string]struct {
		listed      []string
		cpu, memory string
	}{
		"one type holds what it holds":                         {[]string{"m6i.large"}, "2", "8Gi"},
		"of several the least of each resource is certain":     {[]string{"m6i.large", "m6i.xlarge"}, "2", "4Gi"},
		"where a type is not known only what was asked for is": {[]string{"m6i.large", "m9x.large"}, "1500m", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			got := certain(claim("a", listing(tc.listed...)), types)
			if got.Cpu().Cmp(resource.MustParse(tc.cpu)) != 0 || got.Memory().Cmp(resource.MustParse(tc.memory)) != 0 {
				t.Errorf("%s CPUs and %s, want %s and %s", got.Cpu(), got.Memory(), tc.cpu, tc.memory)
			}
		})
	}
}

func TestAClaimOfAnotherProvisionerIsANodeOfUnknownPrice(t *testing.T) {
	got := inFlight(claim("theirs", func(nc *karpv1.NodeClaim) { nc.Annotations = nil }), pools{}, nil)
	if !math.IsNaN(got.Price) || got.Labels[corev1.LabelTopologyZone] != "" {
		t.Errorf("price %v, zone %q", got.Price, got.Labels[corev1.LabelTopologyZone])
	}
}

func TestAClaimInFlightCountsAgainstTheLimitsOfItsPool(t *testing.T) {
	capacity := plannedCapacity(claim("a"), []*cloudprovider.InstanceType{m6iLarge()})
	if got := capacity.Cpu().String(); got != "2" {
		t.Errorf("a planned m6i.large counts %s CPUs, want its 2", got)
	}
	unknown := plannedCapacity(claim("a"), nil)
	if got := unknown.Cpu().String(); got != "1500m" {
		t.Errorf("a claim of an unknown type counts %s CPUs, want what its pods request", got)
	}
	if got := unknown["nodes"]; got.Value() != 1 {
		t.Errorf("a claim counts %s nodes, want 1", got.String())
	}
}

func TestAlternativesAreNamedOnceTheChosenOneFirst(t *testing.T) {
	types, zones, capacityTypes := alternatives(packing.PlannedNode{
		InstanceType: "b", Zone: "1a", CapacityType: "spot",
		Alternatives: []packing.Alternative{{InstanceType: "b", Zone: "1a", CapacityType: "spot"}, {InstanceType: "a", Zone: "1b", CapacityType: "spot"}, {InstanceType: "a", Zone: "1a", CapacityType: "on-demand"}},
	})
	if diff := cmp.Diff([][]string{{"b", "a"}, {"1a", "1b"}, {"spot", "on-demand"}}, [][]string{types, zones, capacityTypes}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLaunchesAreRememberedUntilTheyAreListedOrGone(t *testing.T) {
	l := newLaunches()
	for _, name := range []string{"listed", "unseen", "gone"} {
		l.add(claim(name))
	}
	exists := func(name string) bool { return name != "gone" }
	names := func(claims []*karpv1.NodeClaim) (out []string) {
		for _, nc := range claims {
			out = append(out, nc.Name)
		}
		return out
	}
	if diff := cmp.Diff([]string{"unseen"}, names(l.unseen(map[string]bool{"listed": true}, exists))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := l.unseen(map[string]bool{"unseen": true}, exists); len(got) != 0 {
		t.Errorf("%v are remembered although they are listed", names(got))
	}
}

func TestMissingDaemons(t *testing.T) {
	daemon := func(cpu string, change ...func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
		}}}}}
		for _, c := range change {
			c(p)
		}
		return p
	}
	elsewhere := daemon("4", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"team": "red"} })
	taints := []corev1.Taint{{Key: "gpu", Effect: corev1.TaintEffectNoSchedule}}
	tolerant := daemon("300m", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} })
	for name, tc := range map[string]struct {
		daemons []*corev1.Pod
		taints  []corev1.Taint
		present string
		want    string
	}{
		"daemons that match are still to come":              {[]*corev1.Pod{daemon("100m"), daemon("50m"), elsewhere}, nil, "0", "150m"},
		"what is there is not counted again":                {[]*corev1.Pod{daemon("100m"), daemon("50m")}, nil, "100m", "50m"},
		"nothing is missing when all are there":             {[]*corev1.Pod{daemon("100m")}, nil, "100m", "0"},
		"a taint keeps daemons off that do not tolerate it": {[]*corev1.Pod{daemon("100m"), tolerant}, taints, "0", "300m"},
	} {
		t.Run(name, func(t *testing.T) {
			got := missingDaemons(tc.daemons, map[string]string{"team": "blue"}, tc.taints, corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(tc.present)})
			if got.Cpu().Cmp(resource.MustParse(tc.want)) != 0 {
				t.Errorf("%s are missing, want %s", got.Cpu(), tc.want)
			}
		})
	}
}

func TestPodsOfAConsolidatedNodeHaveTheirPlacesForAWhile(t *testing.T) {
	clk := clocktesting.NewFakeClock(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	s := newNodeSet(clk)
	s.add("moved")
	s.add("interrupted")
	s.remove("interrupted")
	going := state.StateNodes{}
	for _, id := range []string{"moved", "interrupted", "drifted"} {
		going = append(going, &state.StateNode{Node: &corev1.Node{Spec: corev1.NodeSpec{ProviderID: id}}})
	}
	ids := func(nodes state.StateNodes) (out []string) {
		for _, n := range nodes {
			out = append(out, n.ProviderID())
		}
		return out
	}
	in, out := s.split(going)
	if diff := cmp.Diff([][]string{{"moved"}, {"interrupted", "drifted"}}, [][]string{ids(in), ids(out)}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	clk.Step(accountedFor + time.Second)
	if in, _ := s.split(going); len(in) > 0 {
		t.Errorf("%v still count as moved after %s", ids(in), accountedFor)
	}
}
