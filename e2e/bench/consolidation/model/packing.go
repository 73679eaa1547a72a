package model

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/packing/oracle"
)

// Packed is a node in the terms of packing.
func (c *Cluster) Packed(n *Node) (packing.Node, error) {
	it, err := c.instanceType(n.InstanceType)
	if err != nil {
		return packing.Node{}, err
	}
	out := packing.Node{
		Name: n.Name, Labels: n.Labels, Taints: c.Pool.Taints, Allocatable: it.Allocatable, Price: n.Price,
		Pods: make([]packing.Pod, 0, len(n.Pods)+len(n.Daemons)),
	}
	for _, p := range n.Pods {
		out.Pods = append(out.Pods, packing.Pod{Pod: p})
	}
	for _, p := range n.Daemons {
		out.Pods = append(out.Pods, packing.Pod{Pod: p, Daemon: true})
	}
	return out, nil
}

// LowerBound is what no packing of the cluster's pods on what the pool sells can cost less than, in USD per hour.
func (c *Cluster) LowerBound(ctx context.Context) (float64, error) {
	plan, err := packing.Solve(ctx, packing.Problem{
		Pods: wrap(c.Pods()), Pools: []packing.Pool{c.Pool}, DaemonSets: c.DaemonSets,
		Options: packing.Options{TimeBudget: time.Minute},
	})
	if err != nil {
		return 0, fmt.Errorf("bounding cost, %w", err)
	}
	if n := len(plan.Unplaced); n > 0 {
		return 0, fmt.Errorf("%d pods have no place on anything the pool sells: %s", n, plan.Unplaced[0].Message)
	}
	return plan.LowerBound, nil
}

func wrap(pods []*corev1.Pod) []packing.Pod {
	out := make([]packing.Pod, len(pods))
	for i, p := range pods {
		out[i] = packing.Pod{Pod: p}
	}
	return out
}

// Violations replays a command through kube-scheduler's own Filter plugins: whether each displaced pod, with all others where
// they are then, may be where the command puts it. The cluster is the one before the command.
func (c *Cluster) Violations(ctx context.Context, cmd Command) ([]oracle.Violation, error) {
	after := c.Clone()
	change, err := after.Apply(cmd)
	if err != nil {
		return nil, err
	}
	var problem packing.Problem
	var plan packing.Plan
	displaced := map[*corev1.Pod]bool{}
	for _, n := range change.Removed {
		for _, p := range n.Pods {
			displaced[p] = true
		}
	}
	for _, n := range after.Nodes() {
		packed, err := after.Packed(n)
		if err != nil {
			return nil, err
		}
		stay := packed.Pods[:0:0]
		for _, p := range packed.Pods {
			if !displaced[p.Pod] {
				stay = append(stay, p)
				continue
			}
			plan.Bindings = append(plan.Bindings, packing.Binding{Pod: len(problem.Pods), Node: n.Name})
			problem.Pods = append(problem.Pods, p)
		}
		packed.Pods = stay
		problem.Nodes = append(problem.Nodes, packed)
	}
	index := map[*corev1.Pod]int{}
	for i := range problem.Pods {
		index[problem.Pods[i].Pod] = i
	}
	for _, p := range cmd.Order {
		if i, ok := index[p]; ok {
			plan.Order = append(plan.Order, i)
		}
	}
	found, err := oracle.Check(ctx, &problem, &plan)
	if err != nil {
		return nil, fmt.Errorf("replaying a command, %w", err)
	}
	return found, nil
}
