package plannednode

import (
	"context"
	"fmt"
	"iter"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"supercargo.dev/provisioner/succession"
	"supercargo.dev/scheduler-plugins/departure"
)

// message is what a pod is told that is kept off a node.
const message = "its room is kept for pods that a consolidation moves there"

// reservations are what Filter needs to know of one scheduling cycle.
type reservations struct {
	plans    map[string][]succession.Plan
	pod      *corev1.Pod
	requests corev1.ResourceList
}

// Clone implements framework.StateData. Nothing changes after PreFilter.
func (r *reservations) Clone() fwk.StateData { return r }

// PreFilter leads the successor of a pod that a consolidation evicted to a node where it has a place. It does so once: a pod that
// could not be scheduled there, for a rule that the plan did not foresee, goes wherever there is room.
func (p *Plugin) PreFilter(ctx context.Context, state fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	holding := p.holding()
	if len(holding) == 0 || ofItsNode(pod) {
		return nil, fwk.NewStatus(fwk.Skip)
	}
	r := &reservations{plans: holding, pod: pod, requests: resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})}
	state.Write(Name, r)
	if !p.isNew(pod) {
		return nil, nil
	}
	logger := klog.FromContext(ctx)
	places := sets.New[string]()
	for name := range holding {
		info, err := p.handle.SnapshotSharedLister().NodeInfos().Get(name)
		if err != nil || info.Node() == nil {
			continue // it is not there yet, or any more
		}
		if _, own := r.open(info); own && r.welcome(logger, info) {
			places.Insert(name)
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	// Where it is refused, it comes back and is led nowhere.
	p.handle.Activate(logger, map[string]*corev1.Pod{pod.Namespace + "/" + pod.Name: pod})
	return &fwk.PreFilterResult{NodeNames: places}, nil
}

// PreFilterExtensions returns nil: Filter counts the pods of the node that it is given.
func (*Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter keeps the places on a node free that successors of others may still come to.
func (p *Plugin) Filter(_ context.Context, state fwk.CycleState, _ *corev1.Pod, info fwk.NodeInfo) *fwk.Status {
	data, err := state.Read(Name)
	if err != nil {
		return nil // PreFilter had nothing to keep
	}
	r, ok := data.(*reservations)
	if !ok {
		return fwk.AsStatus(fmt.Errorf("reading reservations, got %T", data))
	}
	open, own := r.open(info)
	// Where the successors of several owners have come too late, each takes what there is. Where there is no room in any case, it is
	// for NodeResourcesFit to say so.
	if own || len(open) == 0 || r.fits(info, succession.Held(open, corev1helpers.PodPriority(r.pod))) || !r.fits(info, nil) {
		return nil
	}
	p.feed.KeepOff()
	return fwk.NewStatus(fwk.Unschedulable, message)
}

// SignPod refuses to sign pods that are led to a place: the next of them goes to another. For other pods the plugin only filters,
// and filters run for each pod.
func (p *Plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	owner, ok := succession.OwnerOf(pod)
	if !ok {
		return nil, nil
	}
	for _, plans := range p.holding() {
		for i := range plans {
			for _, place := range plans[i].Places {
				if place.Owner == owner {
					return nil, fwk.NewStatus(fwk.Unschedulable, "a consolidation has planned places for it")
				}
			}
		}
	}
	return nil, nil
}

func (p *Plugin) holding() map[string][]succession.Plan {
	if p.nodes == nil || p.args.MaxWait.Duration == 0 {
		return nil
	}
	return p.feed.Successors.Holding(p.feed.Clock.Now(), p.stateOf)
}

// stateOf says what became of a node that was to be given up.
func (p *Plugin) stateOf(name string) succession.State {
	node, err := p.nodes.Get(name)
	switch {
	case apierrors.IsNotFound(err):
		return succession.Gone
	case err == nil && departure.Announced(node):
		return succession.Going
	}
	return succession.Stays
}

// isNew says whether nothing else is known of where a pod should go: it was not tried before, nor was a node chosen or bought for it.
func (p *Plugin) isNew(pod *corev1.Pod) bool {
	if _, planned := p.feed.Plans.Of(pod.UID); planned || pod.Status.NominatedNodeName != "" {
		return false
	}
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Reason == corev1.PodReasonUnschedulable {
			return false
		}
	}
	return true
}

// open are the places on a node that are not taken yet, and whether one of them is the pod's own.
func (r *reservations) open(info fwk.NodeInfo) (open []succession.Place, own bool) {
	plans := r.plans[info.Node().Name]
	if len(plans) == 0 {
		return nil, false
	}
	open = succession.Open(plans, podsOn(info))
	owner, ok := succession.OwnerOf(r.pod)
	if !ok {
		return open, false
	}
	for i := range open {
		if open[i].Owner == owner {
			return open, true
		}
	}
	return open, false
}

func podsOn(info fwk.NodeInfo) iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		for _, p := range info.GetPods() {
			if !yield(p.GetPod()) {
				return
			}
		}
	}
}

// welcome says whether a node takes the pod, as far as can be told at once: it is ready, tolerated and has room.
func (r *reservations) welcome(logger klog.Logger, info fwk.NodeInfo) bool {
	node := info.Node()
	if !ready(node) || departure.Announced(node) {
		return false
	}
	closed := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	if _, untolerated := corev1helpers.FindMatchingUntoleratedTaint(logger, node.Spec.Taints, r.pod.Spec.Tolerations, closed, true); untolerated {
		return false
	}
	return r.fits(info, nil)
}

// fits says whether a node has room for the pod beside what it must leave free.
func (r *reservations) fits(info fwk.NodeInfo, held corev1.ResourceList) bool {
	has, used := info.GetAllocatable(), info.GetRequested()
	if len(info.GetPods())+1+int(held.Pods().Value()) > has.GetAllowedPodNumber() {
		return false
	}
	for name, q := range r.requests {
		if kept := held[name]; !q.IsZero() && amount(name, q)+amount(name, kept)+of(used, name) > of(has, name) {
			return false
		}
	}
	return true
}

// amount of a resource in the unit in which the scheduler counts it.
func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func of(r fwk.Resource, name corev1.ResourceName) int64 {
	switch name {
	case corev1.ResourceCPU:
		return r.GetMilliCPU()
	case corev1.ResourceMemory:
		return r.GetMemory()
	case corev1.ResourceEphemeralStorage:
		return r.GetEphemeralStorage()
	default:
		return r.GetScalarResources()[name]
	}
}

// ofItsNode says whether a pod belongs to one node: no place elsewhere is any use to it.
func ofItsNode(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && (owner.Kind == "DaemonSet" || owner.Kind == "Node")
}
