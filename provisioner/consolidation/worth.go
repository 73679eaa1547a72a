package consolidation

import (
	"cmp"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// dispensable is how many nodes of a line, the dearest for what they hold, the others could
// take the pods of if all of their cpu and memory could be used.
func (f *fleet) dispensable(line []*member) int {
	var need, have amounts
	inLine := map[*member]bool{}
	for _, m := range line {
		inLine[m] = true
		need = need.plus(requested(m.Node.Pods))
	}
	for _, m := range f.nodes {
		if !m.gone && !inLine[m] {
			have = have.plus(spare(&m.Node))
		}
	}
	for i := range f.fixed {
		have = have.plus(spare(&f.fixed[i]))
	}
	stay := slices.SortedStableFunc(slices.Values(line), func(a, b *member) int { return cmp.Compare(a.dear, b.dear) })
	for i, m := range stay {
		if have.covers(need) {
			return len(line) - i
		}
		have = have.plus(amountsOf(m.Node.Allocatable))
	}
	return 0
}

// moving is what it would cost to move all pods of a node that must move, in USD.
func (m *member) moving() float64 {
	usd := 0.0
	for _, k := range m.movable {
		usd += m.costs[k]
	}
	return usd
}

// moveShare is what moving an average pod counts as when it is decided which nodes
// leave first: a share of what the pod costs per hour at the lowest prices, so that it
// means the same on spot. A node that stays because its pods are many saves their move
// for now, and one that is dear for what it holds can still be replaced. A quarter is
// where, on fragmented clusters of 200 and 500 nodes, less saves little more money and
// moves many more pods.
const moveShare = 0.25

// moveWeight is how many times the cost of a move counts for that; not less than once.
// Who says that moving a pod costs less than DefaultPodCost has the share lowered with it.
func (f *fleet) moveWeight() float64 {
	var need amounts
	moving, pods := 0.0, 0.0
	for _, m := range f.nodes {
		if m.gone {
			continue
		}
		moving += m.moving()
		pods += float64(len(m.movable))
		for _, k := range m.movable {
			need = need.plus(amountsOf(m.Node.Pods[k].Requests))
		}
	}
	if moving <= 0 {
		return 1
	}
	share := moveShare * min(1, moving/pods/DefaultPodCost)
	return max(1, share*need.times(f.worth)*f.state.Options.Horizon.Hours()/moving)
}

// dear is what a node costs, less what it would cost to move its pods, for each USD
// that its cpu and memory are worth where they are cheapest.
func (f *fleet) dear(m *member, weight float64) float64 {
	value := amountsOf(m.Node.Allocatable).times(f.worth)
	if math.IsNaN(m.Node.Price) || value <= 0 {
		return m.promise
	}
	return (m.Node.Price - weight*m.moving()/f.state.Options.Horizon.Hours()) / value
}

// amounts are amounts of cpu in cores and memory in bytes, or prices of one of each.
type amounts [2]float64

func amountsOf(list corev1.ResourceList) amounts {
	cpu, memory := list[corev1.ResourceCPU], list[corev1.ResourceMemory]
	return amounts{cpu.AsApproximateFloat64(), memory.AsApproximateFloat64()}
}

func (a amounts) plus(b amounts) amounts   { return amounts{a[0] + b[0], a[1] + b[1]} }
func (a amounts) times(b amounts) float64  { return a[0]*b[0] + a[1]*b[1] }
func (a amounts) covers(need amounts) bool { return a[0] >= need[0] && a[1] >= need[1] }

// requested sums up what pods request.
func requested(pods []packing.Pod) amounts {
	var sum amounts
	for i := range pods {
		sum = sum.plus(amountsOf(pods[i].Requests))
	}
	return sum
}

// spare is what a node has left.
func spare(n *packing.Node) amounts {
	has, used := amountsOf(n.Allocatable), requested(n.Pods).plus(amountsOf(n.Daemons))
	return amounts{max(0, has[0]-used[0]), max(0, has[1]-used[1])}
}

// unitPrices are the prices of a core and of a byte of memory at which no offering
// sells for less than it holds and the needed amounts are worth most: the dual prices
// of buying them with fractions of nodes. They are found for one ratio of the two
// after another.
func unitPrices(pools []packing.Pool, need amounts) amounts {
	var best amounts
	most := 0.0
	const gib = 1 << 30
	for ratio := 1.0 / 64; ratio <= 4; ratio *= 1.1 { // a GiB for so many cores
		core := math.Inf(1)
		for i := range pools {
			for k := range pools[i].Types {
				it := &pools[i].Types[k]
				has := amountsOf(it.Allocatable)
				units := has[0] + has[1]/gib*ratio
				for _, o := range it.Offerings {
					if o.Available && o.Price/units < core {
						core = o.Price / units
					}
				}
			}
		}
		prices := amounts{core, core * ratio / gib}
		if value := need.times(prices); value > most && !math.IsInf(core, 1) {
			best, most = prices, value
		}
	}
	return best
}
