package packing

import (
	"cmp"
	"math"
	"slices"
)

// class is a set of pods that are interchangeable.
type class struct {
	rep      *Pod
	pods     []int32 // indices into Problem.Pods, ascending
	req      vec
	ports    []hostPort
	priority int32
	// shared volumes count once per node; the others are in req.
	shared []sharedVolume
	// blocked pods wait for a volume that another pod has to itself.
	blocked bool
	// claims are the names of the resource claims of the pods: which devices would meet
	// them where is not known here, so that no slot fits.
	claims []string

	// fits holds the slots that the pod's own rules allow: labels, taints,
	// resources and host ports on an empty node.
	fits bitset
	// affinityOK and tolerated are the parts of fits that topology spread's
	// inclusion policies refer to.
	affinityOK, tolerated bitset
	// opens holds the slots where a node could be bought for such a pod if it were
	// not for its volumes: the domains that count for its spread constraints.
	opens bitset
	// penalty is the price of the preferred rules that a slot breaks, in USD per
	// hour; nil when there are none.
	penalty []float64

	topology classTopology
}

// compileClasses groups pods by fingerprint, in order of first appearance.
func compileClasses(pods []Pod, f *fingerprinter) ([]*class, error) {
	byKey := map[string]*class{}
	var out []*class
	for i := range pods {
		key, err := f.of(&pods[i])
		if err != nil {
			return nil, err
		}
		c, ok := byKey[string(key)]
		if !ok {
			c = &class{rep: &pods[i], ports: hostPorts(pods[i].Pod), priority: priorityOf(pods[i].Pod)}
			for k := range pods[i].Spec.ResourceClaims {
				c.claims = append(c.claims, pods[i].Spec.ResourceClaims[k].Name)
			}
			byKey[string(key)] = c
			out = append(out, c)
		}
		c.pods = append(c.pods, int32(i))
	}
	return out, nil
}

// tightest is the least maxSkew among the spread constraints of a class.
func (c *class) tightest() int32 {
	least := int32(math.MaxInt32)
	for i := range c.topology.spread {
		least = min(least, c.topology.spread[i].maxSkew)
	}
	return least
}

// sortClasses puts the classes into the order in which domains are assigned: those
// with the tightest spread constraints last, for the others may match the same
// selectors and must not skew what is settled; then by priority, then those
// with fewer places first, then large before small, then by first pod.
func sortClasses(classes []*class, weight vec) {
	size := func(c *class) float64 {
		s := 0.0
		for r, x := range c.req {
			if weight[r] > 0 {
				s = max(s, float64(x)/float64(weight[r]))
			}
		}
		return s
	}
	slices.SortStableFunc(classes, func(a, b *class) int {
		if x, y := a.tightest(), b.tightest(); x != y {
			return cmp.Compare(y, x)
		}
		if a.priority != b.priority {
			return cmp.Compare(b.priority, a.priority)
		}
		if x, y := a.fits.count(), b.fits.count(); x != y {
			return cmp.Compare(x, y)
		}
		if x, y := size(a), size(b); x != y {
			return cmp.Compare(y, x)
		}
		return cmp.Compare(a.pods[0], b.pods[0])
	})
}
