package plan

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/plan/dump"
)

// Annotations by which pods ask not to be moved.
const (
	annotationDoNotDisrupt = "karpenter.sh/do-not-disrupt"
	annotationSafeToEvict  = "cluster-autoscaler.kubernetes.io/safe-to-evict"
)

// Reasons of blockers.
const (
	BlockerDoNotDisrupt       = "doNotDisrupt"
	BlockerNoController       = "noController"
	BlockerBudgetExhausted    = "budgetExhausted"
	BlockerLocalStorage       = "localStorage"
	BlockerStrictAntiAffinity = "strictAntiAffinity"
)

// obstacle is a kind of blocker.
type obstacle struct {
	reason, description, remedy string
	// forbids says that the pod is not moved; other obstacles only make it costly or the plan larger.
	forbids bool
	holds   func(*cluster, *pod) bool
}

// obstacles, the firmest first.
func obstacles() []obstacle {
	return []obstacle{
		{
			BlockerDoNotDisrupt, "ask not to be moved: " + annotationDoNotDisrupt + ", or " + annotationSafeToEvict + ": \"false\"",
			"drop the annotation where a restart is harmless, or wait until the pods finish", true,
			func(_ *cluster, p *pod) bool {
				return p.Annotations[annotationDoNotDisrupt] == "true" || p.Annotations[annotationSafeToEvict] == "false"
			},
		},
		{
			BlockerBudgetExhausted, "have a PodDisruptionBudget that allows no disruption now",
			"run more replicas, or set maxUnavailable to 1 or more", true,
			(*cluster).budgetExhausted,
		},
		{
			BlockerNoController, "have no controller: nothing makes them anew elsewhere",
			"run them from a Deployment, StatefulSet or Job", true,
			func(_ *cluster, p *pod) bool { return controllerKind(p.Pod) == "" },
		},
		{
			BlockerLocalStorage, "have data in emptyDir or hostPath, lost when they move; Cluster Autoscaler does not move them",
			"annotate " + annotationSafeToEvict + ": \"true\" where the data can go", false,
			func(_ *cluster, p *pod) bool {
				return p.Annotations[annotationSafeToEvict] != "true" && slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
					return v.EmptyDir != nil || v.HostPath != nil
				})
			},
		},
		{
			BlockerStrictAntiAffinity, "refuse a node with their own kind: each of a workload's needs a node of its own",
			"prefer instead of require, or spread over zones", false,
			func(_ *cluster, p *pod) bool { return refusesItself(p.Pod) },
		},
	}
}

// refusesItself says whether a pod requires that none of its own labels is on the same node.
func refusesItself(p *corev1.Pod) bool {
	if p.Spec.Affinity == nil || p.Spec.Affinity.PodAntiAffinity == nil {
		return false
	}
	for _, term := range p.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if term.TopologyKey != corev1.LabelHostname {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(term.LabelSelector)
		if err == nil && selector.Matches(labels.Set(p.Labels)) {
			return true
		}
	}
	return false
}

// budget is a PodDisruptionBudget that allows no disruption now.
type budget struct {
	namespace string
	selector  labels.Selector
}

// newBudgets keeps the budgets that are used up.
func (c *cluster) newBudgets(objects *dump.Objects) []budget {
	var out []budget
	for _, b := range objects.Budgets {
		if b.Status.ExpectedPods == 0 || b.Status.DisruptionsAllowed > 0 {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			c.notef("PodDisruptionBudget %s/%s has a selector that cannot be read: %v", b.Namespace, b.Name, err)
			continue
		}
		out = append(out, budget{namespace: b.Namespace, selector: selector})
	}
	return out
}

func (c *cluster) budgetExhausted(p *pod) bool {
	return slices.ContainsFunc(c.budgets, func(b budget) bool {
		return b.namespace == p.Namespace && b.selector.Matches(labels.Set(p.Labels))
	})
}

// blockers counts the pods on nodes to be replaced that stand in the way, and notes those that must not be moved.
func (c *cluster) blockers() []Blocker {
	var out []Blocker
	for _, o := range obstacles() {
		b := Blocker{Reason: o.reason, Description: o.description, Remedy: o.remedy}
		nodes := map[*node]bool{}
		for _, p := range c.pods {
			if p.role != movable || p.node == nil || p.node.keep != "" || !o.holds(c, p) {
				continue
			}
			b.Pods++
			if b.Example == "" {
				b.Example = p.Namespace + "/" + p.Name
			}
			if o.forbids {
				c.blocked[p] = true
			}
			if !nodes[p.node] {
				nodes[p.node] = true
				b.Nodes++
				if !math.IsNaN(p.node.price) {
					b.PricePerHour += p.node.price
				}
			}
		}
		if b.Pods > 0 {
			b.PricePerHour = round(b.PricePerHour)
			out = append(out, b)
		}
	}
	return out
}
