package spotpreference

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/offering"
)

// The keys under which a pod's signature holds what this plugin looks at beyond the pod's requests.
const (
	toleranceSigner = "supercargo.dev/SpotTolerance()"
	workloadSigner  = "supercargo.dev/Workload()"
	costSigner      = "supercargo.dev/SpotPreference.ExpectedDemand()"
)

// EventsToRegister returns what may let a pod in that was ruled out: nodes of the other kind, and replicas of the same
// workload that come, go or are placed. For policies and annotations, of which the queue knows nothing, the feed has pods
// tried again.
func (p *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeLabel}, QueueingHintFn: p.afterNodeChange},
		{Event: fwk.ClusterEvent{Resource: fwk.Pod, ActionType: fwk.Add | fwk.Delete | fwk.UpdatePodLabel}, QueueingHintFn: p.afterPodChange},
	}, nil
}

func (p *Plugin) afterNodeChange(logger klog.Logger, pod *corev1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := schedutil.As[*corev1.Node](before, after)
	if err != nil {
		return fwk.Queue, fmt.Errorf("reading node event, %w", err)
	}
	s := p.open(pod)
	if is == nil || !s.admits(offering.IsSpot(is)) {
		logger.V(5).Info("The node is of a kind that the pod may not use", "pod", klog.KObj(pod), "node", klog.KObj(is))
		return fwk.QueueSkip, nil
	}
	if was != nil && s.admits(offering.IsSpot(was)) {
		logger.V(5).Info("The node was open to the pod before", "pod", klog.KObj(pod), "node", klog.KObj(is))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

func (p *Plugin) afterPodChange(logger klog.Logger, pod *corev1.Pod, before, after any) (fwk.QueueingHint, error) {
	was, is, err := schedutil.As[*corev1.Pod](before, after)
	if err != nil {
		return fwk.Queue, fmt.Errorf("reading pod event, %w", err)
	}
	changed := is
	if changed == nil {
		changed = was
	}
	if changed.UID == pod.UID {
		return fwk.Queue, nil // its labels changed, and with them perhaps its policy
	}
	mine, owned := demand.OwnerOf(pod)
	theirs, _ := demand.OwnerOf(changed)
	if !owned || mine != theirs || !p.rulesOf(pod).Limited() {
		logger.V(5).Info("The pod's share of spot does not depend on the other pod", "pod", klog.KObj(pod), "other", klog.KObj(changed))
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// SignPod signs what filter and score depend on. Pods of a workload that keeps an on-demand base are not signed: each one that
// is placed changes what holds for the next. The spread over pools changes as well, but only by degrees, and a batch is short.
func (p *Plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	rules := p.rulesOf(pod)
	if rules.Limited() || !p.feed.PoliciesKnown() {
		return nil, fwk.NewStatus(fwk.Unschedulable, "where the pod may go depends on the other replicas of its workload")
	}
	fragments := []fwk.SignFragment{
		{Key: toleranceSigner, Value: rules.Tolerance},
		{Key: costSigner, Value: p.feed.Demand.Expected(pod)},
	}
	if owner, owned := demand.OwnerOf(pod); owned {
		fragments = append(fragments, fwk.SignFragment{Key: workloadSigner, Value: owner})
	}
	if planned := pod.Status.NominatedNodeName; planned != "" {
		fragments = append(fragments, fwk.SignFragment{Key: "v1.Pod.Status.NominatedNodeName", Value: planned})
	}
	return fragments, nil
}
