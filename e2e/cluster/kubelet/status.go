package kubelet

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	v1qos "k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	"k8s.io/kubernetes/pkg/kubelet/status"
	kubelettypes "k8s.io/kubernetes/pkg/kubelet/types"
	"k8s.io/kubernetes/pkg/kubelet/util/format"
)

// makeStatus returns the pod's status at now. What a kubelet does not own is as the API server has it.
func (p *pod) makeStatus(now time.Time) corev1.PodStatus {
	old := &p.api.Status
	s := *old.DeepCopy()
	s.QOSClass = v1qos.GetPodQOS(p.api)
	s.ObservedGeneration = podutil.CalculatePodStatusObservedGeneration(p.api)
	if p.rejected != nil {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, p.rejected.reason, "Pod was rejected: "+p.rejected.message
		return s
	}
	started := apiTime(p.startTime)
	s.StartTime = &started
	if p.host != "" {
		s.HostIP, s.HostIPs = p.host, []corev1.HostIP{{IP: p.host}}
	}
	if p.holdsSandbox(now) {
		s.PodIP, s.PodIPs = p.ip, []corev1.PodIP{{IP: p.ip}}
	}
	s.InitContainerStatuses, s.ContainerStatuses = nil, nil
	for _, c := range p.containers {
		if c.init {
			s.InitContainerStatuses = append(s.InitContainerStatuses, p.containerStatus(c, now))
		} else {
			s.ContainerStatuses = append(s.ContainerStatuses, p.containerStatus(c, now))
		}
	}
	if p.alloc.pod != nil {
		s.AllocatedResources = p.alloc.pod.Requests
		s.Resources = p.alloc.pod
	}
	s.Phase = p.phase()
	s.Reason, s.Message = "", ""
	if p.evicted != nil && s.Phase == corev1.PodFailed {
		// Where all containers end well, the real kubelet, too, calls an evicted pod Succeeded and gives no reason
		// (generateAPIPodStatus): only its DisruptionTarget condition tells.
		s.Reason, s.Message = p.evicted.reason, p.evicted.message
	}
	s.Conditions = p.conditions(&s, now)
	return s
}

// conditions are the kubelet's own conditions within those of others, which keep their order.
func (p *pod) conditions(s *corev1.PodStatus, now time.Time) []corev1.PodCondition {
	old := &p.api.Status
	all := append(slices.Clone(s.InitContainerStatuses), s.ContainerStatuses...)
	sandbox := corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionFalse}
	if p.holdsSandbox(now) {
		sandbox.Status = corev1.ConditionTrue
	}
	own := []corev1.PodCondition{sandbox}
	if !p.done {
		own = append(own, p.resize.list()...)
	}
	if p.evicted != nil && p.done { // not before its containers have ended
		own = append(own, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
			Reason: corev1.PodReasonTerminationByKubelet, Message: p.evicted.message,
		})
	}
	own = append(own,
		status.GeneratePodInitializedCondition(p.api, old, all, s.Phase),
		status.GeneratePodReadyCondition(p.api, old, old.Conditions, all, s.Phase),
		status.GenerateContainersReadyCondition(p.api, old, all, s.Phase),
	)
	for i := range own {
		c := &own[i]
		if c.Type == corev1.PodResizePending || c.Type == corev1.PodResizeInProgress {
			continue // dated by resizeConditions
		}
		c.ObservedGeneration = podutil.CalculatePodConditionObservedGeneration(old, p.api.Generation, c.Type)
		c.LastTransitionTime = apiTime(now)
		if _, before := podutil.GetPodConditionFromList(p.status.Conditions, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		} else if _, before := podutil.GetPodConditionFromList(old.Conditions, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	return mergeConditions(old.Conditions, own)
}

// mergeConditions puts a kubelet's conditions in the place of its earlier ones; those it no longer has go, except that
// PodScheduled is the scheduler's.
func mergeConditions(old, own []corev1.PodCondition) []corev1.PodCondition {
	merged := make([]corev1.PodCondition, 0, len(old)+len(own))
	for i := range old {
		kind := old[i].Type
		if j, mine := podutil.GetPodConditionFromList(own, kind); mine != nil {
			merged = append(merged, *mine)
			own = slices.Delete(slices.Clone(own), j, j+1)
		} else if kind == corev1.PodScheduled || !kubelettypes.PodConditionByKubelet(kind) {
			merged = append(merged, old[i])
		}
	}
	return append(merged, own...)
}

func (p *pod) containerStatus(c *container, now time.Time) corev1.ContainerStatus {
	spec := c.spec(p.api)
	isStarted := c.state == running
	s := corev1.ContainerStatus{
		Name: c.name, Image: spec.Image, RestartCount: c.restarts, ContainerID: c.id,
		Ready: c.ready(p.api, now), Started: &isStarted,
	}
	if c.started {
		s.ImageID = spec.Image
	}
	if c.last != nil {
		s.LastTerminationState.Terminated = c.last
	}
	allocated := c.of(p.alloc)
	s.AllocatedResources = allocated.Requests
	s.Resources = &allocated
	switch {
	case c.state == running:
		s.State.Running = &corev1.ContainerStateRunning{StartedAt: apiTime(c.startedAt)}
		actuated := c.actuated
		s.Resources = &actuated
	case c.state == exited && c.inBackoff && !c.restartAt.IsZero():
		s.State.Waiting = &corev1.ContainerStateWaiting{
			Reason:  "CrashLoopBackOff",
			Message: fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", c.backoff.delay, c.name, format.Pod(p.api)),
		}
		s.LastTerminationState.Terminated = c.terminated()
	case c.state == exited:
		s.State.Terminated = c.terminated()
	case len(p.api.Spec.InitContainers) > 0:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "PodInitializing"}
	default:
		s.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	}
	return s
}

// phase is the pod's phase (getPhase in pkg/kubelet): Pending until its containers have been started once, and final only
// when nothing runs and nothing restarts.
func (p *pod) phase() corev1.PodPhase {
	started := true
	for _, c := range p.containers {
		started = started && (c.started || c.sidecar)
	}
	if !p.done {
		if started {
			return corev1.PodRunning
		}
		return corev1.PodPending
	}
	for _, c := range p.containers {
		switch {
		case c.sidecar:
		case !c.started: // never got to run: there is nothing to call a success or a failure
			if slices.ContainsFunc(p.containers, func(c *container) bool { return c.exitCode != 0 }) {
				return corev1.PodFailed
			}
			return corev1.PodPending
		case c.exitCode != 0:
			return corev1.PodFailed
		}
	}
	return corev1.PodSucceeded
}
