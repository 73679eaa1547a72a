// Package departure knows which nodes are about to go: what the node itself says, and what its NodeClaim says. Who takes a
// node away, and when, is decided elsewhere.
package departure

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Announced says whether a node is marked as about to go, or cordoned, which is how draining starts.
func Announced(node *corev1.Node) bool {
	if node.DeletionTimestamp != nil || node.Spec.Unschedulable {
		return true
	}
	for i := range node.Spec.Taints {
		if announces(node.Spec.Taints[i].Key) {
			return true
		}
	}
	return false
}

// announces says whether a taint tells that something is about to take the node away. Most such taints also keep new pods off;
// a pod that tolerates them, and taints that only prefer no new pods, still get here.
func announces(key string) bool {
	switch key {
	case "karpenter.sh/disrupted",
		"karpenter.sh/disruption", // Karpenter before 1.0
		"ToBeDeletedByClusterAutoscaler",
		"DeletionCandidateOfClusterAutoscaler",
		"cloud.google.com/impending-node-termination",
		"node.cloudprovider.kubernetes.io/shutdown",
		corev1.TaintNodeOutOfService:
		return true
	}
	// AWS's handler has one taint for each kind of notice: spot-itn, rebalance-recommendation, scheduled-maintenance, ...
	return strings.HasPrefix(key, "aws-node-termination-handler/")
}

// Claim is what a NodeClaim says of its node's end.
type Claim struct {
	// Node that the claim became; empty while it is in flight.
	Node string
	// Going is set once the claim is being deleted, has drifted, or was chosen for disruption.
	Going bool
	// Expires is when the claim is replaced for its age; zero: never.
	Expires time.Time
}

// Claims holds the NodeClaims. It is safe for concurrent use.
type Claims struct {
	version atomic.Uint64
	mu      sync.RWMutex
	byName  map[string]Claim
	byNode  map[string]string
}

// NewClaims returns an empty set.
func NewClaims() *Claims {
	return &Claims{byName: map[string]Claim{}, byNode: map[string]string{}}
}

// Set records a claim.
func (c *Claims) Set(name string, claim Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName[name] == claim {
		return
	}
	c.drop(name)
	c.byName[name] = claim
	if claim.Node != "" {
		c.byNode[claim.Node] = name
	}
	c.version.Add(1)
}

// Delete forgets a claim.
func (c *Claims) Delete(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byName[name]; ok {
		c.drop(name)
		c.version.Add(1)
	}
}

func (c *Claims) drop(name string) {
	if node := c.byName[name].Node; c.byNode[node] == name {
		delete(c.byNode, node)
	}
	delete(c.byName, name)
}

// Version changes whenever a claim does.
func (c *Claims) Version() uint64 { return c.version.Load() }

// Of returns the claim of a node.
func (c *Claims) Of(node string) (Claim, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	name, ok := c.byNode[node]
	return c.byName[name], ok
}

// Leaves says whether a claim's node is about to go at a time, seen with the foresight given.
func (c Claim) Leaves(now time.Time, within time.Duration) bool {
	return c.Going || !c.Expires.IsZero() && !now.Add(within).Before(c.Expires)
}
