package karpenter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/state"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	podutils "sigs.k8s.io/karpenter/pkg/utils/pod"

	"supercargo.dev/provisioner/packing"
	"supercargo.dev/recommender/demand"
)

// ErrNotSynced means that the state in memory lacks nodes or claims that the API server has. Nothing may be decided on it:
// a node that is not seen looks like a node to buy, and its pods like pods that are gone.
var ErrNotSynced = errors.New("cluster state is not synced yet")

// Snapshot is the cluster at one instant, in the terms of packing.
type Snapshot struct {
	// Problem holds the pods to place, the nodes and claims that stay, and what the pools sell.
	Problem packing.Problem
	// Pending counts the pods at the head of Problem.Pods that wait for a node. Those behind run on nodes that are going.
	Pending int
	// Headroom counts the pods at the end of Problem.Pods that exist nowhere: room is kept for them by CapacityBuffers.
	Headroom int
	// Moving pods run on nodes that a consolidation gives up, and no place is kept for them; see Expected. Their places were found, and replacements launched, by the
	// search that decided it; packing them anew might find other places and buy another node.
	Moving []packing.Pod
	// Kept pods wait for a node that was planned for them before, by a consolidation that evicted what they succeed, or see
	// [Snapshot.Keep]. They are among the node's pods.
	Kept []Kept
	// Expected pods run on nodes that a consolidation gives up, and have a place for their successors. They are among the pods of
	// the node that has it.
	Expected []Kept

	pools  pools
	states map[string]*state.StateNode
}

// Kept is a pod and the node or claim of the problem that it waits for.
type Kept struct {
	Pod  *corev1.Pod
	Node string
	// Succeeds says that a consolidation planned it there, for a pod that it evicted.
	Succeeds bool
}

// Pod returns the pod at an index of Problem.Pods.
func (s *Snapshot) Pod(i int) *corev1.Pod { return s.Problem.Pods[i].Pod }

// State returns Karpenter's view of a node or claim of the snapshot, or nil where the cloud has not answered the claim yet.
func (s *Snapshot) State(name string) *state.StateNode { return s.states[name] }

// costAndDemand is what the nodes that stay cost in USD per hour, as far as prices are known, and what pods request, wherever
// they are: cores, and 8 GiB of memory as one, which is about what they cost.
func (s *Snapshot) costAndDemand() (cost, demand float64) {
	add := func(pods []packing.Pod) {
		for i := range pods {
			if !pods[i].Daemon {
				demand += pods[i].Requests.Cpu().AsApproximateFloat64() + pods[i].Requests.Memory().AsApproximateFloat64()/(8<<30)
			}
		}
	}
	for i := range s.Problem.Nodes {
		if p := s.Problem.Nodes[i].Price; !math.IsNaN(p) {
			cost += p
		}
		add(s.Problem.Nodes[i].Pods)
	}
	add(s.Problem.Pods)
	add(s.Moving)
	return cost, demand
}

