package karpenter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/succession"
)

// successors is the plan of a node for those of the displaced pods that a move puts there. It reports false when none of them will
// have a successor.
func (m *Machinery) successors(move *consolidation.Move, pods []int) (succession.Plan, bool) {
	displaced := make([]succession.Displaced, 0, len(pods))
	for _, i := range pods {
		if p := &move.Pods[i]; !isVirtual(p.Pod) {
			displaced = append(displaced, succession.Displaced{Pod: p.Pod, Requests: requests(p)})
		}
	}
	return succession.For(m.cfg.Clock.Now(), move.Remove, displaced)
}

// planSuccessors writes plans on nodes that stay, beside those that are there. Without them pods go where there is room, so that a
// failure is no reason not to carry the move out.
func (m *Machinery) planSuccessors(ctx context.Context, s *Snapshot, plans map[string][]succession.Plan) {
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		var object client.Object = &karpv1.NodeClaim{}
		object.SetName(name)
		var before string
		if n := s.states[name]; n != nil {
			before = n.Annotations()[v1alpha1.PlannedSuccessorsAnnotation]
			switch {
			case n.Node != nil:
				object = &corev1.Node{}
				object.SetName(n.Node.Name)
			case n.NodeClaim != nil:
				object.SetName(n.NodeClaim.Name)
			}
		}
		if err := m.writeSuccessors(ctx, object, before, plans[name]); err != nil {
			log.FromContext(ctx).Error(err, "writing which pods are planned on a node", "node", name)
		}
	}
}

func (m *Machinery) writeSuccessors(ctx context.Context, object client.Object, before string, plans []succession.Plan) error {
	known, err := succession.Parse(before)
	if err != nil {
		log.FromContext(ctx).Error(err, "replacing what is planned on a node", "node", object.GetName())
	}
	value, err := succession.Encode(append(known, plans...), m.cfg.Clock.Now())
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1alpha1.PlannedSuccessorsAnnotation: value}}})
	if err != nil {
		return fmt.Errorf("encoding patch, %w", err)
	}
	return client.IgnoreNotFound(m.cfg.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)))
}

// opening is a place on a node that stays, and the nodes whose pods have their successors there.
type opening struct {
	succession.Place
	node *packing.Node
	from sets.Set[string]
}

// succeed puts pods where a consolidation planned them: those that wait onto the node to which they are led, and those whose
// successors are still to come onto the node that is to be kept free for them.
func (m *Machinery) succeed(s *Snapshot, states state.StateNodes, unlaunched []*karpv1.NodeClaim) {
	openings := m.openings(s, states, unlaunched)
	if len(openings) == 0 {
		return
	}
	bought := boughtFor(states, unlaunched)
	free := rooms{}
	take := func(pod packing.Pod) *packing.Node {
		owner, ok := succession.OwnerOf(pod.Pod)
		if !ok || bought.Has(string(pod.UID)) {
			return nil
		}
		for _, o := range openings[owner] {
			runs := pod.Spec.NodeName != ""
			if o.Pods == 0 || runs && !o.from.Has(pod.Spec.NodeName) {
				continue
			}
			if runs {
				pod.Requests = o.Requests
			}
			if free.put(o.node, pod) {
				o.Pods--
				return o.node
			}
		}
		return nil
	}
	var pods []packing.Pod
	pending := 0
	for i, pod := range s.Problem.Pods {
		if s.IsHeadroom(i) {
			pods = append(pods, pod)
			continue
		}
		node := take(pod)
		switch {
		case node == nil:
			pods = append(pods, pod)
			if i < s.Pending {
				pending++
			}
		case i < s.Pending:
			s.Kept = append(s.Kept, Kept{Pod: pod.Pod, Node: node.Name, Succeeds: true})
		default:
			s.Expected = append(s.Expected, Kept{Pod: pod.Pod, Node: node.Name})
		}
	}
	s.Problem.Pods, s.Pending = pods, pending
	s.Moving = slices.DeleteFunc(s.Moving, func(pod packing.Pod) bool {
		node := take(pod)
		if node != nil {
			s.Expected = append(s.Expected, Kept{Pod: pod.Pod, Node: node.Name})
		}
		return node != nil
	})
}

// openings are the places of plans that hold, by the owner of the pods that they are for.
func (m *Machinery) openings(s *Snapshot, states state.StateNodes, unlaunched []*karpv1.NodeClaim) map[types.UID][]*opening {
	written := map[string]string{}
	of := make(map[string]succession.State, len(states))
	for _, n := range states {
		of[n.Name()] = succession.Stays
		if n.MarkedForDeletion() || slices.ContainsFunc(n.Taints(), func(t corev1.Taint) bool { return t.MatchTaint(&karpv1.DisruptedNoScheduleTaint) }) {
			of[n.Name()] = succession.Going
		}
		written[n.Name()] = n.Annotations()[v1alpha1.PlannedSuccessorsAnnotation]
	}
	for _, nc := range unlaunched {
		written[nc.Name] = nc.Annotations[v1alpha1.PlannedSuccessorsAnnotation]
	}
	now := m.cfg.Clock.Now()
	out := map[types.UID][]*opening{}
	for i := range s.Problem.Nodes {
		node := &s.Problem.Nodes[i]
		plans, err := succession.Parse(written[node.Name])
		if err != nil {
			continue // the scheduler says so in its log
		}
		from := sets.New[string]()
		plans = slices.DeleteFunc(plans, func(p succession.Plan) bool {
			holds := m.departures.Holds(&p, now, func(name string) succession.State { return of[name] })
			if holds {
				from.Insert(p.From...)
			}
			return !holds
		})
		if len(plans) == 0 {
			continue
		}
		for _, place := range succession.Open(plans, podsOf(node)) {
			out[place.Owner] = append(out[place.Owner], &opening{Place: place, node: node, from: from})
		}
	}
	return out
}

func podsOf(node *packing.Node) func(yield func(*corev1.Pod) bool) {
	return func(yield func(*corev1.Pod) bool) {
		for i := range node.Pods {
			if !yield(node.Pods[i].Pod) {
				return
			}
		}
	}
}

// boughtFor are the UIDs of the pods for which claims were made. They have a node of their own, which the scheduler has them wait for.
func boughtFor(states state.StateNodes, unlaunched []*karpv1.NodeClaim) sets.Set[string] {
	out := sets.New[string]()
	add := func(nc *karpv1.NodeClaim) {
		if value := nc.Annotations[v1alpha1.PlannedPodsAnnotation]; value != "" {
			out.Insert(strings.Split(value, ",")...)
		}
	}
	for _, n := range states.Active() {
		if n.NodeClaim != nil && !n.Initialized() {
			add(n.NodeClaim)
		}
	}
	for _, nc := range unlaunched {
		add(nc)
	}
	return out
}
