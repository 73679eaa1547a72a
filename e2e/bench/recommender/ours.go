package recommender

import (
	"time"

	"supercargo.dev/recommender/estimate"
)

// supercargo is the Engine of Supercargo's estimate.
type supercargo struct {
	store  *estimate.Store
	policy estimate.Policy
	key    estimate.Key
	series map[string]*estimate.Series
	needs  []estimate.Need
	last   Request
}

// NewSupercargo returns Supercargo's engine for one workload.
func NewSupercargo(p estimate.Policy) Engine {
	return &supercargo{
		store: estimate.NewStore(estimate.Options{}), policy: p, series: map[string]*estimate.Series{},
		key: estimate.Key{Namespace: replayNamespace, Kind: "Deployment", Name: "workload", Container: replayContainer},
	}
}

func (e *supercargo) Observe(pod string, s Sample) {
	x := e.series[pod]
	if x == nil {
		x = e.store.Series(e.key, pod)
		e.series[pod] = x
	}
	x.Observe(s.At, s.MilliCPU, s.MemoryBytes)
}

func (e *supercargo) OOM(pod string, at time.Time, request, used float64) {
	e.store.OOM(e.key, estimate.Kill{Pod: pod, At: at, MemoryBytes: used, Applied: request >= e.last.MemoryBytes}, e.policy.OOM)
}

func (e *supercargo) Recommend(now time.Time) (Request, bool) {
	e.needs = e.store.AppendNeeds(e.needs[:0], e.key.Workload(), &e.policy, now)
	if len(e.needs) == 0 || e.needs[0].MilliCPU == 0 && e.needs[0].MemoryBytes == 0 {
		return Request{}, false
	}
	e.last = Request{float64(e.needs[0].MilliCPU), float64(e.needs[0].MemoryBytes)}
	return e.last, true
}

func (e *supercargo) Applied(string, Request) {}
