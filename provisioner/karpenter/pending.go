package karpenter

import (
	"context"
	"errors"
	"fmt"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	karpprovisioning "sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	podutils "sigs.k8s.io/karpenter/pkg/utils/pod"
)

// IsPending reports whether a pod waits for a node: kube-scheduler found none for it, and it does not belong to a node.
// Unlike Karpenter, a pod with a nominated node counts, since the nomination is how a plan of ours is written down.
func IsPending(pod *corev1.Pod) bool {
	return podutils.FailedToSchedule(pod) && !podutils.IsScheduled(pod) && pod.DeletionTimestamp.IsZero() &&
		!podutils.IsTerminal(pod) && !podutils.IsOwnedByDaemonSet(pod) && !podutils.IsOwnedByNode(pod)
}

// pendingPods lists the pods that wait for a node, the oldest first. A pod that Karpenter's validation refuses gets an event
// that says why.
func (m *Machinery) pendingPods(ctx context.Context) ([]*corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := m.cfg.Client.List(ctx, list, client.MatchingFields{"spec.nodeName": ""}); err != nil {
		return nil, fmt.Errorf("listing pending pods, %w", err)
	}
	var out []*corev1.Pod
	for i := range list.Items {
		pod := &list.Items[i]
		if !IsPending(pod) {
			continue
		}
		preempting, err := m.preempting(ctx, pod)
		if err != nil {
			return nil, err
		}
		if preempting {
			continue
		}
		if err := m.provisioner.Validate(ctx, pod); err != nil {
			if !errors.Is(err, karpprovisioning.KarpenterManagedLabelDoesNotExistError) {
				m.cfg.Recorder.Publish(scheduling.PodFailedToScheduleEvent(pod, err))
			}
			continue
		}
		out = append(out, pod)
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].CreationTimestamp.Equal(&out[j].CreationTimestamp) {
			return out[i].CreationTimestamp.Before(&out[j].CreationTimestamp)
		}
		return out[i].UID < out[j].UID
	})
	return out, nil
}

// preempting reports whether kube-scheduler makes room for a pod on its nominated node: pods of lower priority there are
// being removed, and their room will be the pod's. No node must be bought for it meanwhile.
func (m *Machinery) preempting(ctx context.Context, pod *corev1.Pod) (bool, error) {
	if pod.Status.NominatedNodeName == "" {
		return false, nil
	}
	list := &corev1.PodList{}
	if err := m.cfg.Client.List(ctx, list, client.MatchingFields{"spec.nodeName": pod.Status.NominatedNodeName}, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing pods of nominated node %q, %w", pod.Status.NominatedNodeName, err)
	}
	for i := range list.Items {
		victim := &list.Items[i]
		if !victim.DeletionTimestamp.IsZero() && priority(victim) < priority(pod) {
			return true, nil
		}
	}
	return false, nil
}

func priority(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}
