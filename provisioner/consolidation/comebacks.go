package consolidation

import (
	"sync"
	"time"

	"supercargo.dev/provisioner/packing"
)

// DefaultCapacitySettle is how long capacity that was out must have stayed before nodes are replaced by it. Clouds take an
// offering that had no capacity out of sale for about 3 min (unavailable offerings' TTL of Karpenter's AWS provider) and then
// put it back without knowing more, so it must be longer than that by some launches.
const DefaultCapacitySettle = 10 * time.Minute

// Comebacks remembers which offerings had no capacity, so that running nodes are not replaced by capacity that has only just
// come back and may go again: pods that wait use it at once, pods that run can wait until it has stayed.
//
// An offering that was never seen out of capacity has nothing to prove. A restart forgets; what is out then is seen again.
// It is safe for concurrent use.
type Comebacks struct {
	settle time.Duration
	mu     sync.Mutex
	// back is when each offering that was seen without capacity was first seen with it again; zero while it has none.
	back map[offeringKey]time.Time
}

type offeringKey struct{ instanceType, zone, capacityType string }

// NewComebacks returns an empty memory. An offering has settled when it has been back for so long. The time
// counts from when it was first seen back, for nobody knows what was in between.
func NewComebacks(settle time.Duration) *Comebacks {
	return &Comebacks{settle: settle, back: map[offeringKey]time.Time{}}
}

// Observe notes which offerings of a type have capacity now.
func (c *Comebacks) Observe(now time.Time, it *packing.InstanceType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range it.Offerings {
		o := &it.Offerings[i]
		key := offeringKey{it.Name, o.Zone, o.CapacityType}
		back, known := c.back[key]
		switch {
		case !o.Available:
			c.back[key] = time.Time{}
		case !known:
		case back.IsZero():
			c.back[key] = now
		case now.Sub(back) >= c.settle:
			delete(c.back, key)
		}
	}
}

// Settled returns pools without the capacity that has not stayed yet, and how many offerings that leaves out although they
// could be bought. The pools given are not changed.
func (c *Comebacks) Settled(now time.Time, pools []packing.Pool) (settled []packing.Pool, returning int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.back) == 0 {
		return pools, 0
	}
	settled = make([]packing.Pool, len(pools))
	copy(settled, pools)
	for i := range settled {
		types := make([]packing.InstanceType, len(settled[i].Types))
		copy(types, settled[i].Types)
		for k := range types {
			returning += c.leaveOut(now, &types[k])
		}
		settled[i].Types = types
	}
	return settled, returning
}

// leaveOut takes what has not settled of one type out of sale.
func (c *Comebacks) leaveOut(now time.Time, it *packing.InstanceType) (returning int) {
	var changed []packing.Offering
	for i := range it.Offerings {
		o := &it.Offerings[i]
		back, ok := c.back[offeringKey{it.Name, o.Zone, o.CapacityType}]
		if !o.Available || !ok || !back.IsZero() && now.Sub(back) >= c.settle {
			continue
		}
		if changed == nil {
			changed = append(changed, it.Offerings...)
		}
		changed[i].Available = false
		returning++
	}
	if changed != nil {
		it.Offerings = changed
	}
	return returning
}
