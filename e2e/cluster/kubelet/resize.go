package kubelet

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	resourcehelper "k8s.io/component-helpers/resource"
	v1qos "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
)

const (
	// resizeRetry is between tries to actuate a resize that failed: the pod worker's backOffPeriod.
	resizeRetry = 10 * time.Second
	// pendingRetry is between tries to allocate deferred resizes when nothing on the node changes (retryDelay of
	// pkg/kubelet/allocation).
	pendingRetry = 3 * time.Minute
)

// resizeConditions are the pod conditions of a resize, as the kubelet's status manager keeps them.
type resizeConditions struct {
	pending, inProgress *corev1.PodCondition
}

func (c *resizeConditions) list() []corev1.PodCondition {
	var conditions []corev1.PodCondition
	for _, condition := range []*corev1.PodCondition{c.pending, c.inProgress} {
		if condition != nil {
			conditions = append(conditions, *condition)
		}
	}
	return conditions
}

// deferred reports whether a resize waits for room.
func (c *resizeConditions) deferred() bool {
	return c.pending != nil && c.pending.Reason == corev1.PodReasonDeferred
}

// setPending records that a resize cannot be allocated, and reports whether that is news.
func (c *resizeConditions) setPending(v verdict, generation int64, now time.Time) bool {
	reason := v.reason
	if reason != corev1.PodReasonInfeasible {
		reason = corev1.PodReasonDeferred
	}
	before := c.pending
	c.pending = resizeCondition(corev1.PodResizePending, before, reason, v.message, generation, now)
	return before == nil || before.Reason != reason || before.ObservedGeneration != generation
}

// allocate records that a resize was allocated and is to be actuated: errors of an earlier one are forgotten.
func (c *resizeConditions) allocate(generation int64, now time.Time) {
	c.pending = nil
	c.inProgress = resizeCondition(corev1.PodResizeInProgress, nil, "", "", generation, now)
}

// fail records why actuation failed and reports whether that is news. The observed generation stays the one allocated.
func (c *resizeConditions) fail(message string, generation int64, now time.Time) bool {
	before := c.inProgress
	if before != nil {
		generation = before.ObservedGeneration
	}
	c.inProgress = resizeCondition(corev1.PodResizeInProgress, before, corev1.PodReasonError, message, generation, now)
	return before == nil || before.Reason != c.inProgress.Reason || before.Message != message
}

func resizeCondition(kind corev1.PodConditionType, old *corev1.PodCondition, reason, message string, generation int64, now time.Time) *corev1.PodCondition {
	changed := apiTime(now)
	condition := &corev1.PodCondition{
		Type: kind, Status: corev1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: generation, LastProbeTime: changed, LastTransitionTime: changed,
	}
	if old != nil && old.Reason == reason {
		condition.LastTransitionTime = old.LastTransitionTime
		if old.Message == message && old.ObservedGeneration == generation {
			condition.LastProbeTime = old.LastProbeTime // nothing new: no write for the probe time alone
		}
	}
	return condition
}

// pendingResize is a resize that waits for its allocation, with what decides its turn.
type pendingResize struct {
	pod       *corev1.Pod // as wanted
	allocated *corev1.Pod
	since     *metav1.Time // of its pending condition; nil when it has none yet
}

// sortPendingResizes puts resizes in the order in which the kubelet tries them (sortPendingResizes in
// pkg/kubelet/allocation): those that do not increase requests, then by priority, then Guaranteed before others, then
// those pending longest.
func sortPendingResizes(pending []pendingResize) {
	slices.SortStableFunc(pending, func(a, b pendingResize) int {
		if d := preferTrue(!increases(a), !increases(b)); d != 0 {
			return d
		}
		if pa, pb := priorityOf(a.pod), priorityOf(b.pod); pa != pb {
			return preferTrue(pa > pb, pb > pa)
		}
		if d := preferTrue(v1qos.GetPodQOS(a.pod) == corev1.PodQOSGuaranteed, v1qos.GetPodQOS(b.pod) == corev1.PodQOSGuaranteed); d != 0 {
			return d
		}
		if a.since == nil || b.since == nil {
			return preferTrue(a.since != nil, b.since != nil)
		}
		return a.since.Compare(b.since.Time)
	})
}

func increases(p pendingResize) bool {
	from := resourcehelper.PodRequests(p.allocated, resourcehelper.PodResourcesOptions{})
	to := resourcehelper.PodRequests(p.pod, resourcehelper.PodResourcesOptions{})
	return to.Memory().Cmp(*from.Memory()) > 0 || to.Cpu().Cmp(*from.Cpu()) > 0
}

func preferTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

func priorityOf(pod *corev1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// memoryUse is what the running containers of a pod use, in bytes.
type memoryUse struct {
	pod        int64
	containers map[string]int64
}

// checkLimitDecrease returns the error with which the kubelet refuses to actuate memory limits below current usage
// (validateMemoryResizeAction in pkg/kubelet/kuberuntime), nil if all may be set. Only running containers that are resized without a
// restart are in use.containers.
func checkLimitDecrease(pod *corev1.Pod, from, to resources, use memoryUse) error {
	var errs []error
	if now, was := podMemoryLimit(to.applyTo(pod)), podMemoryLimit(from.applyTo(pod)); now != 0 && (was == 0 || now < was) && use.pod >= now {
		errs = append(errs, fmt.Errorf("attempting to set pod memory limit (%d) below current usage (%d)", now, use.pod))
	}
	check := func(name string, was, now int64) {
		if now == 0 || (was != 0 && now >= was) {
			return
		}
		if used, running := use.containers[name]; running && used >= now {
			// The real message, too, gives the pod's usage here.
			errs = append(errs, fmt.Errorf("attempting to set container %q memory limit (%d) below current usage (%d)", name, now, use.pod))
		}
	}
	for i := range pod.Spec.InitContainers {
		check(pod.Spec.InitContainers[i].Name, memoryLimit(from.init[i]), memoryLimit(to.init[i]))
	}
	for i := range pod.Spec.Containers {
		check(pod.Spec.Containers[i].Name, memoryLimit(from.regular[i]), memoryLimit(to.regular[i]))
	}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return fmt.Errorf("cannot decrease memory limits: %w", err)
	}
	return nil
}
