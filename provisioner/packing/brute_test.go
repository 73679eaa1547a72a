package packing_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// enumerator tries every way to divide pods over nodes of every offering that costs less than a limit, the scheduler's own
// filters deciding which are valid.
type enumerator struct {
	p      *packing.Problem
	offers []offer
	below  float64
	// best is the cheapest valid plan that places all pods; found tells whether there is one.
	best  float64
	found bool
	err   error
}

type offer struct {
	it *packing.InstanceType
	of *packing.Offering
}

func newEnumerator(p *packing.Problem, below float64) *enumerator {
	e := &enumerator{p: p, below: below, best: math.Inf(1)}
	for i := range p.Pools[0].Types {
		it := &p.Pools[0].Types[i]
		for k := range it.Offerings {
			if of := &it.Offerings[k]; of.Available && !math.IsNaN(of.Price) {
				e.offers = append(e.offers, offer{it, of})
			}
		}
	}
	return e
}

// place puts pod i on a node that is there or on a new one. Blocks hold the pods of each node; nodes are numbered by their first
// pod, and equal pods ascend by node, so that no division is tried twice.
func (e *enumerator) place(i int, blocks [][]int, choice []int, cost float64) {
	if e.err != nil || cost >= min(e.below, e.best)-1e-9 {
		return
	}
	if i == len(e.p.Pods) {
		e.check(blocks, choice, cost)
		return
	}
	from := 0
	if i > 0 && e.p.Pods[i].Labels["app"] == e.p.Pods[i-1].Labels["app"] {
		for from = len(blocks) - 1; blocks[from][len(blocks[from])-1] != i-1; from-- {
		}
	}
	for b := from; b < len(blocks); b++ {
		if e.holds(choice[b], append(blocks[b], i)) {
			blocks[b] = append(blocks[b], i)
			e.place(i+1, blocks, choice, cost)
			blocks[b] = blocks[b][:len(blocks[b])-1]
		}
	}
	for o := range e.offers {
		if e.holds(o, []int{i}) {
			e.place(i+1, append(blocks, []int{i}), append(choice, o), cost+e.offers[o].of.Price)
		}
	}
}

// holds compares sums of resources, to save the oracle the trouble.
func (e *enumerator) holds(o int, pods []int) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		sum := quantity(0)
		for _, pod := range pods {
			sum.Add(e.p.Pods[pod].Spec.Containers[0].Resources.Requests[name])
		}
		if sum.Cmp(e.offers[o].it.Allocatable[name]) > 0 {
			return false
		}
	}
	return true
}

func (e *enumerator) check(blocks [][]int, choice []int, cost float64) {
	var plan packing.Plan
	for b := range blocks {
		n := nodeFor(&e.p.Pools[0], e.offers[choice[b]].it, e.offers[choice[b]].of)
		n.Pods = blocks[b]
		plan.Nodes = append(plan.Nodes, n)
	}
	violations, err := oracle.Check(context.Background(), e.p, &plan)
	if err != nil {
		e.err = err
	}
	if len(violations) == 0 {
		e.best, e.found = cost, true
	}
}

// TestSmallPlansWithRulesAreCloseToTheBestThereIs compares plans with the best of all divisions of the pods over nodes that
// kube-scheduler allows: the bound is never above it, and the plan seldom, and never far.
func TestSmallPlansWithRulesAreCloseToTheBestThereIs(t *testing.T) {
	const most = 1.25
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t: t}
		p := packing.Problem{Options: packing.Options{NodeFee: -1, PreferencePrice: -1}}
		var types []packing.InstanceType
		for i, s := range []shape{{"small", 2000, 4096, 0.1, "amd64"}, {"large", 4000, 16384, 0.19, "amd64"}} {
			it := s.instanceType(i == 0)
			it.Offerings = it.Offerings[:4-2*i] // two zones, and spot for the small
			if d.chance("attach limit", 3) {
				it.Allocatable[packing.AttachableVolumes("ebs")] = quantity(int64(d.n("volumes", 1, 2)))
			}
			types = append(types, it)
		}
		p.Pools = []packing.Pool{pool("default", types)}
		// Full nodes in all domains: otherwise kube-scheduler would not count those where nothing is bought.
		p.Nodes = []packing.Node{
			oldNode("full-a", zones[0], packing.CapacityOnDemand, 0, 0, 0), oldNode("full-b", zones[1], packing.CapacitySpot, 0, 0, 0),
		}
		for w := 0; w < 2; w++ {
			app := map[string]string{"app": fmt.Sprint(w)}
			b := makePod(fmt.Sprint(w)).req(int64(d.n("cpu", 1, 19)*100), int64(d.n("memory", 1, 24)*128)).label("app", app["app"])
			switch d.n("rule", 0, 7) {
			case 0:
				b.spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, app)
			case 1:
				b.spread(corev1.LabelHostname, int32(d.n("skew", 1, 2)), corev1.DoNotSchedule, app)
			case 2:
				b.anti(corev1.LabelHostname, app)
			case 3:
				b.with(corev1.LabelTopologyZone, app)
			case 4:
				b.spread(packing.LabelCapacityType, 1, corev1.DoNotSchedule, app)
				b.p.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To(int32(d.n("domains", 1, 2)))
			case 5:
				b.selector(packing.LabelCapacityType, packing.CapacityOnDemand)
			}
			mount := d.chance("volume", 4)
			for r := range d.n("replicas", 1, 3) {
				pod := b.p.DeepCopy()
				pod.Name = fmt.Sprintf("%d-%d", w, r)
				out := packing.Pod{Pod: pod}
				if mount {
					out.Volumes = []packing.Volume{{Driver: "ebs", ID: pod.Name}}
				}
				p.Pods = append(p.Pods, out)
			}
		}
		plan, err := packing.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		if len(plan.Unplaced) > 0 {
			return // what has no place is for another test
		}
		e := newEnumerator(&p, plan.Cost)
		e.place(0, nil, nil, 0)
		if e.err != nil {
			t.Fatal(e.err)
		}
		best := plan.Cost
		if e.found {
			best = e.best
		}
		if plan.LowerBound > best+1e-9 {
			t.Errorf("lower bound %.4f exceeds the optimum %.4f\n%s", plan.LowerBound, best, describe(&p, &plan))
		}
		if plan.Cost > most*best {
			t.Errorf("cost %.4f, the best is %.4f\n%s", plan.Cost, best, describe(&p, &plan))
		}
	})
}
