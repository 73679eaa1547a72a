package resize

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// attend looks after the resizes of a workload that we asked for: it takes back what waits too long, what the node cannot give, and
// what led to an OOM kill. It returns how many are under way.
func (a *Applier) attend(ctx context.Context, r Request, out *Outcome) (flight int, err error) {
	for _, c := range r.Changes {
		record, ours := recordOf(c.Pod)
		if !ours || record.Outcome != "" || record.Boost {
			if underWay(c.Pod) { // somebody else's, not ours to take back; or ours, taken back a moment ago
				flight++
				if record.Outcome != "" {
					out.again(settle)
				}
			}
			continue
		}
		done, err := a.attendOne(ctx, r, c, record, out)
		if err != nil {
			return flight, err
		}
		if done { // what follows is decided once the node has noticed, which may wake nobody
			out.again(settle)
		} else if underWay(c.Pod) {
			flight++
		}
	}
	return flight, nil
}

func (a *Applier) attendOne(ctx context.Context, r Request, c Change, record Record, out *Outcome) (done bool, err error) {
	if kill := a.killed(c.Pod, record); kill != "" {
		return true, a.revert(ctx, r, c, record, kill, out)
	}
	if pending := condition(c.Pod, corev1.PodResizePending); pending != nil {
		waited := a.clock.Since(later(record.At, pending.LastTransitionTime.Time))
		switch {
		case pending.Reason == corev1.PodReasonInfeasible:
			return true, a.restore(ctx, r, c, record, out, v1alpha1.ReasonPodResizePending, "the node cannot give it: "+pending.Message)
		case waited >= a.options.DeferredDeadline:
			return true, a.restore(ctx, r, c, record, out, v1alpha1.ReasonPodResizePending,
				"the node has deferred it for "+waited.Round(time.Second).String()+": "+pending.Message)
		}
		out.again(a.options.DeferredDeadline - waited)
		return false, nil
	}
	if progress := condition(c.Pod, corev1.PodResizeInProgress); progress != nil && progress.Reason == corev1.PodReasonError {
		// Kubelet tries again by itself, for example until usage has fallen below a lower memory limit.
		waited := a.clock.Since(later(record.At, progress.LastTransitionTime.Time))
		if waited >= a.options.DeferredDeadline {
			return true, a.restore(ctx, r, c, record, out, v1alpha1.ReasonMemoryLimitCannotBeDecreased,
				"kubelet has failed for "+waited.Round(time.Second).String()+": "+progress.Message)
		}
		out.again(a.options.DeferredDeadline - waited)
	}
	return false, nil
}

// restore puts back what the pod had, so that its spec tells the scheduler, quota and HPA the truth.
func (a *Applier) restore(ctx context.Context, r Request, c Change, record Record, out *Outcome, reason v1alpha1.FallbackReason, why string) error {
	before, err := record.before()
	if err != nil {
		return err
	}
	if len(before) > 0 {
		if err := resources(ctx, a.client, c.Pod, before); err != nil && classify(err) == nil {
			return ignoreGone(err)
		}
	}
	record.Outcome, record.Reason = outcomeRestored, reason
	more := map[string]string{v1alpha1.RecommendationAnnotation: policy.Hash(before)}
	if record.Boost { // what was put back is the boost
		more = map[string]string{v1alpha1.StartupBoostAnnotation: v1alpha1.BoostActive}
	}
	if err := a.note(ctx, c.Pod, record, more); err != nil {
		return ignoreGone(err)
	}
	out.Resized++
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeWarning, "ResizeRestored", "Restore", "the former resources were put back: %s", why)
	a.recorder.Eventf(r.Scaler, c.Pod, corev1.EventTypeWarning, "ResizeRestored", "Restore", "pod %s: %s", c.Pod.Name, why)
	return nil
}

// revert gives a container that ran out of memory after a shrink what it had before. It asks no rate: every minute costs another kill.
func (a *Applier) revert(ctx context.Context, r Request, c Change, record Record, container string, out *Outcome) error {
	before, err := record.before()
	if err != nil {
		return err
	}
	if err := resources(ctx, a.client, c.Pod, before); err != nil && classify(err) == nil {
		return ignoreGone(err)
	}
	record.Outcome = outcomeReverted
	if err := a.note(ctx, c.Pod, record, map[string]string{v1alpha1.RecommendationAnnotation: policy.Hash(before)}); err != nil {
		return ignoreGone(err)
	}
	out.Resized++
	a.recorder.Eventf(c.Pod, r.Scaler, corev1.EventTypeWarning, "ResizeReverted", "Revert",
		"container %s was OOM killed after its memory was lowered; it has its former memory again", container)
	a.recorder.Eventf(r.Scaler, c.Pod, corev1.EventTypeWarning, "ResizeReverted", "Revert",
		"pod %s: container %s was OOM killed after its memory was lowered", c.Pod.Name, container)
	return nil
}

// killed names the container that was OOM killed after this resize lowered its memory, "" where there is none.
func (a *Applier) killed(pod *corev1.Pod, record Record) string {
	if a.clock.Since(record.At) > a.options.RevertWindow {
		return ""
	}
	before, err := record.before()
	if err != nil {
		return ""
	}
	for i := range pod.Spec.Containers {
		spec := &pod.Spec.Containers[i]
		old, ok := before[spec.Name]
		if !ok || !lower(old, spec.Resources) {
			continue
		}
		for _, t := range Terminations(pod, spec.Name) {
			if OOMKilled(t) && t.FinishedAt.After(record.At) {
				return spec.Name
			}
		}
	}
	return ""
}

func lower(before, now corev1.ResourceRequirements) bool {
	for _, pair := range [][2]corev1.ResourceList{{before.Requests, now.Requests}, {before.Limits, now.Limits}} {
		was, had := pair[0][corev1.ResourceMemory]
		is, has := pair[1][corev1.ResourceMemory]
		if had && has && is.Cmp(was) < 0 {
			return true
		}
	}
	return false
}

// Terminations of a container that the pod's status still shows: the present one and the last.
func Terminations(pod *corev1.Pod, container string) []*corev1.ContainerStateTerminated {
	var out []*corev1.ContainerStateTerminated
	for i := range pod.Status.ContainerStatuses {
		s := &pod.Status.ContainerStatuses[i]
		if s.Name != container {
			continue
		}
		for _, t := range []*corev1.ContainerStateTerminated{s.State.Terminated, s.LastTerminationState.Terminated} {
			if t != nil {
				out = append(out, t)
			}
		}
	}
	return out
}

// OOMKilled says that a container was killed for lack of memory. Exit code 137 is SIGKILL by anyone, so it counts only where the
// runtime gives no other reason.
func OOMKilled(t *corev1.ContainerStateTerminated) bool {
	return t.Reason == "OOMKilled" || t.ExitCode == 137 && t.Reason == ""
}

// underWay says that the pod was resized and its node has not carried it out.
func underWay(pod *corev1.Pod) bool {
	return condition(pod, corev1.PodResizePending) != nil || condition(pod, corev1.PodResizeInProgress) != nil ||
		pod.Status.ObservedGeneration > 0 && pod.Status.ObservedGeneration < pod.Generation
}

func condition(pod *corev1.Pod, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == t && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// describe writes deviations for people: "app cpu requests 1 → 250m, …".
func describe(deviations []policy.Deviation) string {
	parts := make([]string, 0, len(deviations))
	for _, d := range deviations {
		parts = append(parts, d.Container+" "+string(d.Resource)+" "+d.Field+" "+d.Current+" → "+d.Desired)
	}
	return strings.Join(parts, ", ")
}
