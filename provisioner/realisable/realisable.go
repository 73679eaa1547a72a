// Package realisable finds out how much of what recommendations save becomes money. Requests cost nothing by themselves: nodes do. A
// request that is lowered where nothing else fits beside it saves nothing.
//
// It packs all pods of the NodePools twice, at their requests and as recommended, and shares the difference in price out to the
// WorkloadScalers by the part of their net cost impact that falls on those pods.
package realisable

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// Saved is what packing the pods at other sizes saves, in USD per hour; negative where it costs more. The second packing takes its sizes
// from wanted. Pods that either packing finds no place for are left out of both; packed are the others.
func Saved(ctx context.Context, p packing.Problem, wanted func(*corev1.Pod) corev1.ResourceList) (usdPerHour float64, packed []packing.Pod, err error) {
	resized := p
	resized.Pods = make([]packing.Pod, len(p.Pods))
	for i, pod := range p.Pods {
		pod.Requests = wanted(pod.Pod)
		resized.Pods[i] = pod
	}
	for {
		now, err := packing.Solve(ctx, p)
		if err != nil {
			return 0, nil, fmt.Errorf("packing pods at their requests, %w", err)
		}
		then, err := packing.Solve(ctx, resized)
		if err != nil {
			return 0, nil, fmt.Errorf("packing pods as recommended, %w", err)
		}
		homeless := map[int]bool{}
		for _, u := range append(now.Unplaced, then.Unplaced...) {
			homeless[u.Pod] = true
		}
		if len(homeless) == 0 {
			return now.Cost - then.Cost, p.Pods, nil
		}
		p.Pods, resized.Pods = without(p.Pods, homeless), without(resized.Pods, homeless)
	}
}

func without(pods []packing.Pod, gone map[int]bool) []packing.Pod {
	out := make([]packing.Pod, 0, len(pods))
	for i := range pods {
		if !gone[i] {
			out = append(out, pods[i])
		}
	}
	return out
}

// Share is the part of the net cost impact of all workloads that packing realises, 0 to 1. Both amounts are USD over the same time. It
// is 0 where they point in different directions, and never more than 1: what nodes cost beyond the prices by which requests were
// valued is no merit of a recommendation.
func Share(saved, net float64) float64 {
	if net == 0 || (saved < 0) != (net < 0) {
		return 0
	}
	return min(saved/net, 1)
}
