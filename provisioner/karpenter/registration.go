package karpenter

import (
	"context"
	"fmt"

	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	nodeclaimutils "sigs.k8s.io/karpenter/pkg/utils/nodeclaim"
)

// RegistrationHook calls f with the names of a claim and its node when the node has come, and before Karpenter takes away the taint
// that keeps pods off a node that it does not know yet. f may be called more than once for a claim.
func (m *Machinery) RegistrationHook(f func(ctx context.Context, claim, node string)) cloudprovider.NodeLifecycleHook {
	return registrationHook{machinery: m, call: f}
}

type registrationHook struct {
	machinery *Machinery
	call      func(ctx context.Context, claim, node string)
}

// Name implements cloudprovider.NodeLifecycleHook.
func (registrationHook) Name() string { return "nomination" }

// Registered implements cloudprovider.NodeLifecycleHook. The registration never waits longer than for the call.
func (h registrationHook) Registered(ctx context.Context, nc *karpv1.NodeClaim) (cloudprovider.NodeLifecycleHookResult, error) {
	node, err := nodeclaimutils.NodeForNodeClaim(ctx, h.machinery.cfg.Client, nc)
	if err != nil {
		return cloudprovider.NodeLifecycleHookResult{}, fmt.Errorf("finding the node of nodeclaim %q, %w", nc.Name, err)
	}
	h.call(ctx, nc.Name, node.Name)
	return cloudprovider.NodeLifecycleHookResult{}, nil
}
