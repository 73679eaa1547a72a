package plans

import (
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/provisioner/succession"
)

// Successors holds the places that consolidations planned for pods that do not exist yet, by node. It is safe for concurrent use.
type Successors struct {
	// any is false when no node has a plan that is not outdated.
	any atomic.Bool

	mu         sync.Mutex
	byNode     map[string]places
	departures succession.Departures
	owners     map[types.UID]int // of the pods below
	pods       map[types.UID]types.UID
}

type places struct {
	value string
	plans []succession.Plan
}

// NewSuccessors returns an empty set.
func NewSuccessors() *Successors {
	return &Successors{byNode: map[string]places{}, owners: map[types.UID]int{}, pods: map[types.UID]types.UID{}}
}

// SetNode records the value of v1alpha1.PlannedSuccessorsAnnotation of a node. What cannot be read keeps no places.
func (s *Successors) SetNode(node, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byNode[node].value == value {
		return nil
	}
	if value == "" {
		delete(s.byNode, node)
		return nil
	}
	plans, err := succession.Parse(value)
	s.byNode[node] = places{value, plans}
	if len(plans) > 0 {
		s.any.Store(true)
	}
	return err
}

// DeleteNode records that a node is gone: its places are, and successors of its pods will have come soon.
func (s *Successors) DeleteNode(node string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byNode, node)
	if s.any.Load() {
		s.departures.Left(node, now)
	}
}

// SetPod records a pod that has not finished, and the controller that owns it.
func (s *Successors) SetPod(pod, owner types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.pods[pod]; ok && known == owner {
		return
	}
	s.drop(pod)
	s.pods[pod] = owner
	s.owners[owner]++
}

// DeletePod forgets a pod.
func (s *Successors) DeletePod(pod types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(pod)
}

func (s *Successors) drop(pod types.UID) {
	owner, ok := s.pods[pod]
	if !ok {
		return
	}
	delete(s.pods, pod)
	if s.owners[owner]--; s.owners[owner] == 0 {
		delete(s.owners, owner)
	}
}

// Holding returns the plans that hold, by node, without the places of owners that have no pod any more. Nil means that there are
// none, and costs next to nothing.
func (s *Successors) Holding(now time.Time, state func(node string) succession.State) map[string][]succession.Plan {
	if !s.any.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out map[string][]succession.Plan
	still := false
	for node, known := range s.byNode {
		outdated := true
		for i := range known.plans {
			plan := known.plans[i]
			outdated = outdated && now.Sub(plan.Made.Time) >= succession.MaxAge
			if !s.departures.Holds(&plan, now, state) {
				continue
			}
			if plan.Places = s.owned(plan.Places); len(plan.Places) == 0 {
				continue
			}
			if out == nil {
				out = map[string][]succession.Plan{}
			}
			out[node] = append(out[node], plan)
		}
		if outdated {
			s.byNode[node] = places{value: known.value} // not parsed again
		}
		still = still || !outdated
	}
	s.any.Store(still)
	return out
}

func (s *Successors) owned(all []succession.Place) []succession.Place {
	var out []succession.Place
	for _, p := range all {
		if s.owners[p.Owner] > 0 {
			out = append(out, p)
		}
	}
	return out
}
