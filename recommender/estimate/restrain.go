package estimate

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// GradualCap is by how much a request may change, as a share of it, while a workload has been watched for less than a
// day. From then on it is false: full confidence changes without restraint, and low confidence waits.
func GradualCap(watched time.Duration) (share float64, ok bool) {
	switch {
	case watched < 144*time.Minute: // 2.4 h, a tenth of a day
		return 0.10, true
	case watched < 6*time.Hour:
		return 0.25, true
	case watched < day:
		return 0.35, true
	default:
		return 0, false
	}
}

// restraint is what decides how far a change may go.
type restraint struct {
	resource         int
	wanted, current  int64
	previous         int64 // recommended before, 0: nothing
	held             int64 // recommended before history was lost, 0: it was not
	confidence       v1alpha1.Confidence
	byHand, pressing bool
	outlook          string // when confidence is full
}

// outlook says what confidence still lacks to be full.
func (p *Policy) outlook(c v1alpha1.Confidence) string {
	if left := p.MinWatched - c.Watched.Duration; left > 0 {
		return fmt.Sprintf("%s of watching are missing to full confidence", left.Round(time.Minute))
	}
	return fmt.Sprintf("%d%% of the lookback are covered of %s for full confidence", c.CoveragePercent, percent(p.Coverage))
}

// restrain holds a change back while confidence is low: nothing is lowered, and raises are gradual unless an OOM kill
// or an eviction demands them. A person's decision is only held back where history was lost.
func restrain(q restraint, t *trail) int64 {
	if q.confidence.Level == v1alpha1.ConfidenceFull {
		return q.wanted
	}
	v := q.wanted
	floor := q.held
	if !q.byHand {
		if floor == 0 {
			floor = max(q.previous, q.current)
		}
		// Without a request there is nothing that the change could be a share of.
		if share, _ := GradualCap(q.confidence.Watched.Duration); q.current > 0 && !q.pressing {
			v = min(v, max(roundDown(q.resource, float64(q.current)*(1+share)), q.current))
		}
	}
	v = max(v, floor)
	switch {
	case v > q.wanted && q.held > 0:
		t.add(q.resource, "History", float64(v), "history was lost: not below what was recommended before; %s", q.outlook)
	case v > q.wanted:
		t.add(q.resource, "Confidence", float64(v), "confidence is low: nothing is lowered yet; %s", q.outlook)
	case v < q.wanted:
		t.add(q.resource, "Confidence", float64(v), "confidence is low: raised step by step; %s", q.outlook)
	}
	return v
}

func roundDown(r int, v float64) int64 {
	if r == memory {
		return int64(v/memoryStep) * memoryStep
	}
	return int64(v)
}

// hold remembers what was recommended before history was lost, and forgets it once confidence is full.
func (c *container) hold(r int, confidence v1alpha1.Confidence, previous *v1alpha1.Recommendation, name string) int64 {
	before := previousRequest(previous, name, r)
	if c == nil {
		return before
	}
	if confidence.Level == v1alpha1.ConfidenceFull {
		if c.incidents != nil {
			c.incidents.held[r] = 0
		}
		return 0
	}
	lost := before > 0 && (previous.Confidence.Level == v1alpha1.ConfidenceFull ||
		previous.Confidence.Watched.Duration > confidence.Watched.Duration+time.Hour)
	if lost {
		in := c.incident()
		in.held[r] = max(in.held[r], before)
	}
	if c.incidents == nil {
		return 0
	}
	return c.incidents.held[r]
}

// limits on the requests of containers in a namespace.
type rangeSet []corev1.LimitRangeItem

func containerRanges(ranges []corev1.LimitRange) rangeSet {
	var out rangeSet
	for _, r := range ranges {
		for _, item := range r.Spec.Limits {
			if item.Type == corev1.LimitTypeContainer {
				out = append(out, item)
			}
		}
	}
	return out
}

// clamp keeps a request within the LimitRanges: min, max, and the ratio of a limit that the container has.
func (s rangeSet) clamp(r int, v int64, current corev1.ResourceRequirements, t *trail) int64 {
	name := resourceNames()[r]
	before := v
	for _, item := range s {
		if q, ok := item.MaxLimitRequestRatio[name]; ok {
			if limit, has := current.Limits[name]; has && q.AsApproximateFloat64() > 0 {
				v = max(v, roundUp(r, float64(amount(r, limit))/q.AsApproximateFloat64()))
			}
		}
	}
	for _, item := range s {
		if q, ok := item.Min[name]; ok {
			v = max(v, amount(r, q))
		}
	}
	for _, item := range s {
		if q, ok := item.Max[name]; ok {
			v = min(v, amount(r, q))
		}
	}
	if v != before {
		t.add(r, "LimitRange", float64(v), "LimitRange of the namespace")
	}
	return v
}
