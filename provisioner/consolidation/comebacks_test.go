package consolidation_test

import (
	"testing"
	"time"

	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

// TestCapacityThatWasOutIsUsedForReplacementsOnceItHasStayed is what makes the way back from an on-demand fallback safe
// (kubernetes-sigs/karpenter#1829): neither for ever on demand, nor back at the first sign of spot capacity.
func TestCapacityThatWasOutIsUsedForReplacementsOnceItHasStayed(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	type look struct {
		after         time.Duration
		available     bool
		want          bool
		wantReturning int
	}
	for name, looks := range map[string][]look{
		"what was never out has nothing to prove": {{0, true, true, 0}},
		"what is out cannot be used":              {{0, false, false, 0}},
		"what has just come back must stay first": {
			{0, false, false, 0}, {time.Minute, true, false, 1}, {10 * time.Minute, true, false, 1}, {11 * time.Minute, true, true, 0},
		},
		"what was not looked at for long counts from when it was seen back": {
			{0, false, false, 0}, {time.Hour, true, false, 1}, {70 * time.Minute, true, true, 0},
		},
		"what goes again must stay all over": {
			{0, false, false, 0},
			{9 * time.Minute, true, false, 1},
			{10 * time.Minute, false, false, 0},
			{18 * time.Minute, true, false, 1},
			{27 * time.Minute, true, false, 1},
			{28 * time.Minute, true, true, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := consolidation.NewComebacks(10 * time.Minute)
			for _, l := range looks {
				now := start.Add(l.after)
				it := packing.InstanceType{Name: "m6i.large", Offerings: []packing.Offering{
					{Zone: "a", CapacityType: packing.CapacitySpot, Available: l.available},
					{Zone: "a", CapacityType: packing.CapacityOnDemand, Available: true},
				}}
				pools := []packing.Pool{{Name: "default", Types: []packing.InstanceType{it}}}
				c.Observe(now, &it)
				settled, returning := c.Settled(now, pools)
				if got := settled[0].Types[0].Offerings[0].Available; got != l.want || returning != l.wantReturning {
					t.Errorf("after %s spot may be used: %t and %d return, want %t and %d", l.after, got, returning, l.want, l.wantReturning)
				}
				if !settled[0].Types[0].Offerings[1].Available {
					t.Error("on-demand capacity was taken out too")
				}
				if pools[0].Types[0].Offerings[0].Available != l.available {
					t.Error("the pools given were changed")
				}
			}
		})
	}
}
