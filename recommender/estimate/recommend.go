package estimate

import (
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// ErrNoData is returned where a workload has no usage at all.
var ErrNoData = errors.New("no usage was seen of any container of the workload")

// Container of the workload's template.
type Container struct {
	Name string
	// Current is what the template states.
	Current corev1.ResourceRequirements
}

// Inputs of a recommendation apart from usage and policy.
type Inputs struct {
	Now time.Time
	// Containers of the workload's template, init containers left out. A container that is not among them (an injected
	// sidecar) gets no recommendation.
	Containers []Container
	// LimitRanges of the namespace. They win over the bounds of the policy.
	LimitRanges []corev1.LimitRange
	// ByHand is true where a person turned the workload on: low confidence then does not hold changes back.
	ByHand bool
	// Previous is the recommendation in the scaler's status, if any. When history was lost since (confidence was full,
	// or more was watched than now), nothing is recommended below it until confidence is full again.
	Previous *v1alpha1.Recommendation
}

// Recommendation is what the containers of a workload need.
type Recommendation struct {
	// Confidence is that of the container of which least is known.
	Confidence v1alpha1.Confidence
	Containers []ContainerRecommendation
}

// ContainerRecommendation is what one container needs, and why.
type ContainerRecommendation struct {
	Name string
	// Requests holds cpu and memory, each only if there is usage of it or a current request to keep.
	Requests corev1.ResourceList
	// Current is what the template states.
	Current corev1.ResourceRequirements
	// MeanMilliCPU and MeanMemoryBytes are the mean usage of one pod over the lookback.
	MeanMilliCPU, MeanMemoryBytes float64
	// Explanation lists each step from usage to the request.
	Explanation []v1alpha1.ExplanationStep
}

// API gives the recommendation as it stands in status, without limits and hashes: see policy.Complete and policy.Hash.
func (r Recommendation) API() []v1alpha1.ContainerRecommendation {
	out := make([]v1alpha1.ContainerRecommendation, 0, len(r.Containers))
	for _, c := range r.Containers {
		out = append(out, v1alpha1.ContainerRecommendation{
			Name: c.Name, Requests: c.Requests, Current: c.Current, Explanation: c.Explanation,
		})
	}
	return out
}

// Recommend computes what the containers of a workload need. The error is ErrNoData where nothing was seen yet.
// Limits are not its business: see policy.Desired.
func (s *Store) Recommend(w Workload, p Policy, in Inputs) (Recommendation, error) {
	p.CPU.Lookback = min(p.CPU.Lookback, s.Retention())
	p.Memory.Lookback = min(p.Memory.Lookback, s.Retention())
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return Recommendation{}, ErrNoData
	}
	var out Recommendation
	seen := false
	for _, t := range in.Containers {
		c := known.container(t.Name)
		r := s.recommendContainer(sh, c, &p, in, t)
		confidence := v1alpha1.Confidence{Level: v1alpha1.ConfidenceLow}
		if c != nil {
			seen = true
			confidence = c.confidence(&p)
		}
		if len(out.Containers) == 0 || less(confidence, out.Confidence) {
			out.Confidence = confidence
		}
		out.Containers = append(out.Containers, r)
	}
	if !seen {
		return Recommendation{}, ErrNoData
	}
	return out, nil
}

func less(a, b v1alpha1.Confidence) bool {
	if a.Level != b.Level {
		return a.Level == v1alpha1.ConfidenceLow
	}
	return a.Watched.Duration < b.Watched.Duration
}

func (s *Store) recommendContainer(sh *shard, c *container, p *Policy, in Inputs, t Container) ContainerRecommendation {
	out := ContainerRecommendation{Name: t.Name, Current: t.Current, Requests: corev1.ResourceList{}}
	var usage [resources]reading
	var confidence v1alpha1.Confidence
	if c != nil {
		usage = s.usage(sh, c, p, seconds(in.Now))
		confidence = c.confidence(p)
	}
	out.MeanMilliCPU, out.MeanMemoryBytes = usage[cpu].mean, usage[memory].mean
	ranges := containerRanges(in.LimitRanges)
	trail := &trail{}
	for r, name := range resourceNames() {
		current := request(t.Current, r)
		wanted, ok := p.wanted(r, c, usage[r], current, in.ByHand, in.Now, trail)
		if !ok {
			continue
		}
		held := c.hold(r, confidence, in.Previous, t.Name)
		v := restrain(restraint{
			resource: r, wanted: wanted, current: current, held: held, previous: previousRequest(in.Previous, t.Name, r),
			confidence: confidence, byHand: in.ByHand, pressing: r == memory && c.pressing(in.Now), outlook: p.outlook(confidence),
		}, trail)
		v = ranges.clamp(r, v, t.Current, trail)
		out.Requests[name] = quantity(r, v)
	}
	out.Explanation = trail.steps
	return out
}

