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
	out    map[offeringKey]time.Time // when each was last seen without capacity
}

type offeringKey struct{ instanceType, zone, capacityType string }

// NewComebacks returns an empty memory. An offering has settled when it was not out of capacity for so long.
func NewComebacks(settle time.Duration) *Comebacks {
	return &Comebacks{settle: settle, out: map[offeringKey]time.Time{}}
}

// Observe notes which offerings of a type have no capacity now.
func (c *Comebacks) Observe(now time.Time, it *packing.InstanceType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range it.Offerings {
		o := &it.Offerings[i]
		key := offeringKey{it.Name, o.Zone, o.CapacityType}
		if !o.Available {
			c.out[key] = now
		} else if since, ok := c.out[key]; ok && now.Sub(since) >= c.settle {
			delete(c.out, key)
		}
	}
}

// Settled returns pools without the capacity that has not stayed yet, and how many offerings that leaves out although they
// could be bought. The pools given are not changed.
func (c *Comebacks) Settled(now time.Time, pools []packing.Pool) (settled []packing.Pool, returning int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.out) == 0 {
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
		since, ok := c.out[offeringKey{it.Name, o.Zone, o.CapacityType}]
		if !o.Available || !ok || now.Sub(since) >= c.settle {
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
