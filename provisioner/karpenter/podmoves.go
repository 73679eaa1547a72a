package karpenter

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	disruptionutils "sigs.k8s.io/karpenter/pkg/utils/disruption"

	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
)

// podMoves says what moving pods costs at one moment.
type podMoves struct {
	base    float64
	now     time.Time
	budgets map[string][]podBudget // by namespace
}

// podBudget is a PodDisruptionBudget that still allows evictions.
type podBudget struct {
	pods  labels.Selector
	slack int32
}

func (m *Machinery) podMoves(ctx context.Context) (*podMoves, error) {
	list := &policyv1.PodDisruptionBudgetList{}
	if err := m.cfg.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing poddisruptionbudgets, %w", err)
	}
	out := &podMoves{base: m.podMoveCost(), now: m.cfg.Clock.Now(), budgets: map[string][]podBudget{}}
	for i := range list.Items {
		b := &list.Items[i]
		// One that allows nothing keeps the node, which Karpenter has found already.
		if b.Status.DisruptionsAllowed <= 0 {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("parsing the selector of poddisruptionbudget %s/%s, %w", b.Namespace, b.Name, err)
		}
		out.budgets[b.Namespace] = append(out.budgets[b.Namespace], podBudget{selector, b.Status.DisruptionsAllowed})
	}
	return out, nil
}

func (m *Machinery) podMoveCost() float64 {
	if m.cfg.PodMoveCost == 0 {
		return consolidation.DefaultPodCost
	}
	return max(0, m.cfg.PodMoveCost)
}

// costs are what moving each pod of a node costs in USD, in their order.
func (p *podMoves) costs(ctx context.Context, node *packing.Node) []float64 {
	out := make([]float64, len(node.Pods))
	for i := range node.Pods {
		pod := &node.Pods[i]
		if pod.Daemon {
			continue
		}
		move := consolidation.PodMove{Base: p.base, Weight: disruptionutils.EvictionCost(ctx, pod.Pod), Slack: p.slack(pod.Pod), Now: p.now}
		out[i] = move.Cost(node, pod)
	}
	return out
}

// slack is how many evictions the tightest budget of a pod allows, or 0 where it has none.
func (p *podMoves) slack(pod *corev1.Pod) int32 {
	var least int32
	for _, b := range p.budgets[pod.Namespace] {
		if (least == 0 || b.slack < least) && b.pods.Matches(labels.Set(pod.Labels)) {
			least = b.slack
		}
	}
	return least
}
