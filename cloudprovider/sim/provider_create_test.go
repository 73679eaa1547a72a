package sim

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/awslabs/operatorpkg/status"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
)

func TestCreateLaunchesTheCheapestOfferingThatHoldsTheClaim(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{Image: "v1"})
	asked := claim("a", require(LabelInstanceFamily, "m5", "c5"), require(corev1.LabelArchStable, "amd64"))
	launched := p.launch(t, asked)
	cheapest := math.Inf(1)
	for _, it := range p.instanceTypesByName(t) {
		family := it.Requirements.Get(LabelInstanceFamily).Any()
		allocatable := it.Allocatable()
		if (family != "m5" && family != "c5") || allocatable.Memory().Cmp(resource.MustParse("2Gi")) < 0 {
			continue
		}
		cheapest = math.Min(cheapest, it.Offerings.Available().Cheapest().Price)
	}
	price, ok := p.Price(context.Background(), cloudprovider.Offering{
		InstanceType: launched.Labels[corev1.LabelInstanceTypeStable],
		Zone:         launched.Labels[corev1.LabelTopologyZone], CapacityType: launched.Labels[karpv1.CapacityTypeLabelKey],
	})
	if !ok || price.USDPerHour != cheapest {
		t.Errorf("launched at %v, the cheapest is %v", price, cheapest)
	}
	if _, has := launched.Labels[corev1.LabelHostname]; has || launched.Labels[karpv1.NodePoolLabelKey] != "general" || launched.Status.ImageID != "v1" {
		t.Errorf("claim %+v", launched)
	}
	if launched.Annotations[v1alpha1.SimNodeClassHashAnnotation] != p.class.Hash() || !strings.HasPrefix(launched.Status.ProviderID, "sim:///") {
		t.Errorf("annotations %v, provider id %s", launched.Annotations, launched.Status.ProviderID)
	}
	taints := p.cloud.machines.booted[0].Taints
	if len(taints) != 1 || !taints[0].MatchTaint(&karpv1.UnregisteredNoExecuteTaint) {
		t.Errorf("booted with taints %v", taints)
	}
}

func TestCreateOfOneClaimTwiceIsOneInstance(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	first, second := p.launch(t, claim("a")), p.launch(t, claim("a"))
	if first.Status.ProviderID != second.Status.ProviderID || len(p.cloud.list()) != 1 {
		t.Errorf("%s and %s", first.Status.ProviderID, second.Status.ProviderID)
	}
}

func TestOfferingsWithoutCapacityAreLeftAloneForAWhile(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	p.cloud.fault(Fault{Kind: FaultInsufficientCapacity, Match: Match{CapacityTypes: []string{Spot}}})
	only := []karpv1.NodeSelectorRequirementWithMinValues{require(corev1.LabelInstanceTypeStable, "m5.large")}
	if got := p.launch(t, claim("a", only...)); got.Labels[karpv1.CapacityTypeLabelKey] != OnDemand {
		t.Errorf("launched %v", got.Labels)
	}
	available := func() (spot, onDemand int) {
		for _, o := range p.instanceTypesByName(t)["m5.large"].Offerings.Available() {
			if o.CapacityType() == Spot {
				spot++
			} else {
				onDemand++
			}
		}
		return spot, onDemand
	}
	if spot, onDemand := available(); spot != 0 || onDemand != 5 {
		t.Errorf("%d spot and %d on-demand offerings", spot, onDemand)
	}
	if _, err := p.Create(context.Background(), claim("b", append(only, require(karpv1.CapacityTypeLabelKey, Spot))...)); !karpenter.IsInsufficientCapacityError(err) {
		t.Errorf("error %v", err)
	}
	p.cloud.clock.Step(unavailableTTL)
	if spot, _ := available(); spot != 5 {
		t.Errorf("%d spot offerings after the wait", spot)
	}
}

func TestWhenNoSpotIsLeftOneCallReachesOnDemand(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	p.cloud.fault(Fault{Kind: FaultInsufficientCapacity, Match: Match{CapacityTypes: []string{Spot}}})
	if got := p.launch(t, claim("a")); got.Labels[karpv1.CapacityTypeLabelKey] != OnDemand {
		t.Errorf("launched %v", got.Labels)
	}
	if n := testutil.ToFloat64(p.cloud.metrics.attempts.WithLabelValues(string(OpCreateInstance), "201")); n != 1 {
		t.Errorf("%v calls", n)
	}
}

func TestErrorsOfCreateHaveTheTypeKarpenterActsOn(t *testing.T) {
	for name, tc := range map[string]struct {
		fault Fault
		claim *karpv1.NodeClaim
		check func(error) bool
	}{
		"no capacity anywhere":     {Fault{Kind: FaultInsufficientCapacity}, claim("a"), karpenter.IsInsufficientCapacityError},
		"nothing holds the claim":  {Fault{}, claim("a", require(corev1.LabelArchStable, "s390x")), karpenter.IsInsufficientCapacityError},
		"throttled to the end":     {Fault{Kind: FaultThrottle, Operations: []Operation{OpCreateInstance}}, claim("a"), isCreateError(CodeThrottled)},
		"a broken cloud":           {Fault{Kind: FaultError, Operations: []Operation{OpCreateInstance}}, claim("a"), isCreateError("LaunchFailed")},
		"fewer types than minimum": {Fault{}, claim("a", withMin(require(corev1.LabelInstanceTypeStable, "m5.large", "m5.xlarge"), 3)), isCreateError("InstanceTypeFilteringFailed")},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, v1alpha1.SimNodeClassSpec{})
			if tc.fault.Kind != "" {
				p.cloud.fault(tc.fault)
			}
			if _, err := p.Create(context.Background(), tc.claim); !tc.check(err) {
				t.Errorf("error %v", err)
			}
			if n := len(p.cloud.list()); n != 0 {
				t.Errorf("%d instances", n)
			}
		})
	}
}

func isCreateError(reason string) func(error) bool {
	return func(err error) bool {
		var e *karpenter.CreateError
		return errors.As(err, &e) && e.ConditionReason == reason
	}
}

func withMin(r karpv1.NodeSelectorRequirementWithMinValues, n int) karpv1.NodeSelectorRequirementWithMinValues {
	r.MinValues = &n
	return r
}

func TestAnInstanceTakenBackBeforeItWasRecordedIsNoInstance(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	p.launch(t, claim("a"))
	p.cloud.fault(Fault{Kind: FaultPreempt, Warning: &metav1.Duration{}})
	if _, err := p.Create(context.Background(), claim("a")); !karpenter.IsInsufficientCapacityError(err) {
		t.Errorf("error %v", err)
	}
}

func TestCreateWaitsForAValidNodeClass(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{Zones: []string{"us-east-1z"}})
	if _, err := p.Create(context.Background(), claim("a")); !karpenter.IsNodeClassNotReadyError(err) || !strings.Contains(err.Error(), "spec.zones[0]") {
		t.Errorf("error %v", err)
	}
	class := p.reconcile(t)
	class.Status.Conditions = nil
	if err := p.kube.Status().Update(context.Background(), class); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Create(context.Background(), claim("a")); !isCreateError("NodeClassReadinessUnknown")(err) {
		t.Errorf("error %v", err)
	}
	missing := claim("b")
	missing.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: v1alpha1.GroupName, Kind: "SimNodeClass", Name: "missing"}
	if _, err := p.Create(context.Background(), missing); !karpenter.IsInsufficientCapacityError(err) {
		t.Errorf("error %v", err)
	}
	if cond := class.StatusConditions().Get(status.ConditionReady); cond.IsTrue() {
		t.Error("ready")
	}
}
