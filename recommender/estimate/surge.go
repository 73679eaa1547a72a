package estimate

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// A surge is usage far above the recommendation. While it lasts, the lookback gets shorter and the percentile higher
// step by step, so that the recommendation follows the usage within hours instead of days. It never leads below what
// there would be without it, and where the maximum is asked for, there is none: the maximum follows at once.
const (
	// SurgeInterval is how often a surging workload is computed anew, and how often its lookback halves.
	SurgeInterval = 15 * time.Minute
	// surgeStep is how often the percentile is raised: each time a fifth of what is missing to 100.
	surgeStep = 5 * time.Minute
	surgeLeft = 0.8
	// surgeOver and surgeTimes are what usage has to be above the recommendation, absolutely and as a factor.
	surgeOverCPU     = 100 // thousandths of a core
	surgeTimesCPU    = 2
	surgeOverMemory  = 100 << 20
	surgeTimesMemory = 1.2
	// surgeSamples of a pod, its newest, are averaged to tell its usage now.
	surgeSamples = 5
	// surgeMost is the longest that a surge lasts.
	surgeMost = day
)

// SurgeLookback is what is left of a lookback after so much of a surge.
func SurgeLookback(lookback, elapsed time.Duration) time.Duration {
	halvings := min(int(max(elapsed, 0)/SurgeInterval), 62)
	return min(lookback, max(lookback>>halvings, SurgeInterval))
}

// SurgePercentile is what a percentile, 1 to 100, is raised to after so much of a surge.
func SurgePercentile(percentile float64, elapsed time.Duration) float64 {
	return 100 - (100-percentile)*math.Pow(surgeLeft, float64(max(elapsed, 0)/surgeStep))
}

// SurgeFor is how long a surge lasts: 12 h at the 50th percentile, 1 h at the 99th, on a line between and beyond, at
// most 24 h. Of high percentiles a short time says enough.
func SurgeFor(percentile float64) time.Duration {
	hours := 12 - (percentile-50)/(99-50)*11
	return min(time.Duration(hours*float64(time.Hour)), surgeMost)
}

// Surge of one resource of a container.
type Surge struct {
	Container string
	Resource  corev1.ResourceName
	// Usage is the mean of the pods' usage, Recommended what it is above.
	Usage, Recommended resource.Quantity
	// Until is when the surge ends.
	Until time.Time
}

// Surge looks for usage far above what is recommended, and returns the surges that began with it. They last until they
// expire, and are remembered across restarts.
func (s *Store) Surge(w Workload, p *Policy, recommended []v1alpha1.ContainerRecommendation) (began []Surge) {
	if !p.Surge {
		return nil
	}
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return nil
	}
	for _, rec := range recommended {
		c := known.container(rec.Name)
		if c == nil {
			continue
		}
		for r, name := range resourceNames() {
			limit := float64(request(corev1.ResourceRequirements{Requests: rec.Requests}, r))
			if !p.rule(r).surges() || limit == 0 || c.surging(p, r) {
				continue
			}
			usage := s.usageNow(c, r)
			if over, times := surgeThreshold(r); usage-limit < over || usage < times*limit {
				continue
			}
			c.incident().surge[r] = c.last
			began = append(began, Surge{
				Container: rec.Name, Resource: name, Usage: quantity(r, roundUp(r, usage)), Recommended: quantity(r, int64(limit)),
				Until: instant(c.last).Add(SurgeFor(p.rule(r).Percentile)),
			})
		}
	}
	return began
}

// Surging tells whether any container of a workload is in a surge.
func (s *Store) Surging(w Workload, p *Policy) bool {
	known, sh := s.find(w)
	defer sh.mu.Unlock()
	if known == nil {
		return false
	}
	for _, c := range known.containers {
		if c.surging(p, cpu) || c.surging(p, memory) {
			return true
		}
	}
	return false
}

func surgeThreshold(r int) (over, times float64) {
	if r == cpu {
		return surgeOverCPU, surgeTimesCPU
	}
	return surgeOverMemory, surgeTimesMemory
}

// surges tells whether a rule can be hastened: the maximum follows at once, and a pattern has its own answer.
func (rule *Rule) surges() bool { return !rule.Max && !rule.Pattern && rule.Percentile < 100 }

// surging tells whether a resource is in a surge. While nothing is seen, time stands still.
func (c *container) surging(p *Policy, r int) bool {
	if c.incidents == nil || c.incidents.surge[r] == 0 || !p.Surge || !p.rule(r).surges() {
		return false
	}
	return c.surgeElapsed(r) < SurgeFor(p.rule(r).Percentile)
}

func (c *container) surgeElapsed(r int) time.Duration {
	since := c.incidents.surge[r]
	return time.Duration(c.last-min(c.last, since)) * time.Second
}

// hastened is a policy with the lookbacks and percentiles of surges that a container is in; nil where there is none.
func (p *Policy) hastened(c *container) *Policy {
	if !c.surging(p, cpu) && !c.surging(p, memory) {
		return nil
	}
	out := *p
	for r := range resources {
		if !c.surging(p, r) {
			continue
		}
		rule, elapsed := out.rule(r), c.surgeElapsed(r)
		rule.Lookback = SurgeLookback(rule.Lookback, elapsed)
		rule.Percentile = SurgePercentile(rule.Percentile, elapsed)
	}
	return &out
}

// usageNow is the mean over the pods that are there of each one's newest samples.
func (s *Store) usageNow(c *container, r int) float64 {
	sum, pods := 0.0, 0
	for _, x := range c.seats {
		if x.held == 0 || x.released || x.last+staleAfter < c.last {
			continue
		}
		mine, n := 0.0, 0
		for i := int(x.held) - 1; i >= 0 && n < surgeSamples; i-- {
			bin := [resources]uint16{cpu: x.buffer[i].cpu, memory: x.buffer[i].memory}[r]
			if bin != missing {
				mine += s.scales[r].middle(int(bin))
				n++
			}
		}
		if n > 0 {
			sum += mine / float64(n)
			pods++
		}
	}
	if pods == 0 {
		return 0
	}
	return sum / float64(pods)
}
