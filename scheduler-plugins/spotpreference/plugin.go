// Package spotpreference places pods on spot capacity as far as they tolerate it.
//
// Never and require are rules and rule nodes out; so does the on-demand base that a workload keeps. Tolerate and prefer are
// judged by cost: what the pod's share of the node costs, with the work that interruptions are expected to destroy, and with a
// surcharge for spot pools that hold many replicas of the same workload already. A node that states no price is neither good
// nor bad. The rules themselves are found by package placement.
package spotpreference

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corelisters "k8s.io/client-go/listers/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/config"
	"supercargo.dev/scheduler-plugins/feed"
	"supercargo.dev/scheduler-plugins/nodecache"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/placement"
)

// Name of the plugin in a scheduler configuration.
const Name = "SpotPreference"

const (
	preFilterKey fwk.StateKey = "PreFilter" + Name
	preScoreKey  fwk.StateKey = "PreScore" + Name
)

// Reasons that appear in the events of pods.
const (
	ReasonNever    = "node(s) were spot capacity, which the pod may never use"
	ReasonRequire  = "node(s) were not spot capacity, which the pod requires"
	ReasonShare    = "node(s) were spot capacity, of which the workload has its share"
	ReasonNotReady = "placement policies have not been read yet"
)

// Plugin filters and scores nodes. Make it with Factory.
type Plugin struct {
	handle     fwk.Handle
	feed       *feed.Feed
	args       *config.SpotPreferenceArgs
	weights    weights
	capacities *nodecache.Cache[struct{}, capacity]
	nodes      corelisters.NodeLister      // nil without a cluster behind the framework
	namespaces corelisters.NamespaceLister // nil likewise
}

var (
	_ fwk.PreFilterPlugin   = (*Plugin)(nil)
	_ fwk.FilterPlugin      = (*Plugin)(nil)
	_ fwk.PreScorePlugin    = (*Plugin)(nil)
	_ fwk.ScorePlugin       = (*Plugin)(nil)
	_ fwk.ReservePlugin     = (*Plugin)(nil)
	_ fwk.PostBindPlugin    = (*Plugin)(nil)
	_ fwk.EnqueueExtensions = (*Plugin)(nil)
	_ fwk.SignPlugin        = (*Plugin)(nil)
)

// Factory returns what builds the plugin for each profile that enables it. All of them read one feed.
func Factory(f *feed.Feed) frameworkruntime.PluginFactory {
	return func(ctx context.Context, object runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := config.Decode[config.SpotPreferenceArgs](object)
		if err != nil {
			return nil, fmt.Errorf("configuring %s, %w", Name, err)
		}
		p := &Plugin{
			handle:     handle,
			feed:       f,
			args:       args,
			capacities: nodecache.New(capacityOf),
			weights:    weights{lossHours: args.InterruptionLoss.Hours(), spread: float64(*args.PoolSpreadPercent) / 100},
		}
		if factory := handle.SharedInformerFactory(); factory != nil {
			p.nodes, p.namespaces = factory.Core().V1().Nodes().Lister(), factory.Core().V1().Namespaces().Lister()
		}
		if err := f.Start(ctx, handle); err != nil {
			return nil, fmt.Errorf("starting %s, %w", Name, err)
		}
		return p, nil
	}
}

// Name returns the plugin's name.
func (*Plugin) Name() string { return Name }

// rulesOf returns the rules for a pod. It reads memory only.
func (p *Plugin) rulesOf(pod *corev1.Pod) placement.Rules {
	var namespace placement.Object
	if p.namespaces != nil {
		if ns, err := p.namespaces.Get(pod.Namespace); err == nil {
			namespace = placement.Object{Labels: ns.Labels, Annotations: ns.Annotations}
		}
	}
	return placement.Resolve(placement.Object{Labels: pod.Labels, Annotations: pod.Annotations}, namespace, p.feed.Policies.Policies(), p.args.DefaultTolerance)
}

// filterState is what Filter needs of the pod.
type filterState struct {
	rules    placement.Rules
	spotOpen bool
}

// Clone returns the state itself: it is not written to after PreFilter.
func (s *filterState) Clone() fwk.StateData { return s }

// admits says whether the pod may go to a node.
func (s *filterState) admits(spot bool) bool {
	if spot {
		return s.rules.Tolerance != v1alpha1.SpotNever && s.spotOpen
	}
	return s.rules.Tolerance != v1alpha1.SpotRequire
}

// open returns what holds for a pod at this moment.
func (p *Plugin) open(pod *corev1.Pod) *filterState {
	s := &filterState{rules: p.rulesOf(pod), spotOpen: true}
	if s.rules.Limited() {
		if owner, owned := demand.OwnerOf(pod); owned {
			s.spotOpen, _ = s.rules.SpotOpen(p.feed.Replicas.Of(owner, pod.UID))
		}
	}
	return s
}

// PreFilter finds the rules for the pod. Where they rule no node out, the filter is skipped.
func (p *Plugin) PreFilter(_ context.Context, cycle fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	if !p.feed.PoliciesKnown() {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonNotReady)
	}
	s := p.open(pod)
	cycle.Write(preFilterKey, s)
	switch {
	case s.rules.Tolerance == v1alpha1.SpotNever:
		p.feed.Metrics.SpotClosed.WithLabelValues(p.handle.ProfileName(), "never").Inc()
	case !s.spotOpen:
		p.feed.Metrics.SpotClosed.WithLabelValues(p.handle.ProfileName(), "share").Inc()
	case s.rules.Tolerance != v1alpha1.SpotRequire:
		return nil, fwk.NewStatus(fwk.Skip)
	}
	return nil, nil
}

