package karpenter

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"supercargo.dev/provisioner/packing"
)

// Leave closes a node: it is tainted as disrupted, nothing more is planned on it, and the pods on it are planned anew. The
// mark in memory is lost with a restart, so callers that can outlive one call Leave again.
func (m *Machinery) Leave(ctx context.Context, providerID string) error {
	n := m.find(providerID)
	if n == nil {
		return nil
	}
	if err := state.RequireNoScheduleTaint(ctx, m.cfg.Client, true, n); err != nil {
		return fmt.Errorf("closing node %q, %w", n.Name(), err)
	}
	m.cluster.MarkForDeletion(providerID)
	// Whoever closes it needs new places for its pods, whatever a consolidation had found before.
	m.consolidated.remove(providerID)
	return nil
}

// Replaced reports whether every pod on a node that must move has a place on a node that is ready to take it.
func (m *Machinery) Replaced(ctx context.Context, providerID string) (bool, error) {
	n := m.find(providerID)
	if n == nil || n.Node == nil {
		return true, nil
	}
	s, err := m.Snapshot(ctx)
	if errors.Is(err, ErrNotSynced) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	p := s.Problem
	// Without pools the packer can only use what is there.
	p.Pools, p.Nodes = nil, nil
	for _, node := range s.Problem.Nodes {
		if st := s.states[node.Name]; st != nil && st.Initialized() {
			p.Nodes = append(p.Nodes, node)
		}
	}
	// Headroom is there to be used.
	p.Pods = p.Pods[:len(p.Pods)-s.Headroom]
	// Pending pods compete for the same room, so they are packed too, but only the node's own pods must all have a place.
	plan, err := packing.Solve(ctx, p)
	if err != nil {
		return false, fmt.Errorf("looking for places for the pods of node %q, %w", n.Name(), err)
	}
	for _, u := range plan.Unplaced {
		if p.Pods[u.Pod].Spec.NodeName == n.Node.Name {
			return false, nil
		}
	}
	return true, nil
}

func (m *Machinery) find(providerID string) *state.StateNode {
	for n := range m.cluster.Nodes() {
		if n.ProviderID() == providerID {
			return n.DeepCopy()
		}
	}
	return nil
}
