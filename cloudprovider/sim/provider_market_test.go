package sim

import (
	"context"
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

func TestUnknownPricesAreNeverZero(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	p.cloud.fault(Fault{Kind: FaultPriceUnknown, Match: Match{InstanceTypes: []string{"m5.large"}}})
	ctx := context.Background()
	spot := cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: Spot}
	if price, ok := p.Price(ctx, spot); ok {
		t.Errorf("spot price %v", price)
	}
	onDemand := cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: OnDemand}
	if price, ok := p.Price(ctx, onDemand); !ok || price.Source != "catalog" || price.USDPerHour != 0.096 || price.At.Equal(epoch) {
		t.Errorf("on-demand price %+v, %t", price, ok)
	}
	for _, o := range p.instanceTypesByName(t)["m5.large"].Offerings {
		if o.CapacityType() == Spot && (o.Available || !math.IsNaN(o.Price)) {
			t.Errorf("spot offering available %t at %v", o.Available, o.Price)
		}
	}
	if got := p.launch(t, claim("a", require(corev1.LabelInstanceTypeStable, "m5.large"))); got.Labels[karpv1.CapacityTypeLabelKey] != OnDemand {
		t.Error("bought at an unknown price")
	}
}

func TestTheMarketStatesAgeAndSourceAndGoesOnWithOldPrices(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx := context.Background()
	o := cloudprovider.Offering{InstanceType: "m5.large", Zone: "us-east-1a", CapacityType: Spot}
	price, ok := p.Price(ctx, o)
	if !ok || price.Source != "sim" || !price.At.Equal(epoch) {
		t.Errorf("price %+v, %t", price, ok)
	}
	p.cloud.fault(Fault{Kind: FaultError, Operations: []Operation{OpDescribePrices}})
	p.cloud.clock.Step(time.Hour)
	if price, ok = p.Price(ctx, o); !ok || price.Age(p.cloud.clock.Now()) != time.Hour {
		t.Errorf("price %+v, %t", price, ok)
	}
	if err := p.cloud.RemoveFaults(ctx, ""); err != nil {
		t.Fatal(err)
	}
	p.cloud.clock.Step(refreshPause)
	if price, _ = p.Price(ctx, o); price.Age(p.cloud.clock.Now()) != 0 {
		t.Errorf("price %+v after the cloud is back", price)
	}
	if risk, ok := p.Risk(ctx, o); !ok || risk <= 0 || risk > 0.001 {
		t.Errorf("risk of spot %v, %t", risk, ok)
	}
	o.CapacityType = OnDemand
	if risk, ok := p.Risk(ctx, o); !ok || risk != 0 {
		t.Errorf("risk of on-demand %v, %t", risk, ok)
	}
}

func TestNoticesStreamUntilTheContextEnds(t *testing.T) {
	p := newProvider(t, v1alpha1.SimNodeClassSpec{})
	ctx, cancel := context.WithCancel(context.Background())
	launched := p.launch(t, claim("a"))
	p.cloud.fault(Fault{Kind: FaultPreempt, Notice: cloudprovider.Rebalance})
	stream, err := p.Notices(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n := <-stream; n.Kind != cloudprovider.Rebalance || n.ProviderID != launched.Status.ProviderID || !n.Deadline.IsZero() {
		t.Errorf("notice %+v", n)
	}
	p.cloud.fault(Fault{Kind: FaultPreempt})
	if n := <-stream; n.Kind != cloudprovider.SpotInterruption || !n.Deadline.Equal(epoch.Add(2*time.Minute)) {
		t.Errorf("notice %+v", n)
	}
	cancel()
	for range stream { // drained until closed
	}
}

func BenchmarkInstanceTypes(b *testing.B) {
	region, err := catalog.Load("us-east-1")
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewServer(Options{})
	if err != nil {
		b.Fatal(err)
	}
	_, types, err := s.describeTypes(nil)
	if err != nil {
		b.Fatal(err)
	}
	_, prices, err := s.describePrices(nil)
	if err != nil {
		b.Fatal(err)
	}
	wire, live := types.(Region), prices.(Prices)
	b.ReportAllocs()
	for b.Loop() {
		build := builder{class: &v1alpha1.SimNodeClass{}, region: &wire, prices: &live, list: region, zones: zoneRequirements(&wire)}
		build.build()
	}
}

func BenchmarkDescribePrices(b *testing.B) {
	s, err := NewServer(Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.describePrices(nil); err != nil {
			b.Fatal(err)
		}
	}
}
