package karpenter

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	nodeclaimutils "sigs.k8s.io/karpenter/pkg/utils/nodeclaim"
)

const (
	// awaitReady is how long after a node appeared it stays closed at most for its kubelet to be ready. Pods of DaemonSets that do
	// not tolerate Karpenter's taint start as much later, and on a node that needs one of them to be ready, that is lost.
	awaitReady = 20 * time.Second
	// lookAgain is how often a node is looked at that is not ready; its updates are seen as well.
	lookAgain = time.Second
)

// RegistrationHook calls f with the names of a claim and its node when the node is ready for pods but for Karpenter's taint, which keeps
// them off until f returns. f may be called more than once for a claim.
//
// Called when the node appears, f would nominate pods too early: kube-scheduler clears the nomination of a pod each time that it tries it
// in vain, as it does whenever another node opens. When the node is ready, others take the room before the nominations are written again.
func (m *Machinery) RegistrationHook(f func(ctx context.Context, claim, node string)) cloudprovider.NodeLifecycleHook {
	return registrationHook{machinery: m, call: f}
}

type registrationHook struct {
	machinery *Machinery
	call      func(ctx context.Context, claim, node string)
}

// Name implements cloudprovider.NodeLifecycleHook.
func (registrationHook) Name() string { return "nomination" }

// Registered implements cloudprovider.NodeLifecycleHook.
func (h registrationHook) Registered(ctx context.Context, nc *karpv1.NodeClaim) (cloudprovider.NodeLifecycleHookResult, error) {
	node, err := nodeclaimutils.NodeForNodeClaim(ctx, h.machinery.cfg.Client, nc)
	if err != nil {
		return cloudprovider.NodeLifecycleHookResult{}, fmt.Errorf("finding the node of nodeclaim %q, %w", nc.Name, err)
	}
	if !isReady(node) && h.machinery.cfg.Clock.Since(node.CreationTimestamp.Time) < awaitReady {
		return cloudprovider.NodeLifecycleHookResult{RequeueAfter: lookAgain}, nil
	}
	h.call(ctx, nc.Name, node.Name)
	return cloudprovider.NodeLifecycleHookResult{}, nil
}

// isReady says whether a node's kubelet is ready, and the taint gone that says it is not.
func isReady(node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		if node.Spec.Taints[i].Key == corev1.TaintNodeNotReady {
			return false
		}
	}
	for i := range node.Status.Conditions {
		if c := &node.Status.Conditions[i]; c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
