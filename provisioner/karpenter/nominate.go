package karpenter

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpsched "sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"supercargo.dev/provisioner/packing"
)

// Protect keeps a node from being disrupted while pods that were planned on it are still on their way to it, and says on each
// pod where it should go.
func (m *Machinery) Protect(ctx context.Context, s *Snapshot, bindings []packing.Binding) {
	protected := map[string]bool{}
	protect := func(node string) *state.StateNode {
		n := s.states[node]
		if n != nil && !protected[node] {
			protected[node] = true
			m.cluster.NominateNodeForPod(ctx, n.ProviderID())
		}
		return n
	}
	for _, k := range slices.Concat(s.Kept, s.Expected) {
		protect(k.Node) // the pod was told when it was planned, or does not exist yet
	}
	for _, b := range bindings {
		n := protect(b.Node)
		if n == nil {
			continue
		}
		m.cfg.Recorder.Publish(karpsched.NominatePodEvent(s.Pod(b.Pod), n.Node, n.NodeClaim))
	}
}

// NominationEvent says on a pod which claim was launched for it.
func (m *Machinery) NominationEvent(pod *corev1.Pod, claim string) {
	nc := &karpv1.NodeClaim{}
	nc.Name = claim
	m.cfg.Recorder.Publish(karpsched.NominatePodEvent(pod, nil, nc))
}
