// Package rightsizedpacking prefers the node that pods will leave fullest once they have the size they need.
//
// It scores by expected demand, which is what pods ask for after their recommendations are applied, in all resources together,
// and by how likely a node is to stay: pods gather where many others are and drain from nodes that consolidation could remove.
// Nodes about to go come last. Whether a pod fits is not decided here; NodeResourcesFit does that, by what is enforced now.
// As it rejects no node, there is nothing for it to register queueing hints for.
package rightsizedpacking

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/config"
	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/nodecache"
)

// Name of the plugin in a scheduler configuration.
const Name = "RightsizedPacking"

const preScoreKey fwk.StateKey = "PreScore" + Name

// The key under which a pod's signature holds what this plugin looks at beyond the pod's requests.
const (
	demandSigner  = "supercargo.dev/ExpectedDemand()"
	plannedSigner = "v1.Pod.Status.NominatedNodeName"
)

// Plugin scores nodes. Make it with Factory.
type Plugin struct {
	handle    fwk.Handle
	feed      *feed.Feed
	args      *config.RightsizedPackingArgs
	stayShare float64
	surveyor  *surveyor
	nodes     *nodecache.Cache[epoch, summary]
}

var (
	_ fwk.PreScorePlugin = (*Plugin)(nil)
	_ fwk.ScorePlugin    = (*Plugin)(nil)
	_ fwk.ReservePlugin  = (*Plugin)(nil)
	_ fwk.SignPlugin     = (*Plugin)(nil)
)

// Factory returns what builds the plugin for each profile that enables it. All of them read one feed.
func Factory(f *feed.Feed) frameworkruntime.PluginFactory {
	return func(ctx context.Context, object runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := config.Decode[config.RightsizedPackingArgs](object)
		if err != nil {
			return nil, fmt.Errorf("configuring %s, %w", Name, err)
		}
		if err := f.Start(ctx, handle); err != nil {
			return nil, fmt.Errorf("starting %s, %w", Name, err)
		}
		s := &surveyor{
			demand: f.Demand, claims: f.Claims, clock: f.Clock,
			expires: args.ExpiresWithin.Duration, scored: args.Demand == config.DemandExpected,
		}
		return &Plugin{
			handle:    handle,
			feed:      f,
			args:      args,
			stayShare: float64(*args.StayPercent) / 100,
			surveyor:  s,
			nodes:     nodecache.New(s.survey),
		}, nil
	}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return Name }

// state is what Score needs of the pod.
type state struct {
	at     epoch
	demand demand.Resources
	// scalars are the requests for further resources that are packed, in the order of the arguments.
	scalars []int64
}

// Clone returns the state itself: it is not written to after PreScore.
func (s *state) Clone() fwk.StateData { return s }

// PreScore computes what the pod is expected to ask for.
func (p *Plugin) PreScore(_ context.Context, cycle fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	p.nodes.Begin(p.handle.SnapshotSharedLister().NodeInfos())
	cycle.Write(preScoreKey, &state{at: p.surveyor.epoch(), demand: p.demandOf(pod), scalars: p.scalarsOf(pod)})
	return nil
}

func (p *Plugin) demandOf(pod *corev1.Pod) demand.Resources {
	if p.args.Demand == config.DemandEnforced {
		return demand.FromList(demand.Enforced(pod))
	}
	return p.feed.Demand.Expected(pod)
}

// scalarsOf returns nil where only cpu and memory are packed.
func (p *Plugin) scalarsOf(pod *corev1.Pod) []int64 {
	var requests corev1.ResourceList
	var scalars []int64
	for i, r := range p.args.Resources {
		if r.Name == corev1.ResourceCPU || r.Name == corev1.ResourceMemory {
			continue
		}
		if scalars == nil {
			requests, scalars = demand.Enforced(pod), make([]int64, len(p.args.Resources))
		}
		quantity := requests[r.Name]
		scalars[i] = quantity.Value()
	}
	return scalars
}

