// Package fragment makes the clusters that consolidation is measured on: nodes of real machine types, bought batch by batch
// for more pods than run on them now, because a share of the pods has left since.
package fragment

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/e2e/bench/consolidation/model"
	"supercargo.dev/e2e/bench/packing/mix"
	"supercargo.dev/provisioner/packing"
)

// Options say what cluster to make.
type Options struct {
	// Nodes to buy and the pods that are left on them.
	Nodes, Pods int
	// CapacityType of all that is sold: spot or on-demand.
	CapacityType string
	Seed         uint64
}

// Stays is the share of the pods that is still there: after a busy day six in ten have left.
const stays = 0.4

// patience is the time budget of buying a batch: never the reason for what a cluster looks like.
const patience = 10 * time.Minute

// grown is how many nodes a cluster grows by at a time.
const grown = 100

// New makes a fragmented cluster. The nodes of a batch are bought by packing.Solve for the pods of the batch, so that all
// rules of all pods hold; then pods leave, the same for every engine.
func New(ctx context.Context, draw Mix, o Options) (*model.Cluster, error) {
	types, err := Types(o.CapacityType)
	if err != nil {
		return nil, err
	}
	pool := packing.Pool{
		Name: "default", Types: types,
		Requirements: []packing.Requirement{{Key: packing.LabelCapacityType, Operator: corev1.NodeSelectorOpIn, Values: []string{o.CapacityType}}},
	}
	rng := rand.New(rand.NewPCG(o.Seed, 5))
	c := model.New(pool, mix.Daemons())
	pods := draw(int(math.Ceil(float64(o.Pods)/stays)), o.Seed)
	if err := buy(ctx, c, pods, o.Nodes, rng); err != nil {
		return nil, err
	}
	leave(c, o.Pods, rng)
	return c, nil
}