// Snapshot shows the cluster: pending pods, pods on nodes that are going, nodes that stay, claims in flight and pools.
// It returns ErrNotSynced while the state in memory is behind the API server.
func (m *Machinery) Snapshot(ctx context.Context) (*Snapshot, error) {
	states := m.cluster.DeepCopyNodes()
	claims, unlaunched, err := m.claims(ctx)
	if err != nil {
		return nil, err
	}
	if err := m.synced(ctx, states, claims); err != nil {
		return nil, err
	}
	s := &Snapshot{states: map[string]*state.StateNode{}}
	if s.pools, err = m.pools(ctx, unlaunched); err != nil {
		return nil, err
	}
	// Nodes are read before pods: a pod that binds in between makes the plan undershoot, which the next round mends; the
	// other order would buy a node for a pod that has one.
	daemons, err := m.daemonPods(ctx)
	if err != nil {
		return nil, err
	}
	pending, err := m.pendingPods(ctx)
	if err != nil {
		return nil, err
	}
	consolidated, others := m.consolidated.split(states.Deleting())
	leaving, err := others.CurrentlyReschedulablePods(ctx, m.cfg.Client, m.cfg.Clock, m.cfg.Recorder)
	if err != nil {
		return nil, fmt.Errorf("listing pods on nodes that are going, %w", err)
	}
	moving, err := consolidated.CurrentlyReschedulablePods(ctx, m.cfg.Client, m.cfg.Clock, m.cfg.Recorder)
	if err != nil {
		return nil, fmt.Errorf("listing pods on nodes that are given up, %w", err)
	}
	spare := m.headroom(ctx)
	s.Pending, s.Headroom = len(pending), len(spare)
	s.Problem = packing.Problem{Pools: s.pools.sold, DaemonSets: daemons, Options: m.cfg.Packing}
	if s.Problem.Pods, err = m.toPlace(ctx, slices.Concat(pending, leaving, spare)); err != nil {
		return nil, err
	}
	if s.Moving, err = m.toPlace(ctx, moving); err != nil {
		return nil, err
	}
	for _, n := range states.Active() {
		node, err := m.node(ctx, n, daemons, s.pools)
		if err != nil {
			return nil, err
		}
		s.states[node.Name] = n
		s.Problem.Nodes = append(s.Problem.Nodes, node)
	}
	for _, nc := range unlaunched {
		s.Problem.Nodes = append(s.Problem.Nodes, inFlight(nc, s.pools, daemons))
	}
	if err := m.attach(ctx, &s.Problem); err != nil {
		return nil, err
	}
	sort.Slice(s.Problem.Nodes, func(i, j int) bool { return s.Problem.Nodes[i].Name < s.Problem.Nodes[j].Name })
	m.succeed(s, states, unlaunched)
	if s.Problem.Namespaces, err = m.namespaces(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// toPlace are pods that need a node, with what their volumes and their tolerance of spot demand of it.
func (m *Machinery) toPlace(ctx context.Context, pods []*corev1.Pod) ([]packing.Pod, error) {
	placements, err := m.cfg.Placement.Terms(ctx, pods)
	if err != nil {
		return nil, fmt.Errorf("reading what pods tolerate of spot, %w", err)
	}
	out := make([]packing.Pod, len(pods))
	for i, pod := range pods {
		volumes, err := m.volumes.GetRequirements(ctx, pod)
		if err != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("reading the zones of the volumes of pod %s/%s, %w", pod.Namespace, pod.Name, err)
		}
		out[i] = packing.Pod{
			Pod: pod, Requests: m.cfg.Demand(pod), Workload: workload(pod), NodeTerms: and(placements[i], terms(volumes)),
		}
		if err != nil {
			// Such a pod has no place, and must not keep the others from theirs. Pending ones were told why (pendingPods).
			log.FromContext(ctx).Error(err, "planning no place for a pod whose volumes cannot be read", "pod", client.ObjectKeyFromObject(pod))
			out[i].NodeTerms = noNode()
		}
		if out[i].Volumes, err = m.podVolumes(ctx, pod); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// noNode are terms that no node meets: one without expressions.
func noNode() []corev1.NodeSelectorTerm { return []corev1.NodeSelectorTerm{{}} }

// workload names what a pod is a replica of; empty for a pod of its own or of a DaemonSet.
func workload(pod *corev1.Pod) string {
	owner, ok := demand.OwnerOf(pod)
	if !ok || owner.Kind == "DaemonSet" || owner.Kind == "Node" {
		return ""
	}
	return owner.Kind + " " + owner.Namespace + "/" + owner.Name
}

// terms turns ORed requirements into ORed node selector terms. An alternative that demands nothing, such as that of a volume
// on a node's own disk, which the pod leaves behind, makes the others pointless: a term without expressions would match no node.
func terms(alternatives []karpsched.Requirements) []corev1.NodeSelectorTerm {
	var out []corev1.NodeSelectorTerm
	for _, reqs := range alternatives {
		var term corev1.NodeSelectorTerm
		for _, r := range reqs.NodeSelectorRequirements() {
			key := packing.VolumeTopologyKey(r.Key)
			term.MatchExpressions = append(term.MatchExpressions, corev1.NodeSelectorRequirement{Key: key, Operator: r.Operator, Values: r.Values})
		}
		if len(term.MatchExpressions) == 0 {
			return nil
		}
		sort.Slice(term.MatchExpressions, func(i, j int) bool { return term.MatchExpressions[i].Key < term.MatchExpressions[j].Key })
		out = append(out, term)
	}
	return out
}

// and combines two lists of ORed terms so that one of each must hold. An empty list demands nothing.
func and(a, b []corev1.NodeSelectorTerm) []corev1.NodeSelectorTerm {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]corev1.NodeSelectorTerm, 0, len(a)*len(b))
	for _, x := range a {
		for _, y := range b {
			out = append(out, corev1.NodeSelectorTerm{
				MatchExpressions: append(append([]corev1.NodeSelectorRequirement(nil), x.MatchExpressions...), y.MatchExpressions...),
				MatchFields:      append(append([]corev1.NodeSelectorRequirement(nil), x.MatchFields...), y.MatchFields...),
			})
		}
	}
	return out
}

// node is a node that stays, or a claim that the cloud has answered.
func (m *Machinery) node(ctx context.Context, n *state.StateNode, daemons []*corev1.Pod, pools pools) (packing.Node, error) {
	pods, err := n.Pods(ctx, m.cfg.Client)
	if err != nil {
		return packing.Node{}, fmt.Errorf("listing pods of node %q, %w", n.Name(), err)
	}
	node := packing.Node{Name: n.Name(), Labels: n.Labels(), Taints: n.Taints(), Allocatable: n.Allocatable(), Price: math.NaN()}
	if !n.Registered() {
		node.Labels = packing.WithOldNames(node.Labels)
	}
	for _, pod := range pods {
		if podutils.IsTerminal(pod) {
			continue
		}
		volumes, err := m.podVolumes(ctx, pod)
		if err != nil {
			return packing.Node{}, err
		}
		node.Pods = append(node.Pods, packing.Pod{
			Pod: pod, Requests: m.cfg.Demand(pod), Workload: workload(pod), Volumes: volumes, Daemon: podutils.IsOwnedByDaemonSet(pod) || podutils.IsOwnedByNode(pod),
		})
	}
	sort.Slice(node.Pods, func(i, j int) bool { return node.Pods[i].UID < node.Pods[j].UID })
	if !n.Initialized() {
		node.Daemons = missingDaemons(daemons, node.Labels, node.Taints, n.DaemonSetRequests())
	}
	if it, ok := pools.types[node.Labels[karpv1.NodePoolLabelKey]][node.Labels[corev1.LabelInstanceTypeStable]]; ok {
		if p, ok := it.OfferingPrice(node.Labels[corev1.LabelTopologyZone], node.Labels[karpv1.CapacityTypeLabelKey]); ok {
			node.Price = price(p)
		}
	}
	return node, nil
}

func (m *Machinery) namespaces(ctx context.Context) (map[string]map[string]string, error) {
	list := &corev1.NamespaceList{}
	if err := m.cfg.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing namespaces, %w", err)
	}
	out := make(map[string]map[string]string, len(list.Items))
	for i := range list.Items {
		out[list.Items[i].Name] = list.Items[i].Labels
	}
	return out, nil
}

func oneNode() *resource.Quantity { return resource.NewQuantity(1, resource.DecimalSI) }
