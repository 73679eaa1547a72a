// Package plans knows which pods a node was bought for, from what the provisioner writes on NodeClaims. Whether a pod waits for
// its node is decided elsewhere.
package plans

import (
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Plan is the claim that was made for a pod.
type Plan struct {
	Claim string
	// Node that the claim became; empty while it is in flight.
	Node string
	// Created is when the claim was made.
	Created time.Time
	// Going is set once the claim is being given up.
	Going bool
}

// Parse reads the value of v1alpha1.PlannedPodsAnnotation.
func Parse(value string) []types.UID {
	var out []types.UID
	for _, uid := range strings.Split(value, ",") {
		if uid = strings.TrimSpace(uid); uid != "" {
			out = append(out, types.UID(uid))
		}
	}
	return out
}

// Plans holds the claims that were made for pods. It is safe for concurrent use.
type Plans struct {
	mu      sync.RWMutex
	byClaim map[string]claim
	byPod   map[types.UID]string
}

type claim struct {
	Plan
	pods []types.UID
}

// New returns an empty set.
func New() *Plans {
	return &Plans{byClaim: map[string]claim{}, byPod: map[types.UID]string{}}
}

// Set records a claim and its pods. It reports whether they should be tried again: the claim has its node now, or is going.
func (p *Plans) Set(plan Plan, pods []types.UID) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.byClaim[plan.Claim]
	if len(pods) == 0 && len(known.pods) == 0 {
		return false
	}
	if !slices.Equal(known.pods, pods) {
		p.drop(plan.Claim)
		for _, uid := range pods {
			p.byPod[uid] = plan.Claim // of two claims for a pod the later one holds
		}
	}
	p.byClaim[plan.Claim] = claim{plan, pods}
	return plan.Node != known.Node || plan.Going && !known.Going
}

// Delete forgets a claim. It reports whether pods were planned on it, which should be tried again.
func (p *Plans) Delete(name string) (again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again = len(p.byClaim[name].pods) > 0
	p.drop(name)
	return again
}

func (p *Plans) drop(name string) {
	for _, uid := range p.byClaim[name].pods {
		if p.byPod[uid] == name {
			delete(p.byPod, uid)
		}
	}
	delete(p.byClaim, name)
}

// Of returns the plan for a pod, if there is one.
func (p *Plans) Of(pod types.UID) (Plan, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	c, ok := p.byClaim[p.byPod[pod]]
	return c.Plan, ok
}
