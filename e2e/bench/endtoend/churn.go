package main

import (
	"math/rand/v2"
	"time"
)

const (
	// churnEvery is between two steps of the schedule.
	churnEvery = 5 * time.Second
	// A step scales a workload to between these shares of what it began with. Less on the whole than at the start: savings are made
	// where there is room.
	minScale, maxScale = 0.2, 1.3
)

// Step scales a workload.
type Step struct {
	// After the start of the churn.
	After    time.Duration
	Workload string
	Replicas int32
}

// Churn is the schedule of a seed, in the order of time. No workload is scaled to nothing.
func Churn(seed uint64, workloads []Workload, length time.Duration) []Step {
	random := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // nothing here is a secret
	var steps []Step
	// Each workload has its turn before any has a second one: so the ends of all seeds differ about as much from their beginnings.
	var turn []int
	for after := time.Duration(0); after < length; after += churnEvery {
		if len(turn) == 0 {
			turn = random.Perm(len(workloads))
		}
		w := &workloads[turn[0]]
		turn = turn[1:]
		scale := minScale + (maxScale-minScale)*random.Float64()
		steps = append(steps, Step{After: after, Workload: w.Name, Replicas: max(1, int32(float64(w.Replicas)*scale+0.5))})
	}
	return steps
}

// podsAfter returns how many pods there are once all steps are done.
func podsAfter(workloads []Workload, steps []Step) int {
	replicas := map[string]int32{}
	for i := range workloads {
		replicas[workloads[i].Name] = workloads[i].Replicas
	}
	for _, s := range steps {
		replicas[s.Workload] = s.Replicas
	}
	total := 0
	for _, n := range replicas {
		total += int(n)
	}
	return total
}
