package karpenter

import (
	"context"
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	nodeclaimutils "sigs.k8s.io/karpenter/pkg/utils/nodeclaim"

	"supercargo.dev/provisioner/packing"
)

// claims lists the NodeClaims that are not going, and among them those that the cloud has not answered yet.
func (m *Machinery) claims(ctx context.Context) (all, unlaunched []*karpv1.NodeClaim, err error) {
	list, err := nodeclaimutils.ListManaged(ctx, m.cfg.Client, m.cfg.CloudProvider)
	if err != nil {
		return nil, nil, fmt.Errorf("listing nodeclaims, %w", err)
	}
	listed := make(map[string]bool, len(list))
	for _, nc := range list {
		listed[nc.Name] = true
		if !nc.DeletionTimestamp.IsZero() {
			continue
		}
		all = append(all, nc)
		if nc.Status.ProviderID == "" {
			unlaunched = append(unlaunched, nc)
		}
	}
	unlaunched = append(unlaunched, m.launched.unseen(listed, m.cluster.NodeClaimExists)...)
	return all, unlaunched, nil
}

// synced checks that every node and every answered claim of the API server is in the state. Karpenter's own check also waits
// for each claim to be answered by the cloud; here one slow launch must not hold up the others, so claims in flight are
// planned on instead.
func (m *Machinery) synced(ctx context.Context, states state.StateNodes, claims []*karpv1.NodeClaim) error {
	nodes, ids := map[string]bool{}, map[string]bool{}
	for _, n := range states {
		if n.Node != nil {
			nodes[n.Node.Name] = true
		}
		ids[n.ProviderID()] = true
	}
	list := &corev1.NodeList{}
	if err := m.cfg.Client.List(ctx, list); err != nil {
		return fmt.Errorf("listing nodes, %w", err)
	}
	for i := range list.Items {
		if n := &list.Items[i]; n.DeletionTimestamp.IsZero() && !nodes[n.Name] {
			return fmt.Errorf("%w: node %q is missing", ErrNotSynced, n.Name)
		}
	}
	for _, nc := range claims {
		if id := nc.Status.ProviderID; id != "" && !ids[id] {
			return fmt.Errorf("%w: nodeclaim %q is missing", ErrNotSynced, nc.Name)
		}
	}
	return nil
}

// inFlight is a claim that the cloud has not answered yet, as far as it is certain: whichever of the listed types the cloud
// gives, it holds at least what the smallest of them does.
func inFlight(nc *karpv1.NodeClaim, pools pools, daemons []*corev1.Pod) packing.Node {
	types := pools.types[nc.Labels[karpv1.NodePoolLabelKey]]
	node := packing.Node{
		Name: nc.Name, Labels: map[string]string{}, Taints: nc.Spec.Taints, Allocatable: certain(nc, types), Price: math.NaN(),
	}
	for k, v := range nc.Labels {
		node.Labels[k] = v
	}
	for _, r := range nc.Spec.Requirements {
		if r.Operator == corev1.NodeSelectorOpIn && len(r.Values) == 1 {
			node.Labels[r.Key] = r.Values[0]
		}
	}
	if instanceType, zone, capacityType, ok := planned(nc); ok {
		node.Labels[corev1.LabelInstanceTypeStable] = instanceType
		node.Labels[corev1.LabelTopologyZone] = zone
		node.Labels[karpv1.CapacityTypeLabelKey] = capacityType
		if it, ok := types[instanceType]; ok {
			for k, v := range singleValues(it.Requirements) {
				if _, set := node.Labels[k]; !set {
					node.Labels[k] = v
				}
			}
			if p, ok := it.OfferingPrice(zone, capacityType); ok {
				node.Price = price(p)
			}
		}
	}
	node.Labels = packing.WithOldNames(node.Labels)
	node.Daemons = missingDaemons(daemons, node.Labels, node.Taints, nil)
	return node
}

// certain is what every instance type that a claim lists can hold, and at least what the claim was made for.
func certain(nc *karpv1.NodeClaim, types map[string]*cloudprovider.InstanceType) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, r := range nc.Spec.Requirements {
		if r.Key != corev1.LabelInstanceTypeStable || r.Operator != corev1.NodeSelectorOpIn {
			continue
		}
		for i, name := range r.Values {
			it, ok := types[name]
			if !ok {
				return nc.Spec.Resources.Requests.DeepCopy()
			}
			if i == 0 {
				out = it.Allocatable().DeepCopy()
				continue
			}
			allocatable := it.Allocatable()
			for resource, q := range out {
				if other := allocatable[resource]; other.Cmp(q) < 0 {
					out[resource] = other.DeepCopy()
				}
			}
		}
	}
	for resource, q := range nc.Spec.Resources.Requests {
		if has := out[resource]; has.Cmp(q) < 0 {
			out[resource] = q.DeepCopy()
		}
	}
	return out
}
