package sim

import (
	"context"
	"math"
	"testing"
	"time"

	"supercargo.dev/cloudprovider/catalog"
)

func TestSpotPricesMoveWithinTheCatalogsRange(t *testing.T) {
	region, err := catalog.Load("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	m := market{seed: 1, interval: 5 * time.Minute}
	moved := 0
	for i := range region.Types {
		typ := &region.Types[i]
		if !typ.Spot.Known() {
			continue
		}
		prices := map[float64]bool{}
		for at := epoch; at.Before(epoch.Add(12 * time.Hour)); at = at.Add(20 * time.Minute) {
			p := m.spot(typ, typ.Zones[0], at)
			if !(p > 0) || p < typ.Spot.Min || p > typ.Spot.Max {
				t.Fatalf("%s: %v outside %v", typ.Name, p, typ.Spot)
			}
			prices[p] = true
		}
		if len(prices) > 1 {
			moved++
		}
	}
	if moved < 500 {
		t.Errorf("only %d types have a price that moves", moved)
	}
}

func TestTheMeanSpotPriceIsNearTheCatalogsAverage(t *testing.T) {
	typ := &catalog.Type{Name: "x.large", Spot: catalog.Range{Min: 1, Avg: 1.3, Max: 2}}
	m := market{seed: 3, interval: 5 * time.Minute}
	sum, n := 0.0, 0
	for zone := range 20 {
		for h := range 24 * 30 {
			sum += m.spot(typ, string(rune('a'+zone)), epoch.Add(time.Duration(h)*time.Hour))
			n++
		}
	}
	if mean := sum / float64(n); math.Abs(mean-1.3) > 0.08 {
		t.Errorf("mean %.3f, want about 1.3", mean)
	}
}

func TestOneSeedIsOneMarket(t *testing.T) {
	region, err := catalog.Load("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	typ, _ := region.Type("m5.large")
	a, b, other := market{1, time.Minute}, market{1, time.Minute}, market{2, time.Minute}
	differ := false
	for k := range 100 {
		at := epoch.Add(time.Duration(k) * time.Minute)
		if a.spot(typ, "us-east-1a", at) != b.spot(typ, "us-east-1a", at) {
			t.Fatal("two markets of one seed differ")
		}
		differ = differ || a.spot(typ, "us-east-1a", at) != other.spot(typ, "us-east-1a", at)
	}
	if !differ {
		t.Error("the seed does not matter")
	}
}

func TestBillsAreTheIntegralOfThePrices(t *testing.T) {
	c := newCloud(t, nil)
	spot := c.create("a", spotA).Instance
	od := c.create("b", onDemandA).Instance
	for k := range 37 { // asked at odd moments, so that settlement is not aligned with the market
		c.clock.Step(7*time.Minute + time.Duration(k)*time.Second)
		c.billing()
	}
	if _, err := c.Terminate(context.Background(), od.ID); err != nil {
		t.Fatal(err)
	}
	ended := c.clock.Now()
	c.clock.Step(time.Hour)
	b := c.billing()
	sum, perHour := 0.0, 0.0
	for _, bill := range b.Instances {
		until := b.At
		if bill.End != nil {
			until = *bill.End
		}
		integral := 0.0
		for k, p := range bill.History {
			end := until
			if k+1 < len(bill.History) {
				end = bill.History[k+1].At
			}
			integral += p.USDPerHour * end.Sub(p.At).Hours()
		}
		if math.Abs(integral-bill.SpentUSD) > 1e-9 {
			t.Errorf("%s: spent %v, the prices add up to %v", bill.InstanceID, bill.SpentUSD, integral)
		}
		sum += bill.SpentUSD
		perHour += bill.USDPerHour
	}
	if sum != b.TotalUSD || perHour != b.USDPerHour {
		t.Errorf("total %v of bills %v", b.TotalUSD, sum)
	}
	if got, want := b.Instances[1].SpentUSD, 0.096*ended.Sub(epoch).Hours(); math.Abs(got-want) > 1e-9 {
		t.Errorf("on-demand %v, want %v", got, want)
	}
	if len(b.Instances[0].History) < 3 || b.Instances[0].InstanceID != spot.ID {
		t.Errorf("the spot price did not move: %v", b.Instances[0].History)
	}
	if b.Instances[1].USDPerHour != 0 {
		t.Error("a terminated instance still costs")
	}
}

func TestShortLivesAreBilledAtLeastTheMinimum(t *testing.T) {
	c := newCloud(t, func(o *Options) { o.MinimumBilling = time.Minute })
	id := c.create("a", onDemandA).Instance.ID
	c.clock.Step(time.Second)
	if _, err := c.Terminate(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	c.clock.Step(time.Hour)
	if got := c.billing().TotalUSD; math.Abs(got-0.096/60) > 1e-12 {
		t.Errorf("spent %v", got)
	}
}

func TestNoPriceIsZeroAndUnknownOnesAreAbsent(t *testing.T) {
	c := newCloud(t, nil)
	c.fault(Fault{Kind: FaultPriceUnknown, Match: Match{InstanceTypes: []string{"m5.large"}}})
	p, err := c.Prices(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.OnDemand["m5.large"]; ok || len(p.Spot["m5.large"]) != 0 {
		t.Error("an unknown price is stated")
	}
	if len(p.OnDemand) < 800 || len(p.Spot) < 500 || len(p.Risk) < 500 {
		t.Errorf("%d on-demand, %d spot, %d risks", len(p.OnDemand), len(p.Spot), len(p.Risk))
	}
	for name, usd := range p.OnDemand {
		if usd <= 0 {
			t.Errorf("%s costs %v", name, usd)
		}
	}
	for name, zones := range p.Spot {
		for zone, usd := range zones {
			if usd <= 0 {
				t.Errorf("%s in %s costs %v", name, zone, usd)
			}
		}
	}
}
