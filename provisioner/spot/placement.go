package spot

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/placement"
)

// Placement says which nodes pods may use by what they tolerate of spot: their annotation, their namespace's, or the
// PlacementPolicy that matches. It resolves rules as SpotPreference does in the scheduler, so that both agree.
type Placement struct{ client client.Client }

// NewPlacement reads namespaces, policies, nodes and pods through a client that caches.
func NewPlacement(c client.Client) *Placement { return &Placement{client: c} }

// Terms returns, for each pod, what its node must be, as ORed terms; nil where anything will do. Replicas beyond the share of
// spot that a workload allows are kept off it in the order of the pods.
func (p *Placement) Terms(ctx context.Context, pods []*corev1.Pod) ([][]corev1.NodeSelectorTerm, error) {
	policies, err := p.policies(ctx)
	if err != nil {
		return nil, err
	}
	counts := map[demand.Owner]*placement.Replicas{}
	out := make([][]corev1.NodeSelectorTerm, len(pods))
	for i, pod := range pods {
		ns := &corev1.Namespace{}
		if err := p.client.Get(ctx, client.ObjectKey{Name: pod.Namespace}, ns); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading namespace %q, %w", pod.Namespace, err)
		}
		rules := placement.Resolve(placement.Object{Labels: pod.Labels, Annotations: pod.Annotations},
			placement.Object{Labels: ns.Labels, Annotations: ns.Annotations}, policies, v1alpha1.SpotTolerate)
		if out[i], err = p.terms(ctx, pod, rules, counts); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *Placement) terms(ctx context.Context, pod *corev1.Pod, rules placement.Rules, counts map[demand.Owner]*placement.Replicas) ([]corev1.NodeSelectorTerm, error) {
	switch rules.Tolerance {
	case v1alpha1.SpotNever:
		return capacityType(corev1.NodeSelectorOpNotIn), nil
	case v1alpha1.SpotRequire:
		return capacityType(corev1.NodeSelectorOpIn), nil
	case v1alpha1.SpotTolerate, v1alpha1.SpotPrefer:
	}
	owner, owned := demand.OwnerOf(pod)
	if !rules.Limited() || !owned {
		return nil, nil
	}
	if pod.Spec.NodeName != "" {
		// A replica that moves stays on the side it is on, so that a move never changes the share.
		spot, err := p.onSpot(ctx, pod)
		if err != nil || spot {
			return nil, err
		}
		return capacityType(corev1.NodeSelectorOpNotIn), nil
	}
	have := counts[owner]
	if have == nil {
		var err error
		if have, err = p.replicas(ctx, owner); err != nil {
			return nil, err
		}
		counts[owner] = have
	}
	if open, _ := rules.SpotOpen(*have); open {
		have.Spot++
		return nil, nil
	}
	have.OnDemand++
	return capacityType(corev1.NodeSelectorOpNotIn), nil
}

func capacityType(op corev1.NodeSelectorOperator) []corev1.NodeSelectorTerm {
	return []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
		Key: karpv1.CapacityTypeLabelKey, Operator: op, Values: []string{karpv1.CapacityTypeSpot},
	}}}}
}

func (p *Placement) policies(ctx context.Context) ([]placement.Policy, error) {
	list := &v1alpha1.PlacementPolicyList{}
	if err := p.client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing placementpolicies, %w", err)
	}
	var out []placement.Policy
	for i := range list.Items {
		policy, err := placement.Parse(&list.Items[i])
		if err != nil {
			log.FromContext(ctx).Error(err, "ignoring a placementpolicy")
			continue
		}
		out = append(out, policy)
	}
	placement.Sort(out)
	return out, nil
}

// replicas counts the live pods of one workload.
func (p *Placement) replicas(ctx context.Context, owner demand.Owner) (*placement.Replicas, error) {
	list := &corev1.PodList{}
	if err := p.client.List(ctx, list, client.InNamespace(owner.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing pods of namespace %q, %w", owner.Namespace, err)
	}
	out := &placement.Replicas{}
	for i := range list.Items {
		pod := &list.Items[i]
		if o, ok := demand.OwnerOf(pod); !ok || o != owner {
			continue
		}
		if !pod.DeletionTimestamp.IsZero() || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		out.Total++
		if pod.Spec.NodeName == "" {
			continue
		}
		spot, err := p.onSpot(ctx, pod)
		if err != nil {
			return nil, err
		}
		if spot {
			out.Spot++
		} else {
			out.OnDemand++
		}
	}
	return out, nil
}

func (p *Placement) onSpot(ctx context.Context, pod *corev1.Pod) (bool, error) {
	node := &corev1.Node{}
	if err := p.client.Get(ctx, client.ObjectKey{Name: pod.Spec.NodeName}, node); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("reading node %q, %w", pod.Spec.NodeName, err))
	}
	return offering.IsSpot(node), nil
}
