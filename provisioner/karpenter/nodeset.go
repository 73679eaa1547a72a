package karpenter

import (
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
)

// accountedFor is how long the pods of a node that a consolidation gives up count as having their places: as long as Karpenter
// lets a disruption command take before it calls it failed (disruption.minRetryDuration).
const accountedFor = 10 * time.Minute

// nodeSet remembers, for a while, nodes that a consolidation gives up. A restart forgets them; their pods are then packed anew,
// which may buy a node too many and is mended by the next consolidation.
type nodeSet struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	since map[string]time.Time
}

func newNodeSet(clk clock.PassiveClock) *nodeSet {
	return &nodeSet{clock: clk, since: map[string]time.Time{}}
}

func (s *nodeSet) add(providerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since[providerID] = s.clock.Now()
}

func (s *nodeSet) remove(providerID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.since, providerID)
}

// split divides nodes that are going into those of the set and the others, and forgets what was added too long ago.
func (s *nodeSet) split(deleting state.StateNodes) (in, out state.StateNodes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, since := range s.since {
		if s.clock.Since(since) > accountedFor {
			delete(s.since, id)
		}
	}
	for _, n := range deleting {
		if _, ok := s.since[n.ProviderID()]; ok {
			in = append(in, n)
		} else {
			out = append(out, n)
		}
	}
	return in, out
}
