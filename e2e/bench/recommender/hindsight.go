package recommender

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// hindsight is the least that could be reserved by somebody who knew a trace before it came, at given violations: with one
// request for each workload, or with another for each period in which a recommendation holds. It bounds what any engine
// can reach, and says whether a bar that is missed could be met at all.
type hindsight struct {
	// periods are the judged samples that shared a request, of all workloads.
	periods [][]Sample
	used    float64
	minutes int
}

// look collects the judged samples of traces, by workload where constant, else by period.
func look(traces []Trace, constant bool) (hindsight, error) {
	var out hindsight
	var all []*witness
	from := map[[2]string]time.Time{}
	for _, t := range traces {
		from[[2]string{t.Workload, t.Pod}] = t.JudgeFrom
	}
	_, err := Replay(traces, false, func(workload string) (Engine, error) {
		w := &witness{judged: func(pod string, s Sample) bool { return !s.At.Before(from[[2]string{workload, pod}]) }}
		all = append(all, w)
		return w, nil
	})
	if err != nil {
		return out, err
	}
	for _, w := range all {
		if constant {
			w.periods = [][]Sample{slices.Concat(w.periods...)}
		}
		out.periods = append(out.periods, w.periods...)
	}
	for _, p := range out.periods {
		for _, s := range p {
			out.minutes++
			out.used += cost(s.MilliCPU, s.MemoryBytes)
		}
	}
	return out, nil
}

// outcome is the least that is reserved with as many violations as a peer has.
func (h hindsight) outcome(peer Outcome) Outcome {
	cpu := least(h.values(func(s Sample) float64 { return s.MilliCPU }), peer.CPUViolations)
	memory := least(h.values(func(s Sample) float64 { return s.MemoryBytes }), peer.MemoryViolations)
	return Outcome{
		Reserved: cost(cpu, memory), Used: h.used, Minutes: h.minutes,
		CPUViolations: peer.CPUViolations, MemoryViolations: peer.MemoryViolations,
	}
}

func (h hindsight) values(of func(Sample) float64) [][]float64 {
	out := make([][]float64, 0, len(h.periods))
	for _, p := range h.periods {
		values := make([]float64, 0, len(p))
		for _, s := range p {
			values = append(values, of(s))
		}
		out = append(out, values)
	}
	return out
}

// least is the smallest sum of requests over all samples where each group has one request and at most so many samples are
// above theirs. Violations are spent where each saves most: along the lower convex hull of each group's costs. The last
// step may be taken in part, so that it is a lower bound.
func least(groups [][]float64, violations int) float64 {
	type step struct {
		saved float64
		spent int
	}
	total := 0.0
	var steps []step
	for _, g := range groups {
		corners := hull(g)
		for i, c := range corners {
			if i == 0 {
				total += c.cost
				continue
			}
			steps = append(steps, step{corners[i-1].cost - c.cost, c.above - corners[i-1].above})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		return cmp.Compare(b.saved*float64(a.spent), a.saved*float64(b.spent))
	})
	for _, s := range steps {
		if s.spent > violations {
			return total - s.saved*float64(violations)/float64(s.spent)
		}
		total -= s.saved
		violations -= s.spent
	}
	return total
}

// corner is a request of a group: what it costs over all samples, and how many are above it.
type corner struct {
	above int
	cost  float64
}

// hull are the corners of the lower convex hull of what a group's requests cost, by the samples above them.
func hull(group []float64) []corner {
	values := slices.Clone(group)
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	n := float64(len(values))
	var out []corner
	for above := 0; above <= len(values); above++ {
		next := corner{above: above}
		if above < len(values) {
			if above > 0 && values[above] == values[above-1] {
				continue // as many are above the lower of two that are equal
			}
			next.cost = values[above] * n
		}
		for len(out) >= 2 {
			a, b := out[len(out)-2], out[len(out)-1]
			if (b.cost-a.cost)*float64(next.above-a.above) < (next.cost-a.cost)*float64(b.above-a.above) {
				break
			}
			out = out[:len(out)-1]
		}
		out = append(out, next)
	}
	return out
}

// witness is an Engine that recommends nothing and keeps what is judged.
type witness struct {
	judged  func(pod string, s Sample) bool
	periods [][]Sample
}

func (w *witness) Observe(pod string, s Sample) {
	if n := len(w.periods); n > 0 && w.judged(pod, s) {
		w.periods[n-1] = append(w.periods[n-1], s)
	}
}

func (*witness) OOM(string, time.Time, float64, float64) {}
func (*witness) Applied(string, Request)                 {}

func (w *witness) Recommend(time.Time) (Request, bool) {
	w.periods = append(w.periods, nil)
	return Request{}, true
}

// Settings of Hindsight before the name of the setting of VPA whose violations they are allowed.
const (
	hindsightConstant   = "constant"
	hindsightHalfHourly = "half-hourly"
)

func hindsightSetting(how, peer string) string { return how + " at " + peer }

// hindsightRows are the bounds at the violations of each peer, by its setting.
func hindsightRows(c Case, peers map[string]Outcome) ([]Row, error) {
	var out []Row
	for _, how := range []string{hindsightConstant, hindsightHalfHourly} {
		h, err := look(c.Traces, how == hindsightConstant)
		if err != nil {
			return nil, fmt.Errorf("looking back at %s, %w", c.Name, err)
		}
		for _, setting := range []string{settingDefault, settingNoFloors} {
			peer, ok := peers[setting]
			if !ok {
				continue
			}
			row := qualityRow(c.Name, Hindsight, hindsightSetting(how, setting), len(c.Traces), h.outcome(peer))
			row.OOMEvents, row.OOMsCaused, row.ChangesPerDay = nil, nil, nil
			out = append(out, row)
		}
	}
	return out, nil
}
