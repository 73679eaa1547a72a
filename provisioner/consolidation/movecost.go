package consolidation

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/provisioner/packing"
)

// SafeToEvictAnnotation is Cluster Autoscaler's word on a pod: "false" keeps its node, "true" says that moving it does no harm.
const SafeToEvictAnnotation = "cluster-autoscaler.kubernetes.io/safe-to-evict"

const (
	// recently is how long a pod counts as moved a short while ago: its cost is doubled when it has just started, and falls
	// evenly to what it is otherwise. It keeps the same pods from being moved several times an hour.
	recently = time.Hour
	// harmless is the share of its cost that a pod keeps which is marked as safe to evict. Its work still pauses.
	harmless = 0.1
)

// PodMove is what the cost of moving one pod depends on beside the pod itself.
type PodMove struct {
	// Base in USD is what moving an ordinary pod costs; 0 or less makes every pod free to move.
	Base float64
	// Weight multiplies it: 1 for an ordinary pod, more for one of high priority or deletion cost. Below 0 counts as 0.
	Weight float64
	// Slack is how many more evictions the tightest PodDisruptionBudget of the pod allows; 0 where it has none. Taking the
	// last one of a budget doubles the cost, taking one of ten adds a tenth.
	Slack int32
	// Now is the time at which ages are counted; zero leaves them out.
	Now time.Time
}

// Cost in USD of moving a pod away from a node. A Job's pod starts again from nothing, so it costs what its share of the node
// was paid for so far as well, unless it is marked as safe to evict.
func (m PodMove) Cost(node *packing.Node, pod *packing.Pod) float64 {
	if m.Base <= 0 {
		return 0
	}
	cost := m.Base * max(0, m.Weight)
	if m.Slack > 0 {
		cost *= 1 + 1/float64(m.Slack)
	}
	safe := pod.Annotations[SafeToEvictAnnotation] == "true"
	if started := pod.Status.StartTime; started != nil && !m.Now.IsZero() {
		age := max(0, m.Now.Sub(started.Time))
		cost *= 2 - min(1, age.Hours()/recently.Hours())
		if !safe && ofJob(pod.Pod) && node.Price > 0 {
			cost += age.Hours() * node.Price * share(node, pod)
		}
	}
	if safe {
		cost *= harmless
	}
	return cost
}

// ofJob tells whether a pod belongs to a Job, which runs it again from its beginning when it is evicted.
func ofJob(pod *corev1.Pod) bool {
	for i := range pod.OwnerReferences {
		if r := &pod.OwnerReferences[i]; r.Controller != nil && *r.Controller && r.Kind == "Job" {
			return true
		}
	}
	return false
}

// share of a node that a pod's requests take up, by the resource of which it takes most.
func share(node *packing.Node, pod *packing.Pod) float64 {
	most := 0.0
	for name, q := range pod.Requests {
		if has, ok := node.Allocatable[name]; ok && has.Sign() > 0 {
			most = max(most, q.AsApproximateFloat64()/has.AsApproximateFloat64())
		}
	}
	return min(1, most)
}

// HeldBy says which pod holds its node by Cluster Autoscaler's annotation, or "". Pods that end, or go with the node, hold nothing.
func HeldBy(pods []packing.Pod) string {
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || !moves(p) {
			continue
		}
		if p.Annotations[SafeToEvictAnnotation] == "false" {
			return fmt.Sprintf("pod %s/%s has the annotation %s: \"false\"", p.Namespace, p.Name, SafeToEvictAnnotation)
		}
	}
	return ""
}
