package recommendation

import (
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/recommender/estimate"
)

// A kubelet says in the message of an evicted pod what was short and which containers used more of it than they asked for
// (evictionMessage in k8s.io/kubernetes/pkg/kubelet/eviction). Only these are a cause; a pod that was evicted for another's
// appetite names none.
const lowOnMemory = "The node was low on resource: memory."

// evictedAt is when a pod was evicted: false where its status does not say. The time must be the same at each look.
func evictedAt(pod *corev1.Pod) (time.Time, bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time, true
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if t := pod.Status.ContainerStatuses[i].State.Terminated; t != nil && !t.FinishedAt.IsZero() {
			return t.FinishedAt.Time, true
		}
	}
	return time.Time{}, false
}

// evictionMessage is what the kubelet said of an eviction. A pod whose containers end well within their grace is no failed pod: only
// its condition tells then.
func evictionMessage(pod *corev1.Pod) string {
	if pod.Status.Message != "" {
		return pod.Status.Message
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonTerminationByKubelet {
			return c.Message
		}
	}
	return ""
}

// memoryOnEviction is what a container used when its pod was evicted under memory pressure that the container had a part in.
func memoryOnEviction(pod *corev1.Pod, container string) (bytes float64, ok bool) {
	message := evictionMessage(pod)
	if !strings.HasPrefix(message, lowOnMemory) {
		return 0, false
	}
	said := regexp.MustCompile(`Container ` + regexp.QuoteMeta(container) + ` was using ([0-9A-Za-z.]+), request is [0-9A-Za-z.]+, has larger consumption of memory`).
		FindStringSubmatch(message)
	if said == nil {
		return 0, false
	}
	q, err := resource.ParseQuantity(said[1])
	if err != nil || q.Sign() <= 0 {
		return 0, false
	}
	return q.AsApproximateFloat64(), true
}

// evicted hands evictions under memory pressure to the store and says whether any was new.
func (r *Reconciler) evicted(v *view) bool {
	fresh := false
	for _, pod := range v.workload.Evicted {
		at, ok := evictedAt(pod)
		if !ok {
			continue
		}
		for _, c := range pod.Spec.Containers {
			if !v.workload.Ours(c.Name) {
				continue
			}
			used, ok := memoryOnEviction(pod, c.Name)
			if !ok {
				continue
			}
			key := estimate.Key{Namespace: v.key.Namespace, Kind: v.key.Kind, Name: v.key.Name, Container: v.workload.Group(c.Name)}
			if !r.Store.Evicted(key, at, used) {
				continue
			}
			fresh = true
			r.Recorder.Eventf(v.scaler, pod, corev1.EventTypeWarning, "EvictedUnderMemoryPressure", "Recommend",
				"container %s of pod %s used %s when it was evicted under memory pressure at %s; memory stays above that for 8 h",
				c.Name, pod.Name, resource.NewQuantity(int64(used), resource.BinarySI), at.UTC().Format(time.RFC3339))
		}
	}
	return fresh
}

// surged looks for usage far above the recommendation and says whether a surge began.
func (r *Reconciler) surged(v *view) bool {
	rec := v.scaler.Status.Recommendation
	if rec == nil {
		return false
	}
	began := r.Store.Surge(v.key, &v.governing.Estimate, rec.Containers)
	for _, s := range began {
		r.Recorder.Eventf(v.scaler, nil, corev1.EventTypeNormal, "UsageSurged", "Recommend",
			"container %s uses %s of %s where %s is recommended; its recommendation follows faster until %s",
			s.Container, s.Usage.String(), s.Resource, s.Recommended.String(), s.Until.UTC().Format(time.RFC3339))
	}
	return len(began) > 0
}