// wanted is what usage and policy call for; where there is no usage, the current request is kept, raised only after an
// OOM kill. It is false where there is neither.
func (p *Policy) wanted(r int, c *container, u reading, current int64, byHand bool, now time.Time, t *trail) (int64, bool) {
	if u.samples == 0 {
		if current == 0 {
			return 0, false
		}
		t.add(r, "Current", float64(current), "no usage was seen: the current request is kept")
		if r == memory && c.pressing(now) {
			return roundUp(r, p.incidentDemand(c, float64(current), now, t)), true
		}
		return current, true
	}
	rule := p.rule(r)
	over := "averaged over pods"
	switch {
	case rule.Pooled:
		over = "of all pods together"
	case rule.Largest:
		over = "of the pod that uses most"
	}
	switch {
	case u.pattern > 0:
		t.add(r, "Pattern", u.value, "p%g of this hour of the week and the next, the highest of %d weeks, and of the last %s",
			rule.Percentile, u.weeks, span(patternRecent))
	case u.surge != nil:
		until := instant(c.incidents.surge[r]).Add(SurgeFor(rule.Percentile)).Format(time.RFC3339)
		t.add(r, "Surge", u.value, "usage surges: p%.4g %s of the last %s instead of p%g of %s, until %s", u.surge.Percentile, over,
			span(u.surge.Lookback), rule.Percentile, span(rule.Lookback), until)
	case rule.Pattern:
		t.add(r, "Percentile", u.value, "p%g %s of the last %s, until %d weeks are known of this hour of the week", rule.Percentile, over,
			span(rule.Lookback), patternNeeds)
	case rule.Max:
		t.add(r, "Max", u.value, "highest of %d samples of the last %s", u.samples, span(rule.Lookback))
	case rule.Percentile >= 100:
		t.add(r, "Percentile", u.value, "p100, the highest of %d samples of the last %s", u.samples, span(rule.Lookback))
	default:
		t.add(r, "Percentile", u.value, "p%g %s, %d samples of the last %s", rule.Percentile, over, u.samples, span(rule.Lookback))
	}
	most := current
	if byHand {
		most = 0
	}
	return p.demand(r, c, u, most, now, t), true
}

func span(d time.Duration) string {
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// request of a container; a limit without a request stands for it, as in the API server's defaulting. 0: none.
func request(r corev1.ResourceRequirements, which int) int64 {
	name := resourceNames()[which]
	if q, ok := r.Requests[name]; ok {
		return amount(which, q)
	}
	if q, ok := r.Limits[name]; ok {
		return amount(which, q)
	}
	return 0
}

func previousRequest(previous *v1alpha1.Recommendation, name string, r int) int64 {
	if previous == nil {
		return 0
	}
	for _, c := range previous.Containers {
		if c.Name == name {
			return request(corev1.ResourceRequirements{Requests: c.Requests}, r)
		}
	}
	return 0
}

// Surpassed tells whether the latest usage of any container is at least 50% above what is recommended for it, which
// is reason to compute anew at once.
func (s *Store) Surpassed(w Workload, containers []v1alpha1.ContainerRecommendation) bool {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return false
	}
	for _, recommended := range containers {
		c := known.container(recommended.Name)
		if c == nil {
			continue
		}
		for r := range resources {
			limit := request(corev1.ResourceRequirements{Requests: recommended.Requests}, r)
			if limit > 0 && s.newest(c, r) >= surpass*float64(limit) {
				return true
			}
		}
	}
	return false
}

// surpass is the factor over the recommendation at which usage asks for a new one.
const surpass = 1.5

// newest is the highest of the newest samples of the pods that are there.
func (s *Store) newest(c *container, r int) float64 {
	highest := 0.0
	for _, x := range c.seats {
		if x.held == 0 || x.last+staleAfter < c.last {
			continue
		}
		b := x.buffer[x.held-1]
		bin := [resources]uint16{cpu: b.cpu, memory: b.memory}[r]
		if bin != missing {
			highest = max(highest, s.scales[r].middle(int(bin)))
		}
	}
	return highest
}
