package karpenter

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/provisioner/packing"
)

// Everything is the problem of packing all pods of the NodePools anew: those that run on their nodes and those that wait for one, and no
// node yet. It answers what the cluster could cost; nothing is bought by it. It returns ErrNotSynced as Snapshot does.
func (m *Machinery) Everything(ctx context.Context) (packing.Problem, error) {
	s, err := m.Snapshot(ctx)
	if err != nil {
		return packing.Problem{}, err
	}
	out := packing.Problem{Pools: s.Problem.Pools, DaemonSets: s.Problem.DaemonSets, Namespaces: s.Problem.Namespaces, Options: s.Problem.Options}
	out.Pods = append(append(out.Pods, s.Problem.Pods...), s.Moving...)
	var running []*corev1.Pod
	for i := range s.Problem.Nodes {
		node := &s.Problem.Nodes[i]
		if node.Labels[karpv1.NodePoolLabelKey] == "" {
			continue
		}
		for j := range node.Pods {
			if !node.Pods[j].Daemon {
				running = append(running, node.Pods[j].Pod)
			}
		}
	}
	placed, err := m.toPlace(ctx, running)
	if err != nil {
		return packing.Problem{}, err
	}
	out.Pods = append(out.Pods, placed...)
	return out, nil
}
