package contest

import (
	"context"
	"fmt"
	"math"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// checks bounds a replay, in pods looked at times nodes: kube-scheduler looks at every node for every pod.
const checks = 5_000_000

// Checked is how many pods of a plan are replayed one by one; of plans for more, so many are drawn.
func Checked(nodes int) int { return max(200, checks/max(1, nodes)) }

// verdict is what is found out about a plan by code that does not care whose it is.
type verdict struct {
	costPerHour float64
	nodes       int
	unplaced    int
	violations  []oracle.Violation
}

// judge prices a plan and replays it through kube-scheduler's Filter plugins.
func judge(ctx context.Context, p *packing.Problem, plan *packing.Plan) (verdict, error) {
	cost, err := Cost(p, plan)
	if err != nil {
		return verdict{}, err
	}
	violations, err := oracle.CheckSample(ctx, p, plan, Checked(len(plan.Nodes)), p.Options.Seed)
	if err != nil {
		return verdict{}, fmt.Errorf("replaying the plan, %w", err)
	}
	return verdict{costPerHour: cost, nodes: len(plan.Nodes), unplaced: len(plan.Unplaced), violations: violations}, nil
}

// Cost is what the nodes of a plan cost per hour in USD, each looked up in what the problem offers: what a plan says about
// its own price does not count. A node that is not on offer, or has no price, is an error.
func Cost(p *packing.Problem, plan *packing.Plan) (float64, error) {
	type offer struct{ pool, instanceType, zone, capacityType string }
	prices := map[offer]float64{}
	for i := range p.Pools {
		for k := range p.Pools[i].Types {
			it := &p.Pools[i].Types[k]
			for _, o := range it.Offerings {
				at := offer{p.Pools[i].Name, it.Name, o.Zone, o.CapacityType}
				if known, ok := prices[at]; o.Available && (!ok || o.Price < known) {
					prices[at] = o.Price
				}
			}
		}
	}
	var sum float64
	for i := range plan.Nodes {
		n := &plan.Nodes[i]
		price, ok := prices[offer{n.Pool, n.InstanceType, n.Zone, n.CapacityType}]
		if !ok || math.IsNaN(price) {
			return 0, fmt.Errorf("node %d of the plan, %s %s in %s of pool %q, is not on offer at a known price", i, n.CapacityType, n.InstanceType, n.Zone, n.Pool)
		}
		sum += price
	}
	return sum, nil
}
