// Package replicas counts where the replicas of each workload are: on spot or not, and in which spot pools. Pods that the
// scheduler has placed in its own books, but whose binding the API server has not shown yet, count already; otherwise a burst
// of replicas would all see the same room.
package replicas

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/placement"
)

// Node is what matters of a node here.
type Node struct {
	Spot bool
	Pool offering.Pool
}

// Counter counts replicas. It is safe for concurrent use; every method takes constant time but SetNode and DeleteNode, which
// take time by the pods on the node, and Pools, by the pools of the workload.
type Counter struct {
	mu        sync.RWMutex
	pods      map[types.UID]pod
	nodes     map[string]*node
	workloads map[demand.Owner]*workload
}

type pod struct {
	owner   demand.Owner
	node    string // empty: not placed
	assumed bool   // placed by Assume and not seen bound yet
}

type node struct {
	Node
	known bool // false: pods are there, the node has not been seen
	pods  map[types.UID]struct{}
}

type workload struct {
	placement.Replicas
	pools map[offering.Pool]int32 // of spot replicas
}

// New returns a counter that has seen nothing.
func New() *Counter {
	return &Counter{pods: map[types.UID]pod{}, nodes: map[string]*node{}, workloads: map[demand.Owner]*workload{}}
}

// SetPod records a live pod and the node it is bound to, empty while it is pending.
func (c *Counter) SetPod(uid types.UID, owner demand.Owner, nodeName string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.pods[uid]
	if ok && known.owner == owner && (known.node == nodeName && !known.assumed || nodeName == "" && known.assumed) {
		return
	}
	c.replace(uid, pod{owner: owner, node: nodeName})
}

// DeletePod forgets a pod that is gone, going or finished.
func (c *Counter) DeletePod(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(uid)
}

// Assume records that the scheduler is about to bind a pod.
func (c *Counter) Assume(uid types.UID, owner demand.Owner, nodeName string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replace(uid, pod{owner: owner, node: nodeName, assumed: true})
}

// Release takes an assumption back. A pod that is bound by now stays where it is.
func (c *Counter) Release(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.pods[uid]; ok && known.assumed {
		c.replace(uid, pod{owner: known.owner})
	}
}

// SetNode records what a node is.
func (c *Counter) SetNode(name string, n Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.node(name)
	if known.known && known.Node == n {
		return
	}
	c.recount(known, -1)
	known.Node, known.known = n, true
	c.recount(known, 1)
}

// DeleteNode forgets a node. Pods that are still bound to it count as not on spot until they are deleted too.
func (c *Counter) DeleteNode(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.nodes[name]
	if !ok {
		return
	}
	c.recount(known, -1)
	known.Node, known.known = Node{}, false
	c.recount(known, 1)
	c.dropIfIdle(name, known)
}

// Of returns the replicas of a workload, for placing the pod given: it is part of the total, and of nothing else.
func (c *Counter) Of(owner demand.Owner, placing types.UID) placement.Replicas {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var have placement.Replicas
	if w, ok := c.workloads[owner]; ok {
		have = w.Replicas
	}
	known, ok := c.pods[placing]
	switch {
	case !ok || known.owner != owner:
		have.Total++
	case known.node == "":
	case c.nodes[known.node].Spot:
		have.Spot--
	default:
		have.OnDemand--
	}
	return have
}

// Pools returns how many spot replicas of a workload each pool holds, and their sum. The map is the caller's; it is nil where
// there are none.
func (c *Counter) Pools(owner demand.Owner) (byPool map[offering.Pool]int32, total int32) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	w, ok := c.workloads[owner]
	if !ok || w.Spot == 0 {
		return nil, 0
	}
	byPool = make(map[offering.Pool]int32, len(w.pools))
	for pool, n := range w.pools {
		byPool[pool] = n
	}
	return byPool, w.Spot
}

func (c *Counter) replace(uid types.UID, p pod) {
	c.take(uid)
	c.pods[uid] = p
	w, ok := c.workloads[p.owner]
	if !ok {
		w = &workload{pools: map[offering.Pool]int32{}}
		c.workloads[p.owner] = w
	}
	w.Total++
	if p.node == "" {
		return
	}
	n := c.node(p.node)
	n.pods[uid] = struct{}{}
	w.add(n.Node, 1)
}

func (c *Counter) take(uid types.UID) {
	p, ok := c.pods[uid]
	if !ok {
		return
	}
	delete(c.pods, uid)
	w := c.workloads[p.owner]
	w.Total--
	if p.node != "" {
		n := c.nodes[p.node]
		delete(n.pods, uid)
		w.add(n.Node, -1)
		c.dropIfIdle(p.node, n)
	}
	if w.Total == 0 {
		delete(c.workloads, p.owner)
	}
}

func (c *Counter) node(name string) *node {
	n, ok := c.nodes[name]
	if !ok {
		n = &node{pods: map[types.UID]struct{}{}}
		c.nodes[name] = n
	}
	return n
}

func (c *Counter) dropIfIdle(name string, n *node) {
	if !n.known && len(n.pods) == 0 {
		delete(c.nodes, name)
	}
}

func (c *Counter) recount(n *node, by int32) {
	for uid := range n.pods {
		c.workloads[c.pods[uid].owner].add(n.Node, by)
	}
}

func (w *workload) add(n Node, by int32) {
	if !n.Spot {
		w.OnDemand += by
		return
	}
	w.Spot += by
	if w.pools[n.Pool] += by; w.pools[n.Pool] == 0 {
		delete(w.pools, n.Pool)
	}
}