// PreFilterExtensions returns nil: what the state holds concerns the workload as a whole, not the pods of one node.
func (*Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter rules out nodes by capacity type. Evicting pods from such a node would not help, hence "unresolvable".
func (p *Plugin) Filter(_ context.Context, cycle fwk.CycleState, _ *corev1.Pod, info fwk.NodeInfo) *fwk.Status {
	s, err := read[*filterState](cycle, preFilterKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	spot := offering.IsSpot(info.Node())
	switch {
	case s.admits(spot):
		return nil
	case !spot:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonRequire)
	case s.rules.Tolerance == v1alpha1.SpotNever:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonNever)
	default:
		return fwk.NewStatus(fwk.UnschedulableAndUnresolvable, ReasonShare)
	}
}

// scoreState is what Score needs of the pod.
type scoreState struct {
	tolerance v1alpha1.SpotTolerance
	demand    demand.Resources
	pools     map[offering.Pool]int32
	spot      int32 // replicas of the workload on spot
}

// Clone returns the state itself: it is not written to after PreScore.
func (s *scoreState) Clone() fwk.StateData { return s }

// PreScore computes what the pod is expected to ask for and where the spot replicas of its workload are.
func (p *Plugin) PreScore(_ context.Context, cycle fwk.CycleState, pod *corev1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	filtered, err := read[*filterState](cycle, preFilterKey)
	if err != nil {
		filtered = p.open(pod) // the profile has the plugin's PreFilter disabled
	}
	s := &scoreState{tolerance: filtered.rules.Tolerance, demand: p.feed.Demand.Expected(pod)}
	if owner, owned := demand.OwnerOf(pod); owned && p.weights.spread > 0 && filtered.admits(true) {
		s.pools, s.spot = p.feed.Replicas.Pools(owner)
	}
	p.capacities.Begin(p.handle.SnapshotSharedLister().NodeInfos())
	cycle.Write(preScoreKey, s)
	return nil
}

// Score returns the pod's cost on the node as a raw score. It takes constant time and allocates nothing, but for a node that has
// changed since it was scored last.
func (p *Plugin) Score(_ context.Context, cycle fwk.CycleState, _ *corev1.Pod, info fwk.NodeInfo) (int64, *fwk.Status) {
	s, err := read[*scoreState](cycle, preScoreKey)
	if err != nil {
		return 0, fwk.AsStatus(err)
	}
	return p.offerOf(s, info).cost(p.weights, s.tolerance), nil
}

// capacity is what a node was bought as.
type capacity struct {
	offer
	pool offering.Pool
}

func capacityOf(info fwk.NodeInfo, _ struct{}) capacity {
	node := info.Node()
	c := capacity{pool: offering.PoolOf(node)}
	c.spot = offering.IsSpot(node)
	c.price, c.known = offering.Price(node)
	c.risk, _ = offering.Risk(node)
	return c
}

func (p *Plugin) offerOf(s *scoreState, info fwk.NodeInfo) offer {
	c := p.capacities.Of(info, struct{}{})
	o, allocatable := c.offer, info.GetAllocatable()
	o.share = share(s.demand, allocatable.GetMilliCPU(), allocatable.GetMemory())
	if o.spot && s.spot > 0 {
		o.crowding = float64(s.pools[c.pool]) / float64(s.spot)
	}
	return o
}

// ScoreExtensions returns the plugin itself.
func (p *Plugin) ScoreExtensions() fwk.ScoreExtensions { return p }

// NormalizeScore turns costs into scores. The node that was planned for the pod wins.
func (p *Plugin) NormalizeScore(_ context.Context, cycle fwk.CycleState, pod *corev1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	s, err := read[*scoreState](cycle, preScoreKey)
	if err != nil {
		return fwk.AsStatus(err)
	}
	normalize(scores, s.tolerance, pod.Status.NominatedNodeName)
	return nil
}

// Reserve counts the pod where it is about to go, so that the next replica sees it.
func (p *Plugin) Reserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, nodeName string) *fwk.Status {
	if owner, owned := demand.OwnerOf(pod); owned {
		p.feed.Replicas.Assume(pod.UID, owner, nodeName)
	}
	return nil
}

// Unreserve takes back what Reserve did.
func (p *Plugin) Unreserve(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, _ string) {
	p.feed.Replicas.Release(pod.UID)
}

// PostBind counts where pods were put.
func (p *Plugin) PostBind(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, nodeName string) {
	if p.nodes == nil {
		return
	}
	kind := "other"
	if node, err := p.nodes.Get(nodeName); err == nil && offering.IsSpot(node) {
		kind = "spot"
	}
	p.feed.Metrics.Spot.WithLabelValues(p.handle.ProfileName(), string(p.rulesOf(pod).Tolerance), kind).Inc()
}

func read[S fwk.StateData](cycle fwk.CycleState, key fwk.StateKey) (S, error) {
	var none S
	data, err := cycle.Read(key)
	if err != nil {
		return none, fmt.Errorf("reading %q from cycle state, %w", key, err)
	}
	s, ok := data.(S)
	if !ok {
		return none, fmt.Errorf("state of %q is a %T", key, data)
	}
	return s, nil
}
