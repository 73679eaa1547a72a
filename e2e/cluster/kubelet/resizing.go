package kubelet

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/events"
)

// wantResize looks at the resources a pod's new spec asks for.
func (m *machine) wantResize(p *pod, now time.Time) {
	if wantedBy(p.api).equal(p.alloc) { // taken back, or nothing of it concerns resources
		m.unpend(p)
		p.resize.pending = nil
		return
	}
	if !slices.Contains(m.pending, p) {
		m.pending = append(m.pending, p)
	}
	sorted := make([]pendingResize, len(m.pending))
	byPod := make(map[*corev1.Pod]*pod, len(m.pending))
	for i, q := range m.pending {
		sorted[i] = pendingResize{pod: q.api, allocated: q.allocated}
		if q.resize.pending != nil {
			sorted[i].since = &q.resize.pending.LastTransitionTime
		}
		byPod[q.api] = q
	}
	sortPendingResizes(sorted)
	for i := range sorted {
		m.pending[i] = byPod[sorted[i].pod]
	}
	m.retryPending(now)
}

func (m *machine) unpend(p *pod) {
	m.pending = slices.DeleteFunc(m.pending, func(q *pod) bool { return q == p })
}

// retryPending tries to allocate every resize that waits (retryPendingResizes in pkg/kubelet/allocation): when one is wanted,
// when a pod ends, goes or shrinks, and every pendingRetry.
func (m *machine) retryPending(now time.Time) {
	m.retried = now
	still := m.pending[:0]
	for _, p := range m.pending {
		if m.tryResize(p, now); p.resize.deferred() {
			still = append(still, p)
		}
		m.touch(p)
	}
	clear(m.pending[len(still):])
	m.pending = still
}

// shrank reports whether a pod holds less of the node since its status says that a resize is actuated (HandlePodReconcile in
// pkg/kubelet/kubelet.go): until then the larger of allocated and actual resources counts.
func shrank(before, after *corev1.Pod) bool {
	options := resourcehelper.PodResourcesOptions{UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true}
	from, to := resourcehelper.PodRequests(before, options), resourcehelper.PodRequests(after, options)
	return to.Memory().Cmp(*from.Memory()) < 0 || to.Cpu().Cmp(*from.Cpu()) < 0
}

// tryResize allocates the wanted resources, or says why not (handlePodResourcesResize).
func (m *machine) tryResize(p *pod, now time.Time) {
	refusal := admitResize(m.node, m.rules, p.api, p.alloc, m.others(p))
	if refusal != nil {
		if p.resize.setPending(*refusal, p.api.Generation, now) {
			reason := events.ResizeDeferred
			if p.resize.pending.Reason == corev1.PodReasonInfeasible {
				reason = events.ResizeInfeasible
			}
			m.note(p.api, corev1.EventTypeWarning, reason,
				events.PodResizePendingMsg(klog.Background(), p.api, p.resize.pending.Reason, refusal.message, p.api.Generation))
		}
		return
	}
	p.alloc = wantedBy(p.api)
	p.allocated = p.api
	p.resize.allocate(p.api.Generation, now)
	p.actuateAt = now.Add(m.timing.ResizeDelay)
	m.note(p.api, corev1.EventTypeNormal, events.ResizeStarted, events.PodResizeStartedMsg(klog.Background(), p.api, p.api.Generation))
}

// actuate brings the allocated resources into force in the running containers, all or none.
func (m *machine) actuate(p *pod, now time.Time) {
	p.actuateAt = time.Time{}
	current := m.actuated(p)
	use := memoryUse{containers: map[string]int64{}}
	var resized, restarted []*container
	for _, c := range p.containers {
		memory := c.memory(m.usage, p.view(), now)
		use.pod += memory
		if c.state != running {
			continue // sized when it starts
		}
		resize, restart := changes(c.spec(p.api), c.actuated, c.of(p.alloc))
		switch {
		case restart:
			restarted = append(restarted, c)
		case resize:
			resized = append(resized, c)
			use.containers[c.name] = memory
		}
	}
	if err := checkLimitDecrease(p.allocated, current, p.alloc, use); err != nil && len(resized) > 0 {
		if p.resize.fail(err.Error(), p.api.Generation, now) {
			m.note(p.api, corev1.EventTypeWarning, events.ResizeError,
				events.PodResizeErrorMsg(klog.Background(), p.allocated, p.resize.inProgress.ObservedGeneration, err.Error()))
		}
		p.actuateAt = now.Add(resizeRetry)
		return
	}
	for _, c := range resized {
		c.consume(m.usage, p.view(), now) // up to here under the old limit
		c.actuated = c.of(p.alloc)
	}
	for _, c := range restarted {
		m.note(p.api, corev1.EventTypeNormal, events.KillingContainer, "Container "+c.name+" resize requires restart")
		m.exit(p, c, now, 0)
		m.restart(p, c, now.Add(m.timing.ContainerStartDelay))
	}
	if p.resize.inProgress != nil {
		m.note(p.api, corev1.EventTypeNormal, events.ResizeCompleted,
			events.PodResizeCompletedMsg(klog.Background(), p.allocated, p.resize.inProgress.ObservedGeneration))
		p.resize.inProgress = nil
	}
}

// actuated are the resources in force: of running containers what they run with, of others what they will start with.
func (m *machine) actuated(p *pod) resources {
	current := resources{pod: p.alloc.pod, init: slices.Clone(p.alloc.init), regular: slices.Clone(p.alloc.regular)}
	for _, c := range p.containers {
		switch {
		case c.state != running:
		case c.init:
			current.init[c.index] = c.actuated
		default:
			current.regular[c.index] = c.actuated
		}
	}
	return current
}
