package recommender

import (
	"fmt"
	"math"
	"time"
)

// Prices of one core-hour and one GiB-hour. Only their ratio matters here: it is that of on-demand general-purpose
// machines.
const (
	corePrice = 0.0316
	gibPrice  = 0.0042
)

// period is how often a recommendation is applied, and how long it is judged.
const period = 30 * time.Minute

// Request is what an engine recommends for one pod.
type Request struct{ MilliCPU, MemoryBytes float64 }

// drift is by how much a recommendation differs from what runs before it is applied, where a policy does not say otherwise.
const drift = 0.10

// drifted tells whether either resource is to move by at least the drift.
func (r Request) drifted(to Request) bool {
	return math.Abs(to.MilliCPU-r.MilliCPU) >= drift*r.MilliCPU && to.MilliCPU != r.MilliCPU ||
		math.Abs(to.MemoryBytes-r.MemoryBytes) >= drift*r.MemoryBytes && to.MemoryBytes != r.MemoryBytes
}

// Engine recommends for one workload of one container.
type Engine interface {
	// Observe adds a sample of a pod.
	Observe(pod string, s Sample)
	// OOM tells that a pod was killed for want of memory at its request.
	OOM(pod string, at time.Time, request, used float64)
	// Recommend computes the request of each pod; false where there is none yet.
	Recommend(now time.Time) (Request, bool)
	// Applied tells what pods run with from now on.
	Applied(pod string, r Request)
}

// Outcome of a replay.
type Outcome struct {
	// Reserved and Used are in USD over the judged minutes.
	Reserved, Used float64
	// Minutes that were judged, and those in which usage was above the recommendation.
	Minutes, CPUViolations, MemoryViolations int
	// OOMs are the times that memory rose above the recommendation: what a limit at the request would have killed.
	OOMs int
	// Caused are those of the OOMs in which memory was no higher than it had been before the recommendation was made, which
	// therefore caused them.
	Caused int
	// BelowPeak is how many recommendations asked for less memory than the highest sample before.
	BelowPeak int
	// Changes are the recommendations that moved by at least the default drift from the one before that did, over Days of
	// workloads.
	Changes int
	Days    float64
}

// Ratio of reserved to used cost.
func (o Outcome) Ratio() float64 { return o.Reserved / o.Used }

// CPURate and MemoryRate are the shares of minutes above the recommendation.
func (o Outcome) CPURate() float64 { return float64(o.CPUViolations) / float64(max(o.Minutes, 1)) }

// MemoryRate is the share of minutes with memory above the recommendation.
func (o Outcome) MemoryRate() float64 {
	return float64(o.MemoryViolations) / float64(max(o.Minutes, 1))
}

// ChangesPerDay is how often a day the request of a workload moved.
func (o Outcome) ChangesPerDay() float64 {
	if o.Days == 0 {
		return 0
	}
	return float64(o.Changes) / o.Days
}

// Add joins outcomes.
func (o *Outcome) Add(other Outcome) {
	o.Reserved += other.Reserved
	o.Used += other.Used
	o.Minutes += other.Minutes
	o.CPUViolations += other.CPUViolations
	o.MemoryViolations += other.MemoryViolations
	o.OOMs += other.OOMs
	o.Caused += other.Caused
	o.BelowPeak += other.BelowPeak
	o.Changes += other.Changes
	o.Days += other.Days
}

// judge counts one minute; above says whether the minute before was above memory too, peak is the highest before r was made.
func (o *Outcome) judge(s Sample, r Request, above bool, peak float64) (isAbove bool) {
	o.Minutes++
	o.Reserved += cost(r.MilliCPU, r.MemoryBytes)
	o.Used += cost(s.MilliCPU, s.MemoryBytes)
	if s.MilliCPU > r.MilliCPU {
		o.CPUViolations++
	}
	if s.MemoryBytes <= r.MemoryBytes {
		return false
	}
	o.MemoryViolations++
	if !above {
		o.OOMs++
		if s.MemoryBytes <= peak {
			o.Caused++
		}
	}
	return true
}

// cost of a minute in USD.
func cost(milliCPU, bytes float64) float64 {
	return (milliCPU/1000*corePrice + bytes/(1<<30)*gibPrice) / 60
}

// Replay puts traces through engines, one engine for each workload: pods of one workload share it. The first period
// only feeds. With kills, each rise of memory above the request is told to the engine as an OOM kill, as it would come
// from a kubelet where the limit is the request; the trace goes on as it was measured.
func Replay(traces []Trace, kills bool, newEngine func(workload string) (Engine, error)) (Outcome, error) {
	var sum Outcome
	for _, group := range byWorkload(traces) {
		e, err := newEngine(group[0].Workload)
		if err != nil {
			return sum, fmt.Errorf("making an engine for %s, %w", group[0].Workload, err)
		}
		sum.Add(replayWorkload(group, kills, e))
	}
	return sum, nil
}

// byWorkload groups sorted traces.
func byWorkload(traces []Trace) [][]Trace {
	var out [][]Trace
	for _, t := range traces {
		if n := len(out); n > 0 && out[n-1][0].Workload == t.Workload && out[n-1][0].Source == t.Source {
			out[n-1] = append(out[n-1], t)
			continue
		}
		out = append(out, []Trace{t})
	}
	return out
}

// replayWorkload merges the samples of the pods of a workload by time.
func replayWorkload(pods []Trace, kills bool, e Engine) Outcome {
	var out Outcome
	next := make([]int, len(pods))
	above := make([]bool, len(pods))
	var due, begun, last time.Time
	var applied, settled Request
	have := false
	peak, known := 0.0, 0.0 // so far, and when the recommendation was made
	for {
		pick := -1
		for i, p := range pods {
			if next[i] < len(p.Samples) && (pick < 0 || p.Samples[next[i]].At.Before(pods[pick].Samples[next[pick]].At)) {
				pick = i
			}
		}
		if pick < 0 {
			out.Days = last.Sub(begun).Hours() / 24
			return out
		}
		s := pods[pick].Samples[next[pick]]
		next[pick]++
		last = s.At
		if due.IsZero() {
			due, begun = s.At.Add(period), s.At
		}
		if !s.At.Before(due) {
			due = s.At.Add(period)
			if r, ok := e.Recommend(s.At); ok {
				switch {
				case !have:
					settled = r
				case settled.drifted(r):
					settled = r
					out.Changes++
				}
				applied, have, known = r, true, peak
				if r.MemoryBytes < peak {
					out.BelowPeak++
				}
				for _, p := range pods {
					e.Applied(p.Pod, r)
				}
			}
		}
		if have && !s.At.Before(pods[pick].JudgeFrom) {
			was := above[pick]
			above[pick] = out.judge(s, applied, was, known)
			if kills && above[pick] && !was {
				e.OOM(pods[pick].Pod, s.At, applied.MemoryBytes, s.MemoryBytes)
			}
		}
		e.Observe(pods[pick].Pod, s)
		peak = max(peak, s.MemoryBytes)
	}
}
