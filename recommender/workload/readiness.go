package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// readiness answers with the replicas wanted and, where the workload is not settled, the reason.

func deploymentReadiness(d *appsv1.Deployment) (replicas int32, notReady string) {
	want := valueOr(d.Spec.Replicas, 1)
	s := d.Status
	switch {
	case d.Spec.Paused:
		return want, "its rollout is paused"
	case s.ObservedGeneration < d.Generation:
		return want, "its newest generation has not been observed"
	case s.UpdatedReplicas < want || s.Replicas > want:
		return want, fmt.Sprintf("a rollout is under way: %d of %d replicas updated, %d in all", s.UpdatedReplicas, want, s.Replicas)
	case s.AvailableReplicas < want:
		return want, fmt.Sprintf("%d of %d replicas available", s.AvailableReplicas, want)
	}
	return want, ""
}

func statefulSetReadiness(s *appsv1.StatefulSet) (replicas int32, notReady string) {
	want := valueOr(s.Spec.Replicas, 1)
	partitioned := s.Spec.UpdateStrategy.RollingUpdate != nil && valueOr(s.Spec.UpdateStrategy.RollingUpdate.Partition, 0) > 0
	onDelete := s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType
	switch {
	case s.Status.ObservedGeneration < s.Generation:
		return want, "its newest generation has not been observed"
	case !onDelete && !partitioned && s.Status.CurrentRevision != s.Status.UpdateRevision:
		return want, "a rollout is under way"
	case s.Status.ReadyReplicas < want:
		return want, fmt.Sprintf("%d of %d replicas ready", s.Status.ReadyReplicas, want)
	}
	return want, ""
}

func daemonSetReadiness(d *appsv1.DaemonSet) (replicas int32, notReady string) {
	want := d.Status.DesiredNumberScheduled
	onDelete := d.Spec.UpdateStrategy.Type == appsv1.OnDeleteDaemonSetStrategyType
	switch {
	case d.Status.ObservedGeneration < d.Generation:
		return want, "its newest generation has not been observed"
	case !onDelete && d.Status.UpdatedNumberScheduled < want:
		return want, fmt.Sprintf("a rollout is under way: %d of %d pods updated", d.Status.UpdatedNumberScheduled, want)
	case d.Status.NumberReady < want:
		return want, fmt.Sprintf("%d of %d pods ready", d.Status.NumberReady, want)
	}
	return want, ""
}

func replicaSetReadiness(r *appsv1.ReplicaSet) (replicas int32, notReady string) {
	want := valueOr(r.Spec.Replicas, 1)
	switch {
	case r.Status.ObservedGeneration < r.Generation:
		return want, "its newest generation has not been observed"
	case r.Status.ReadyReplicas < want:
		return want, fmt.Sprintf("%d of %d replicas ready", r.Status.ReadyReplicas, want)
	}
	return want, ""
}

// podsReadiness judges a workload by its pods alone: every scheduled pod must be Ready.
func podsReadiness(pods []*corev1.Pod) (replicas int32, notReady string) {
	var waiting int
	for _, p := range pods {
		if !PodReady(p) {
			waiting++
		}
	}
	if waiting > 0 {
		notReady = fmt.Sprintf("%d of %d pods ready", len(pods)-waiting, len(pods))
	}
	return int32(len(pods)), notReady //nolint:gosec // a workload has fewer than 2^31 pods
}

// PodReady says that the pod's Ready condition is True.
func PodReady(p *corev1.Pod) bool {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func valueOr(p *int32, otherwise int32) int32 {
	if p == nil {
		return otherwise
	}
	return *p
}
