// Package plannednode keeps the provisioner's plans. It has pods wait for the node that was bought for them, so that they take
// neither the room that was planned for others nor leave their own node without use; and it leads the successors of pods that a
// consolidation evicts to where the consolidation planned them, and keeps their places free of others until they have come
// (provisioner/succession).
//
// Without the first a pod for which a node is on its way goes to whatever has room first: to another new node, whose own pods then need
// one more, or to room that becomes free meanwhile, and the node that was bought for it comes for nothing. A pod is held before
// it enters the queue, and never for long: not once its node is ready or is given up, nor when another node was chosen for it, nor
// after Args.MaxWait. Whatever is not known holds nobody.
package plannednode

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"supercargo.dev/scheduler-plugins/config"
	"supercargo.dev/scheduler-plugins/feed"
)

// Name of the plugin in a scheduler configuration.
const Name = "PlannedNode"

// unregistered is Karpenter's taint on a node that it has not recognised yet.
const unregistered = "karpenter.sh/unregistered"

// Plugin holds pods. Make it with Factory.
type Plugin struct {
	feed  *feed.Feed
	args  *config.PlannedNodeArgs
	nodes corelisters.NodeLister // nil without a cluster behind the framework
	// handle is what of the framework leads successors to their places.
	handle handle
}

type handle interface {
	fwk.PodActivator
	SnapshotSharedLister() fwk.SharedLister
}

var (
	_ fwk.PreEnqueuePlugin  = (*Plugin)(nil)
	_ fwk.PreFilterPlugin   = (*Plugin)(nil)
	_ fwk.FilterPlugin      = (*Plugin)(nil)
	_ fwk.SignPlugin        = (*Plugin)(nil)
	_ fwk.EnqueueExtensions = (*Plugin)(nil)
)

// Factory returns what builds the plugin for each profile that enables it. All of them read one feed.
func Factory(f *feed.Feed) frameworkruntime.PluginFactory {
	return func(ctx context.Context, object runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := config.Decode[config.PlannedNodeArgs](object)
		if err != nil {
			return nil, fmt.Errorf("configuring %s, %w", Name, err)
		}
		p := &Plugin{feed: f, args: args, handle: handle}
		if factory := handle.SharedInformerFactory(); factory != nil {
			p.nodes = factory.Core().V1().Nodes().Lister()
		}
		if err := f.Start(ctx, handle); err != nil {
			return nil, fmt.Errorf("starting %s, %w", Name, err)
		}
		return p, nil
	}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return Name }

// PreEnqueue holds a pod whose node is on its way. It reads memory only.
func (p *Plugin) PreEnqueue(_ context.Context, pod *corev1.Pod) *fwk.Status {
	plan, ok := p.feed.Plans.Of(pod.UID)
	if !ok || p.nodes == nil || plan.Going || p.feed.Clock.Since(plan.Created) >= p.args.MaxWait.Duration {
		return nil
	}
	for _, name := range [2]string{plan.Node, pod.Status.NominatedNodeName} {
		if name == "" {
			continue
		}
		if node, err := p.nodes.Get(name); err == nil && ready(node) {
			return nil
		}
	}
	p.feed.Hold()
	return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, fmt.Sprintf("waiting for the node of nodeclaim %s, which was bought for the pod", plan.Claim))
}

// EventsToRegister returns what lets a held pod in: its node is ready; and what makes room for one that was kept off a node: another
// node, or a pod that goes. Claims are no objects of the scheduler, and the end of a plan is no event; the feed has pods tried again
// when a claim goes or gets its node, and now and then in any case.
func (p *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{
			Event:          fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeCondition | fwk.UpdateNodeTaint},
			QueueingHintFn: p.afterNodeChange,
		},
		{Event: fwk.ClusterEvent{Resource: fwk.Pod, ActionType: fwk.Delete}},
	}, nil
}

func (p *Plugin) afterNodeChange(logger klog.Logger, pod *corev1.Pod, before, after any) (fwk.QueueingHint, error) {
	_, is, err := schedutil.As[*corev1.Node](before, after)
	if err != nil {
		return fwk.Queue, fmt.Errorf("reading node event, %w", err)
	}
	plan, ok := p.feed.Plans.Of(pod.UID)
	if ok && is != nil && (is.Name != plan.Node || !ready(is)) {
		logger.V(5).Info("The pod waits for another node", "pod", klog.KObj(pod), "node", klog.KObj(is), "nodeClaim", plan.Claim)
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// ready says whether a node takes pods, as far as its start is concerned. Taints of the user's own are for the filters to judge.
func ready(node *corev1.Node) bool {
	for i := range node.Spec.Taints {
		switch node.Spec.Taints[i].Key {
		case unregistered, corev1.TaintNodeNotReady:
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