// Score returns a raw score in thousandths. It takes constant time and allocates nothing, but for a node that has changed since
// it was scored last: then it walks over the node's pods.
func (p *Plugin) Score(_ context.Context, cycle fwk.CycleState, _ *corev1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	data, err := cycle.Read(preScoreKey)
	if err != nil {
		return 0, fwk.AsStatus(fmt.Errorf("reading %q from cycle state, %w", preScoreKey, err))
	}
	s, ok := data.(*state)
	if !ok {
		return 0, fwk.AsStatus(fmt.Errorf("state of %q is a %T", preScoreKey, data))
	}
	return p.score(s, info, p.nodes.Of(info, s.at)), nil
}

func (p *Plugin) score(s *state, info fwk.NodeInfo, known *summary) int64 {
	change := known.change
	requested, allocatable := info.GetRequested(), info.GetAllocatable()
	var full fullness
	for i := range p.args.Resources {
		r := &p.args.Resources[i]
		d := dimension{weight: r.Weight}
		switch r.Name {
		case corev1.ResourceCPU:
			d.used, d.allocatable = requested.GetMilliCPU()+change.MilliCPU+s.demand.MilliCPU, allocatable.GetMilliCPU()
		case corev1.ResourceMemory:
			d.used, d.allocatable = requested.GetMemory()+change.MemoryBytes+s.demand.MemoryBytes, allocatable.GetMemory()
		case corev1.ResourceEphemeralStorage:
			d.used, d.allocatable = requested.GetEphemeralStorage()+s.scalars[i], allocatable.GetEphemeralStorage()
		default:
			d.used, d.allocatable = requested.GetScalarResources()[r.Name]+s.scalars[i], allocatable.GetScalarResources()[r.Name]
		}
		full.add(d)
	}
	return rawScore(&full, known.standing, p.stayShare)
}

// ScoreExtensions returns the plugin itself.
func (p *Plugin) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore brings the raw scores to the framework's scale. The node that was planned for the pod wins.
func (p *Plugin) NormalizeScore(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	normalize(scores, pod.Status.NominatedNodeName)
	return nil
}

// SignPod signs what the score depends on: what the pod is expected to ask for, which may differ between pods that request
// the same, and the node planned for it. NodeResourcesFit signs the requests.
func (p *Plugin) SignPod(_ context.Context, pod *corev1.Pod) ([]fwk.SignFragment, *fwk.Status) {
	fragments := []fwk.SignFragment{{Key: demandSigner, Value: p.demandOf(pod)}}
	if planned := pod.Status.NominatedNodeName; planned != "" {
		fragments = append(fragments, fwk.SignFragment{Key: plannedSigner, Value: planned})
	}
	return fragments, nil
}

// Reserve counts where pods are put. The snapshot, which says what was known of the node, must not be read any later.
func (p *Plugin) Reserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, nodeName string) *fwk.Status {
	kind := "unknown"
	if info, err := p.handle.SnapshotSharedLister().NodeInfos().Get(nodeName); err == nil {
		kind = p.nodes.Of(info, p.surveyor.epoch()).kind()
	}
	profile := p.handle.ProfileName()
	p.feed.Metrics.Packed.WithLabelValues(profile, kind).Inc()
	if planned := pod.Status.NominatedNodeName; planned != "" {
		result := "honoured"
		if planned != nodeName {
			result = "missed"
		}
		p.feed.Metrics.Planned.WithLabelValues(profile, result).Inc()
	}
	return nil
}

// Unreserve has nothing to take back: counters count decisions.
func (*Plugin) Unreserve(context.Context, fwk.CycleState, *corev1.Pod, string) {}

func (s *summary) kind() string {
	switch {
	case s.leaving:
		return "leaving"
	case s.movable == 0:
		return "empty"
	default:
		return "filled"
	}
}
