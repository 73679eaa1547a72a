package policy

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Deferred says why a workload's pods are never replaced for a recommendation, or "" if they may be. A new pod could
// not start beside the old one, or the kind has an update mechanism of its own; rollouts says that a Rollout may be restarted all the
// same.
func Deferred(kind string, template corev1.PodSpec, rollouts bool) string {
	switch kind {
	case "DaemonSet":
		return "a DaemonSet is not restarted for a recommendation"
	case "Rollout":
		if !rollouts {
			return "a Rollout has its own update mechanism (see restartRollouts of the policy)"
		}
	case "Job", "CronJob":
		return "a run is not restarted for a recommendation"
	}
	if template.HostNetwork {
		return "the pods use the host's network"
	}
	if a := template.Affinity; a != nil && a.PodAntiAffinity != nil {
		for _, term := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
			if term.TopologyKey == corev1.LabelHostname {
				return "the pods require anti-affinity by " + corev1.LabelHostname
			}
		}
	}
	return ""
}

// PodLevel tells whether a pod has requests or limits of its own beside those of its containers: what the containers ask for is then
// not what counts.
func PodLevel(template corev1.PodSpec) bool {
	return template.Resources != nil && (len(template.Resources.Requests) > 0 || len(template.Resources.Limits) > 0)
}

// Priority classes that Kubernetes keeps for what a cluster or a node cannot do without.
const (
	clusterCritical = "system-cluster-critical"
	nodeCritical    = "system-node-critical"
)

// ReviewOnly says why a workload is never changed unattended, or "": the cluster depends on it, or it uses accelerators,
// where the node is what costs and a restart is dear.
func ReviewOnly(template corev1.PodSpec) string {
	if c := template.PriorityClassName; c == clusterCritical || c == nodeCritical {
		return "the workload is " + c
	}
	for _, containers := range [][]corev1.Container{template.Containers, template.InitContainers} {
		for _, c := range containers {
			for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
				for _, name := range sortedKeys(list) {
					if q := list[name]; q.Sign() > 0 && accelerator(name) {
						return "the workload uses " + string(name)
					}
				}
			}
		}
	}
	if len(template.ResourceClaims) > 0 {
		return "the workload claims devices"
	}
	return ""
}

// accelerator tells whether an extended resource is a GPU or the like: all vendors use a name of this shape.
func accelerator(name corev1.ResourceName) bool {
	domain, resource, ok := strings.Cut(string(name), "/")
	if !ok {
		return false
	}
	if strings.Contains(resource, "gpu") || strings.Contains(resource, "tpu") || strings.HasPrefix(resource, "mig-") {
		return true
	}
	return slices.Contains([]string{"aws.amazon.com", "habana.ai", "cloud-tpus.google.com"}, domain)
}

// Order sorts pods for update: the newest first; pods that are going, preempted, finished or not scheduled are left out.
func Order(pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range pods {
		if p.DeletionTimestamp.IsZero() && p.Spec.NodeName != "" && !finished(p) && !preempted(p) {
			out = append(out, p)
		}
	}
	slices.SortStableFunc(out, func(a, b *corev1.Pod) int {
		if c := b.CreationTimestamp.Compare(a.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

func finished(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// preempted tells whether something else is about to take the pod down.
func preempted(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue
	})
}
