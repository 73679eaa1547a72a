package recommender

import (
	"fmt"
	"math/rand/v2"
	"time"

	"supercargo.dev/recommender/estimate"
)

// ours is Supercargo's store as the recommender uses it: samples go through series.
type ours struct {
	store   *estimate.Store
	policy  estimate.Policy
	history [][]byte // of workloads, as in checkpoints
	keys    []estimate.Workload
	series  []*estimate.Series
	needs   []estimate.Need
}

func newOurs(history [][]byte) *ours {
	return &ours{store: estimate.NewStore(estimate.Options{}), policy: estimate.DefaultPolicy(), history: history}
}

func (o *ours) register() error {
	n := len(o.keys)
	w := estimate.Workload{Namespace: scaleNamespace, Kind: "Deployment", Name: workloadName(n)}
	o.keys = append(o.keys, w)
	key := &estimate.Key{Namespace: w.Namespace, Kind: w.Kind, Name: w.Name, Container: replayContainer}
	for pod := range podsPerScaler {
		// A history is of the pods of the workload that it was taken from. Their names are as long as ours.
		name := podName(n, pod)
		if len(o.history) > 0 {
			name = podName(n%len(o.history), pod)
		}
		o.series = append(o.series, o.store.SeriesOf(key, name))
	}
	if len(o.history) == 0 {
		return nil
	}
	var h estimate.History
	if err := h.UnmarshalBinary(o.history[n%len(o.history)]); err != nil {
		return fmt.Errorf("reading a history, %w", err)
	}
	h.Workload = w
	return o.store.Restore(h)
}

func (o *ours) observe(i int, at time.Time, milliCPU, bytes float64) error {
	o.series[i].Observe(at, milliCPU, bytes)
	return nil
}

func (o *ours) recompute(now time.Time) (int, error) {
	n := 0
	for _, w := range o.keys {
		o.needs = o.store.AppendNeeds(o.needs[:0], w, &o.policy, now)
		n += len(o.needs) * podsPerScaler // the container of each pod has the need of its workload
	}
	return n, nil
}

const scaleNamespace = "scale"

// histories are eight days of samples a minute of some workloads, as they stand in checkpoints: a million containers
// take too long to watch for eight days, and are made of these.
func histories(workloads int) ([][]byte, error) {
	out := make([][]byte, 0, workloads)
	for n := range workloads {
		s := estimate.NewStore(estimate.Options{})
		w := estimate.Workload{Namespace: scaleNamespace, Kind: "Deployment", Name: workloadName(n)}
		for pod := range podsPerScaler {
			i := n*podsPerScaler + pod
			r := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // of samples, not of secrets
			x := s.Series(estimate.Key{Namespace: w.Namespace, Kind: w.Kind, Name: w.Name, Container: replayContainer}, podName(n, pod))
			for m := range lookbackMinutes {
				at := start().Add(time.Duration(m) * time.Minute)
				milliCPU, bytes := load(r, i, at)
				x.Observe(at, milliCPU, bytes)
			}
		}
		h, ok := s.Snapshot(w)
		if !ok {
			return nil, fmt.Errorf("workload %s has no history", w.Name)
		}
		b, err := h.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("writing a history, %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}