// buy packs pods in batches on nodes of such sizes that there will be about as many nodes as wanted.
func buy(ctx context.Context, c *model.Cluster, pods []*corev1.Pod, nodes int, rng *rand.Rand) error {
	workloads := slices.Clone(pods)
	per := float64(len(pods)) / float64(nodes)
	batches := max(1, min(10, nodes/grown))
	for b := range batches {
		batch := workloads[len(workloads)*b/batches : len(workloads)*(b+1)/batches]
		var cpu float64
		for _, p := range batch {
			cpu += p.Spec.Containers[0].Resources.Requests.Cpu().AsApproximateFloat64()
		}
		offered := some(c.Pool.Types, cpu/float64(max(1, len(batch)))*per, rng)
		pool := c.Pool
		pool.Types = offered
		problem := packing.Problem{
			Pods: packed(batch), Pools: []packing.Pool{pool}, DaemonSets: c.DaemonSets, Options: packing.Options{Effort: 0.05, Seed: rng.Uint64(), TimeBudget: patience},
		}
		for _, n := range c.Nodes() {
			// What was bought is full as far as this batch is concerned: it counts for rules between pods alone.
			p, err := c.Packed(n)
			if err != nil {
				return err
			}
			p.Taints = append(slices.Clone(p.Taints), corev1.Taint{Key: "full", Effect: corev1.TaintEffectNoSchedule})
			problem.Nodes = append(problem.Nodes, p)
		}
		plan, err := packing.Solve(ctx, problem)
		if err != nil {
			return fmt.Errorf("buying the nodes of batch %d, %w", b, err)
		}
		if len(plan.Unplaced) > 0 {
			return fmt.Errorf("%d pods of batch %d have no place: %s", len(plan.Unplaced), b, plan.Unplaced[0].Message)
		}
		for _, n := range plan.Nodes {
			l := model.Launch{InstanceType: n.InstanceType, Zone: n.Zone, CapacityType: n.CapacityType, Labels: n.Labels}
			for _, i := range n.Pods {
				l.Pods = append(l.Pods, batch[i])
			}
			if _, err := c.Buy(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// some are the types that were to be had when a batch was bought, half of all, as spot markets and quotas have it, in the
// sizes that suit about so many CPUs a node.
func some(types []packing.InstanceType, cpus float64, rng *rand.Rand) []packing.InstanceType {
	var out []packing.InstanceType
	for i := range types {
		size := types[i].Capacity.Cpu().AsApproximateFloat64()
		if had := rng.IntN(2) == 0; had && size >= cpus*0.7 && size <= cpus*2 {
			out = append(out, types[i])
		}
	}
	if len(out) == 0 {
		return types
	}
	return out
}

// leave removes pods until so many are left: which ones is drawn, except that a pod goes whose absence keeps what its rules
// ask of the others. Nobody evicts a pod because another has gone, but a state that nobody could have scheduled would count
// against an engine that touches it.
func leave(c *model.Cluster, left int, rng *rand.Rand) {
	all := c.Pods()
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	zones := zonesOf(c)
	gone := map[*corev1.Pod]bool{}
	for pass := 0; pass < 2 && len(all)-len(gone) > left; pass++ {
		for _, p := range all {
			if len(all)-len(gone) <= left {
				break
			}
			// On the second pass, the zones of what is left of a workload may be anything.
			if gone[p] || pass == 0 && !zones.mayLeave(p) {
				continue
			}
			gone[p] = true
			zones.leaves(p)
		}
	}
	c.Keep(func(_ *model.Node, p *corev1.Pod) bool { return !gone[p] })
}

// counts are the pods of each set of labels in each zone.
type counts struct {
	of   map[*corev1.Pod]string // zone
	pods map[string]map[string]int
}

func zonesOf(c *model.Cluster) *counts {
	out := &counts{of: map[*corev1.Pod]string{}, pods: map[string]map[string]int{}}
	for _, n := range c.Nodes() {
		for _, p := range n.Pods {
			out.of[p] = n.Zone
			key := kind(p)
			if out.pods[key] == nil {
				out.pods[key] = map[string]int{}
			}
			out.pods[key][n.Zone]++
		}
	}
	return out
}

// mayLeave tells whether a pod's zone has the most of its kind: then the others stay as even as they were.
func (c *counts) mayLeave(p *corev1.Pod) bool {
	zones := c.pods[kind(p)]
	for _, n := range zones {
		if n > zones[c.of[p]] {
			return false
		}
	}
	return true
}

// kind tells workloads apart.
func kind(p *corev1.Pod) string { return fmt.Sprint(p.Namespace, p.Labels) }

func (c *counts) leaves(p *corev1.Pod) { c.pods[kind(p)][c.of[p]]-- }

func packed(pods []*corev1.Pod) []packing.Pod {
	out := make([]packing.Pod, len(pods))
	for i, p := range pods {
		out[i] = packing.Pod{Pod: p}
	}
	return out
}

// Types are the c, m and r types of us-east-1 without accelerators, in three zones, at list prices: on demand, or the average
// spot price.
func Types(capacityType string) ([]packing.InstanceType, error) {
	region, err := catalog.Load(mix.Region)
	if err != nil {
		return nil, fmt.Errorf("loading prices, %w", err)
	}
	var out []packing.InstanceType
	for i := range region.Types {
		t := &region.Types[i]
		price := t.OnDemand
		if capacityType == packing.CapacitySpot {
			price = t.Spot.Avg
		}
		if !(price > 0) || t.BareMetal || t.GPUs.Count > 0 || !strings.ContainsRune("cmr", rune(t.Family[0])) {
			continue
		}
		resources := t.Resources(catalog.NodeOptions{})
		it := packing.InstanceType{Name: t.Name, Capacity: resources.Capacity, Allocatable: resources.Allocatable(), Labels: map[string]string{
			corev1.LabelInstanceTypeStable: t.Name, corev1.LabelArchStable: t.Arch, corev1.LabelOSStable: "linux",
		}}
		for _, z := range []string{"us-east-1a", "us-east-1b", "us-east-1d"} {
			if slices.Contains(t.Zones, z) {
				it.Offerings = append(it.Offerings, packing.Offering{Zone: z, CapacityType: capacityType, Price: price, Available: true})
			}
		}
		if len(it.Offerings) > 0 {
			out = append(out, it)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the catalog knows no %s prices", capacityType)
	}
	return out, nil
}
