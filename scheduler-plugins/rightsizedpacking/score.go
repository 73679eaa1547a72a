package rightsizedpacking

import (
	"math"

	fwk "k8s.io/kube-scheduler/framework"
)

// Raw scores are thousandths. NormalizeScore brings them down to the framework's 0 to 100.
const (
	rawMax = 1000
	// rawFits is the least that a node gets which is not about to go and holds what its pods are expected to ask for.
	rawFits = 100
	// rawUnknown marks a node of which nothing can be said; it is given the mean of the others.
	rawUnknown = -1
)

// dimension is one resource of a node after the pod was placed.
type dimension struct {
	// used by all pods, the new one included, and allocatable of the node, in one unit.
	used, allocatable int64
	// weight relative to the other dimensions.
	weight int64
}

// fullness accumulates dimensions one by one, so that scoring needs no slice.
type fullness struct {
	squares, weights float64
	overflow         float64
}

// add takes a dimension in. One that the node does not offer says nothing about how full it is.
func (f *fullness) add(d dimension) {
	if d.allocatable <= 0 {
		return
	}
	free := 1 - float64(d.used)/float64(d.allocatable)
	if free < 0 {
		f.overflow = max(f.overflow, -free)
		free = 0
	}
	f.squares += float64(d.weight) * free * free
	f.weights += float64(d.weight)
}

// value is 1 for a node without any room left and 0 for an empty one; false where no dimension was known.
//
// It is one less the weighted Euclidean norm of the free share of each resource: the norm-based greedy rule for vector bin
// packing (Panigrahy, Talwar, Uyeda, Wieder: Heuristics for Vector Bin Packing, 2011). Against the mean of the shares it
// prefers, of two nodes with as much room, the one whose room is balanced, because room in one resource alone is lost.
func (f *fullness) value() (float64, bool) {
	if f.weights == 0 {
		return 0, false
	}
	return 1 - math.Sqrt(f.squares/f.weights), true
}

// standing says how likely a node is to stay.
type standing struct {
	// leaving nodes are about to go.
	leaving bool
	// movable pods would have to be moved to remove the node: those of DaemonSets are not.
	movable int32
	// held nodes have a pod that forbids to be moved.
	held bool
}

// stay is 0 for a node that can be removed for nothing, grows with every pod that would have to be moved, and is 1 for one
// that cannot be removed. The first pods count most: consolidation takes the nodes with the fewest.
func (s standing) stay() float64 {
	if s.held {
		return 1
	}
	return float64(s.movable) / (float64(s.movable) + 2)
}

// rawScore puts fullness and standing together. A node about to go is last: a pod there is moved again at once. Before it come
// nodes that will not hold what their pods are expected to ask for, as resizes there are deferred and pods evicted.
func rawScore(f *fullness, s standing, stayShare float64) int64 {
	full, known := f.value()
	switch {
	case s.leaving:
		return 0
	case !known:
		return rawUnknown
	case f.overflow > 0:
		return 1 + int64((rawFits-2)/(1+f.overflow))
	}
	merit := (1-stayShare)*full + stayShare*s.stay()
	return rawFits + int64(math.Round((rawMax-rawFits)*merit))
}

// normalize brings raw scores to the framework's scale in place. Differences keep their size: stretching them would let a
// difference of one percent outweigh what other plugins say. Unknown nodes get the mean of the known ones.
func normalize(scores fwk.NodeScoreList, planned string) {
	var sum, known int64
	for i := range scores {
		if scores[i].Score != rawUnknown {
			sum += scores[i].Score
			known++
		}
	}
	mean := int64(rawMax / 2)
	if known > 0 {
		mean = sum / known
	}
	for i := range scores {
		raw := scores[i].Score
		if raw == rawUnknown {
			raw = mean
		}
		scores[i].Score = raw * (fwk.MaxScore - 1) / rawMax
		if scores[i].Name == planned {
			scores[i].Score = fwk.MaxScore
		}
	}
}
