// Package insight says how well a workload's requests fit and what better ones are worth.
//
// It is arithmetic only; prices come from cost, usage and recommendation from estimate.
package insight

import "math"

// HoursPerMonth by which monthly figures are reckoned.
const HoursPerMonth = 730

// Resource is one resource of a workload, summed over containers and replicas: cores or GiB, or any unit that Price
// is stated in.
type Resource struct {
	Name        string
	Request     float64 // R
	Usage       float64 // U, the mean
	Recommended float64 // T
	// Price in USD per unit and hour; NaN when unknown.
	Price float64
	// InDrift is true where the request is within the drift thresholds of the recommendation: it then scores 100.
	InDrift bool
}

// Score of one resource.
type Score struct {
	Name       string
	Score      float64 // 0 to 100
	Efficiency float64 // usage over request, not clamped; NaN without a request
}

// Summary of a workload.
type Summary struct {
	Score      float64 // 0 to 100; NaN where there is nothing to score
	Efficiency float64 // priced share of the requests that is used, 0 to 1; NaN without requests
	Resources  []Score
	// Savings, Reinvestment and Net in USD per month; NaN where a price is unknown.
	Savings, Reinvestment, Net float64
}

// Summarize scores a workload. Where no price is known, resources weigh by their amounts, as if a unit of each cost the
// same; the money is then NaN.
func Summarize(all []Resource) Summary {
	out := Summary{Score: math.NaN(), Efficiency: math.NaN()}
	weigh := weights(all)
	var weight, scored, paid, used float64
	for i, r := range all {
		s := score(r)
		out.Resources = append(out.Resources, s)
		w := weigh[i] * max(r.Request, r.Recommended)
		weight += w
		scored += w * s.Score
		paid += weigh[i] * r.Request
		used += weigh[i] * min(r.Usage, r.Request)
		out.Savings += r.Price * max(r.Request-r.Recommended, 0) * HoursPerMonth
		out.Reinvestment += r.Price * max(r.Recommended-r.Request, 0) * HoursPerMonth
	}
	if weight > 0 {
		out.Score = scored / weight
	}
	if paid > 0 {
		out.Efficiency = used / paid
	}
	out.Net = out.Savings - out.Reinvestment
	return out
}

// weights are the prices, or all 1 where any is unknown: a score by half of the prices would be of half the workload.
func weights(all []Resource) []float64 {
	out := make([]float64, len(all))
	known := true
	for i, r := range all {
		out[i] = r.Price
		known = known && r.Price >= 0
	}
	if !known {
		for i := range out {
			out[i] = 1
		}
	}
	return out
}

// score of one resource: how near request and recommendation are to each other.
func score(r Resource) Score {
	s := Score{Name: r.Name, Efficiency: math.NaN()}
	if r.Request > 0 {
		s.Efficiency = r.Usage / r.Request
	}
	switch high := max(r.Request, r.Recommended); {
	case r.Request <= 0:
		s.Score = 0 // unset: everything is open
	case r.InDrift || high == 0:
		s.Score = 100
	default:
		s.Score = 100 * min(r.Request, r.Recommended) / high
	}
	return s
}

// Outlook is what a priority is weighed by, each 0 to 1.
type Outlook struct {
	Confidence, Stability, Risk float64
}

// Priority orders workloads by what is worth doing first: net USD per month weighed by confidence, stability and risk.
// Values outside 0 to 1 count as the nearer end; an unknown net is worth nothing yet.
func Priority(netPerMonth float64, o Outlook) float64 {
	if math.IsNaN(netPerMonth) {
		return 0
	}
	return netPerMonth * share(o.Confidence) * share(o.Stability) * (1 - share(o.Risk))
}

// Stability of usage, 0 to 1: how much of what is recommended is in use on average, by price. Steady usage stays near the peaks that
// a recommendation must hold; usage with rare peaks does not, and may peak higher yet.
func Stability(all []Resource) float64 {
	var used, held float64
	for i, w := range weights(all) {
		used += w * min(all[i].Usage, all[i].Recommended)
		held += w * all[i].Recommended
	}
	if held == 0 {
		return 0
	}
	return share(used / held)
}

// What a change risks, as shares of 1. They are a judgement, ordered by what hurts: a pod that is killed for lack of memory is worse
// than one that is throttled.
const (
	riskOfMemory   = 0.6 // a reduction of all memory
	riskOfCPU      = 0.3 // a reduction of all cpu
	riskOfOneAlone = 0.2 // nothing else serves while the only replica is replaced
	riskOfReview   = 0.5 // a person should look first: accelerators, or the cluster depends on the workload
)

// Risk of applying a recommendation, 0 to 1: large reductions, the only replica of a workload and what is for review only come later.
func Risk(all []Resource, replicas int32, reviewOnly bool) float64 {
	safe := 1.0
	for _, r := range all {
		if r.Request <= 0 || r.Recommended >= r.Request {
			continue
		}
		weight := riskOfCPU
		if r.Name == "memory" {
			weight = riskOfMemory
		}
		safe *= 1 - weight*(r.Request-r.Recommended)/r.Request
	}
	if replicas <= 1 {
		safe *= 1 - riskOfOneAlone
	}
	if reviewOnly {
		safe *= 1 - riskOfReview
	}
	return 1 - safe
}

func share(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return min(max(v, 0), 1)
}
