package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/e2e/bench/consolidation/fragment"
	"supercargo.dev/e2e/bench/packing/mix"
	"supercargo.dev/e2e/bench/program"
	"supercargo.dev/provisioner/packing"
)

// Cases, as consolidation.json names them.
const (
	karpenterMix = "karpenter-mix"
	realSpot     = "real-spot"
	realOnDemand = "real-ondemand"
	openb        = "openb"
	custom       = program.Custom
)

// growth is not a case of its own but real-ondemand at several sizes, Supercargo alone.
const growth = "growth"

// trial is a cluster to compare on.
type trial struct {
	name         string
	draw         fragment.Mix
	nodes, pods  int
	capacityType string
	// alone leaves Karpenter out and makes one search only.
	alone bool
}

// trials are the clusters that the flags ask for.
func (s *settings) trials(w io.Writer) ([]trial, error) {
	if s.Pods != "" {
		return s.custom(w)
	}
	nodes := s.nodes
	if nodes == 0 {
		nodes = pick(s.Short, 60, 500)
	}
	all := []trial{
		{name: realOnDemand, draw: fragment.Deployments, nodes: nodes, pods: 10 * nodes, capacityType: packing.CapacityOnDemand},
		{name: realSpot, draw: fragment.Deployments, nodes: nodes, pods: 10 * nodes, capacityType: packing.CapacitySpot},
		// A fifth of its pods may not share a node, before and after: it cannot have ten pods a node.
		{name: karpenterMix, draw: karpenters, nodes: nodes, pods: 2 * nodes, capacityType: packing.CapacityOnDemand},
	}
	if trace, err := readOpenb(s.Data); err != nil {
		fmt.Fprintf(w, "SKIPPED: the case openb: %v. Name the folder with --data.\n", err)
	} else {
		all = append(all, trial{name: openb, draw: fragment.Sampled(trace), nodes: nodes, pods: 5 * nodes, capacityType: packing.CapacityOnDemand})
	}
	if !s.Short && s.nodes == 0 {
		// Small enough for Karpenter to come to rest.
		all = append(all, trial{name: realOnDemand, draw: fragment.Deployments, nodes: 50, pods: 500, capacityType: packing.CapacityOnDemand})
	}
	var out []trial
	for _, t := range all {
		if s.Wants(t.name) {
			out = append(out, t)
		}
	}
	if s.Wants(growth) {
		for _, n := range pick(s.Short, []int{500}, []int{1000, 2000, 5000}) {
			out = append(out, trial{name: realOnDemand, draw: fragment.Deployments, nodes: n, pods: 10 * n, capacityType: packing.CapacityOnDemand, alone: true})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("nothing is left to measure")
	}
	return out, nil
}

func karpenters(n int, seed uint64) []*corev1.Pod { return mix.KarpenterOwn(n, seed).Pods }

// readOpenb reads the pods of the trace that ask for no GPU.
func readOpenb(data string) ([]*corev1.Pod, error) {
	in, err := mix.Openb(data, 0, 0)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(in.Pods, func(p *corev1.Pod) bool { return mix.WantsGPUs([]*corev1.Pod{p}) }), nil
}

func (s *settings) custom(w io.Writer) ([]trial, error) {
	pods, err := s.ReadPods(w)
	if err != nil {
		return nil, err
	}
	nodes := s.nodes
	if nodes == 0 {
		nodes = max(1, len(pods.Pods)/10)
	}
	return []trial{{name: custom, draw: fragment.Sampled(pods.Pods), nodes: nodes, pods: len(pods.Pods), capacityType: packing.CapacityOnDemand}}, nil
}
