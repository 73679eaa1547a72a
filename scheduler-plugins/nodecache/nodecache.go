// Package nodecache keeps what a plugin has worked out for each node from one scheduling cycle to the next, so that scoring a node
// that has not changed touches nothing of the node itself.
package nodecache

import (
	"sync"
	"sync/atomic"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Cache remembers a T for each node. It is valid as long as the node's generation and the epoch stay the same: the generation
// moves with the node and its pods, the epoch, of type E, with whatever else T was worked out from.
//
// Reading takes no lock and does not allocate: Score runs for many nodes at once. A NodeInfo of the scheduler's snapshot is
// updated in place, so that it identifies its node for as long as the node exists.
type Cache[E comparable, T any] struct {
	compute func(info fwk.NodeInfo, epoch E) T

	// slots is replaced when a node is new, and never written to.
	slots atomic.Pointer[map[*framework.NodeInfo]*slot[E, T]]

	mu    sync.Mutex
	fresh map[*framework.NodeInfo]*entry[E, T] // met since slots was replaced
}

type slot[E comparable, T any] struct{ atomic.Pointer[entry[E, T]] }

type entry[E comparable, T any] struct {
	generation int64
	epoch      E
	value      T
}

// New returns an empty cache of what compute works out.
func New[E comparable, T any](compute func(info fwk.NodeInfo, epoch E) T) *Cache[E, T] {
	c := &Cache[E, T]{compute: compute, fresh: map[*framework.NodeInfo]*entry[E, T]{}}
	c.slots.Store(&map[*framework.NodeInfo]*slot[E, T]{})
	return c
}

// Begin is called once in each scheduling cycle. It takes in the nodes that the last one met for the first time, and drops those
// that the lister does not know any more.
func (c *Cache[E, T]) Begin(lister fwk.NodeInfoLister) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.fresh) == 0 {
		return
	}
	old := *c.slots.Load()
	slots := make(map[*framework.NodeInfo]*slot[E, T], len(old)+len(c.fresh))
	for info, s := range old {
		// A NodeInfo that left the snapshot may have lost its node.
		if node := info.Node(); node != nil {
			if current, err := lister.Get(node.Name); err == nil && current == fwk.NodeInfo(info) {
				slots[info] = s
			}
		}
	}
	for info, e := range c.fresh {
		s := &slot[E, T]{}
		s.Store(e)
		slots[info] = s
	}
	c.slots.Store(&slots)
	clear(c.fresh)
}

// Of returns what was worked out for a node, now or before. The value is shared and must not be changed.
func (c *Cache[E, T]) Of(info fwk.NodeInfo, epoch E) *T {
	// A pointer is hashed in a fraction of the time that an interface takes. Anything but the scheduler's own is not remembered.
	key, own := info.(*framework.NodeInfo)
	if !own {
		value := c.compute(info, epoch)
		return &value
	}
	generation := key.Generation
	s, ok := (*c.slots.Load())[key]
	if ok {
		if e := s.Load(); e.generation == generation && e.epoch == epoch {
			return &e.value
		}
	}
	e := &entry[E, T]{generation: generation, epoch: epoch, value: c.compute(info, epoch)}
	if ok {
		s.Store(e)
		return &e.value
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fresh[key] = e
	return &e.value
}

// Len returns how many nodes are remembered.
func (c *Cache[E, T]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(*c.slots.Load()) + len(c.fresh)
}
