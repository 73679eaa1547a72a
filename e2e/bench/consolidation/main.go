package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"time"

	"supercargo.dev/e2e/bench/consolidation/fragment"
	"supercargo.dev/e2e/bench/consolidation/ours"
	"supercargo.dev/e2e/bench/consolidation/peer"
	"supercargo.dev/e2e/bench/consolidation/settle"
	"supercargo.dev/provisioner/consolidation"
)

var _ = rand.New

func main() {
	nodes := flag.Int("nodes", 100, "")
	mixName := flag.String("mix", "deployments", "")
	ct := flag.String("ct", "on-demand", "")
	limit := flag.Duration("limit", time.Minute, "")
	seed := flag.Uint64("seed", 1, "")
	skip := flag.Bool("skip", false, "")
	flag.Parse()
	ctx := context.Background()
	mix := fragment.Deployments
	if *mixName == "diverse" {
		mix = fragment.Diverse
	}
	if *mixName == "openb" {
		pods, err := fragment.ReadOpenB("/work/shared/data/pods-openb/openb_pod_list_default.csv.gz")
		if err != nil {
			panic(err)
		}
		mix = fragment.Sampled(pods)
	}
	start := time.Now()
	c, err := fragment.New(ctx, mix, fragment.Options{Nodes: *nodes, Pods: *nodes * 10, CapacityType: *ct, Seed: *seed})
	if err != nil {
		panic(err)
	}
	bound, err := c.LowerBound(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("made", len(c.Nodes()), "nodes", len(c.Pods()), "pods cost", c.Cost(), "bound", bound, time.Since(start))
	types := map[string]int{}
	for _, n := range c.Nodes() {
		types[n.InstanceType]++
	}
	fmt.Println(types)
	show := func(name string, o settle.Outcome, cost float64, nodes int) {
		fmt.Printf("%s: rounds %d commands %d moved %d saved %.4f cost %.4f ratio %.4f nodes %d moved/$ %.1f computing %v cpu %v first %v settled %v %s violations %d of %d %s peak %d\n", name, o.Rounds, o.Commands, o.Moved, o.Saved, cost, cost/bound, nodes, float64(o.Moved)/o.Saved, o.Computing.Wall, o.Computing.CPU, o.First.Wall, o.Settled, o.Stopped, o.Violations, o.Checked, o.Example, o.Computing.PeakBytes>>20)
		if len(o.Course) < 20 {
			fmt.Println(o.Course)
		}
	}
	for _, opts := range []consolidation.Options{{}, ours.Unrestrained()} {
		mine := c.Clone()
		opts.TimeBudget = time.Minute
		e := ours.New(mine, opts)
		out, err := settle.Run(ctx, e, mine, settle.Limits{Rounds: 20, Checked: 300})
		if err != nil {
			panic(err)
		}
		show("supercargo", out, mine.Cost(), len(mine.Nodes()))
	}
	if *skip {
		return
	}
	theirs := c.Clone()
	k, err := peer.New(ctx, theirs, peer.Options{})
	if err != nil {
		panic(err)
	}
	defer k.Close()
	out, err := settle.Run(ctx, k, theirs, settle.Limits{Time: *limit, Checked: 100})
	if err != nil {
		panic(err)
	}
	show("karpenter", out, theirs.Cost(), len(theirs.Nodes()))
}
