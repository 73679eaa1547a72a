package spotpreference

import (
	"math"

	fwk "k8s.io/kube-scheduler/framework"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
)

// Raw scores are costs, lower is better: what the pod costs on the node in 10⁻¹² USD per hour. NormalizeScore turns them round.
const (
	// rawUnknown marks a node whose cost is unknown.
	rawUnknown = 1<<59 - 1
	// rawMaxCost is far above any price and below rawUnknown.
	rawMaxCost = 1 << 58
	// rawSecond is added for nodes that come after all others whatever they cost: those that are not spot, for a pod that
	// prefers spot.
	rawSecond = 1 << 59

	picoUSD = 1e12
)

// What a pod without requests is taken to need, as elsewhere in the scheduler
// (DefaultMilliCPURequest and DefaultMemoryRequest of k8s.io/kubernetes/pkg/scheduler/util).
const (
	leastMilliCPU    = 100
	leastMemoryBytes = 200 << 20
)

// share returns the part of a node that a pod takes: of the resource that it takes most of, because the rest of the node is
// worth that much less to others. It is 0 for a node that states no size.
func share(pod demand.Resources, allocatableMilliCPU, allocatableMemoryBytes int64) float64 {
	cpu, memory := 0.0, 0.0
	if allocatableMilliCPU > 0 {
		cpu = float64(max(pod.MilliCPU, leastMilliCPU)) / float64(allocatableMilliCPU)
	}
	if allocatableMemoryBytes > 0 {
		memory = float64(max(pod.MemoryBytes, leastMemoryBytes)) / float64(allocatableMemoryBytes)
	}
	return max(cpu, memory)
}

// offer is what is known of a node when it is scored.
type offer struct {
	spot bool
	// price of the node in USD per hour, if known.
	price float64
	known bool
	// risk in interruptions per hour; 0 where unknown.
	risk float64
	// share of the node that the pod takes.
	share float64
	// crowding is the part of the workload's spot replicas that the node's pool holds already.
	crowding float64
}

// weights of what is not on the bill.
type weights struct {
	// lossHours of a pod's work are lost by an interruption.
	lossHours float64
	// spread is by how much a pool's cost is raised that holds all spot replicas of the workload.
	spread float64
}

// cost returns a raw score. Work that an interruption destroys is paid for twice, so that the expected loss of an hour on the
// node is risk × loss of its price.
func (o offer) cost(w weights, tolerance v1alpha1.SpotTolerance) int64 {
	raw := int64(rawUnknown)
	if o.known && o.share > 0 {
		usd := o.price * o.share
		if o.spot {
			usd *= (1 + o.risk*w.lossHours) * (1 + w.spread*o.crowding)
		}
		raw = int64(min(math.Round(usd*picoUSD), rawMaxCost))
	}
	if tolerance == v1alpha1.SpotPrefer && !o.spot {
		raw += rawSecond
	}
	return raw
}

// normalize turns costs into scores in place: the cheapest node gets the most and one that costs twice as much half of that.
// Where the pod prefers spot, all spot nodes are above all others. A node of unknown cost gets the mean of its kind.
func normalize(scores fwk.NodeScoreList, tolerance v1alpha1.SpotTolerance, planned string) {
	top := float64(fwk.MaxScore - 1)
	if tolerance == v1alpha1.SpotPrefer {
		half := math.Floor(top / 2)
		scale(scores, false, half+1, top)
		scale(scores, true, 0, half)
	} else {
		scale(scores, false, 0, top)
	}
	for i := range scores {
		if scores[i].Score = -scores[i].Score - 1; scores[i].Name == planned {
			scores[i].Score = fwk.MaxScore
		}
	}
}

// scale gives the nodes of one kind scores from low to high. Scores given are stored as -1-score, which no cost is, so that the
// kinds can be told apart until all are done.
func scale(scores fwk.NodeScoreList, second bool, low, high float64) {
	base := int64(0)
	if second {
		base = rawSecond
	}
	cheapest, known := int64(math.MaxInt64), 0
	for i := range scores {
		if cost, ok := costIn(scores[i].Score, base, second); ok && cost != rawUnknown {
			cheapest = min(cheapest, cost)
			known++
		}
	}
	ratio := func(cost int64) float64 {
		if cost <= cheapest {
			return 1
		}
		return float64(cheapest) / float64(cost)
	}
	mean := 0.5
	if known > 0 {
		sum := 0.0
		for i := range scores {
			if cost, ok := costIn(scores[i].Score, base, second); ok && cost != rawUnknown {
				sum += ratio(cost)
			}
		}
		mean = sum / float64(known)
	}
	for i := range scores {
		cost, ok := costIn(scores[i].Score, base, second)
		if !ok {
			continue
		}
		r := mean
		if cost != rawUnknown {
			r = ratio(cost)
		}
		scores[i].Score = -1 - int64(math.Round(low+r*(high-low)))
	}
}

// costIn returns the cost in a raw score of the kind asked for; false for the other kind and for nodes that have their score.
func costIn(raw, base int64, second bool) (int64, bool) {
	if raw < 0 || (raw >= rawSecond) != second {
		return 0, false
	}
	return raw - base, true
}
