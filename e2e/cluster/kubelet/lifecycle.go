package kubelet

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/kubelet/util/format"
)

// note is an event to be recorded about a pod, or about the node when pod is nil.
type note struct {
	pod                   *corev1.Pod
	kind, reason, message string
}

// advance lets the pod live until now, one transition after the other at the time it was due, and returns when to look
// again; zero when nothing more will happen by itself.
func (m *machine) advance(p *pod, now time.Time) (next time.Time) {
	if p.rejected != nil || p.done {
		return time.Time{}
	}
	for {
		at, transition := m.due(p)
		if transition == nil || at.After(now) {
			next = at
			break
		}
		transition(at)
		m.settle(p, at)
		if p.done {
			return time.Time{}
		}
	}
	if !p.sandboxAt.IsZero() && p.sandboxAt.After(now) {
		next = earliest(next, p.sandboxAt)
	}
	for _, c := range p.containers {
		if c.state == running {
			if at := c.readyAt(p.api); at.After(now) {
				next = earliest(next, at)
			}
		}
	}
	return next
}

// due is the pod's next transition and its time.
func (m *machine) due(p *pod) (at time.Time, transition func(time.Time)) {
	consider := func(t time.Time, f func(time.Time)) {
		if !t.IsZero() && (transition == nil || t.Before(at)) {
			at, transition = t, f
		}
	}
	if p.killing {
		return p.stopAt, func(t time.Time) {
			for _, c := range p.containers {
				m.exit(p, c, t, p.stopCode)
			}
		}
	}
	if starts, t := m.nextStarts(p); len(starts) > 0 {
		consider(t, func(t time.Time) {
			for _, c := range starts {
				m.start(p, c, t)
			}
		})
	}
	for _, c := range p.containers {
		switch c.state {
		case running:
			consider(c.endAt, func(t time.Time) { m.exit(p, c, t, m.exitCodeOf(p, c)) })
		case exited, waiting:
			consider(c.restartAt, func(t time.Time) {
				c.backoff = c.backoff.next(c.finishedAt, t)
				m.restart(p, c, t)
			})
		}
	}
	consider(p.actuateAt, func(t time.Time) { m.actuate(p, t) })
	return at, transition
}

// nextStarts are the containers to be started next for the first time, and when: init containers one by one, each after the
// one before has succeeded (or, a sidecar, has started), then all others at once.
func (m *machine) nextStarts(p *pod) ([]*container, time.Time) {
	after := p.sandboxAt
	var regular []*container
	for _, c := range p.containers {
		switch {
		case !c.init:
			if !c.started {
				regular = append(regular, c)
			}
		case !c.started:
			return []*container{c}, after.Add(m.timing.ContainerStartDelay)
		case c.sidecar:
			if c.startedAt.After(after) && c.restarts == 0 {
				after = c.startedAt
			}
		case c.state == exited && c.exitCode == 0:
			if c.finishedAt.After(after) {
				after = c.finishedAt
			}
		default:
			return nil, time.Time{} // still running, or failed
		}
	}
	return regular, after.Add(m.timing.ContainerStartDelay)
}

func (m *machine) start(p *pod, c *container, at time.Time) {
	c.state, c.started, c.inBackoff = running, true, false
	c.startedAt, c.finishedAt, c.restartAt, c.endAt = at, time.Time{}, time.Time{}, time.Time{}
	c.id = fmt.Sprintf("containerd://%s", m.containerID(p.api, c))
	c.actuated = c.of(p.alloc)
	c.cpuNanos, c.sampled = 0, at
	switch {
	case c.init && !c.sidecar:
		c.endAt = at.Add(m.timing.InitRunFor)
	case !c.init && p.direction.runFor > 0:
		c.endAt = at.Add(p.direction.runFor)
	}
}

func (m *machine) restart(p *pod, c *container, at time.Time) {
	c.last = c.terminated()
	c.restarts++
	m.start(p, c, at)
	// A first start is told by the status alone: events of ten thousand pods would cost more than the pods.
	m.note(p.api, corev1.EventTypeNormal, "Started", "Container started")
}

func (m *machine) exitCodeOf(p *pod, c *container) int32 {
	if c.init {
		return 0
	}
	return p.direction.exitCode
}

// exit ends the container's run, if it runs, and plans its restart.
func (m *machine) exit(p *pod, c *container, at time.Time, code int32) {
	if c.state != running {
		return
	}
	c.consume(m.usage, p.view(), at)
	p.cpuNanos += c.cpuNanos
	c.cpuNanos, c.sampled = 0, time.Time{}
	c.state, c.finishedAt, c.exitCode, c.reason = exited, at, code, "Completed"
	c.endAt, c.restartAt = time.Time{}, time.Time{}
	if code != 0 {
		c.reason = "Error"
	}
	if p.killing || (c.init && !c.sidecar && code == 0) {
		return
	}
	if !podutil.ContainerShouldRestart(*c.spec(p.api), p.api.Spec, code) {
		return
	}
	wait := c.backoff.wait(at)
	c.restartAt = at.Add(wait + m.timing.ContainerStartDelay)
	if wait > 0 {
		c.inBackoff = true
		m.note(p.api, corev1.EventTypeWarning, "BackOff",
			fmt.Sprintf("Back-off restarting failed container %s in pod %s", c.name, format.Pod(p.api)))
	}
}

// settle ends the pod when its work is over: sidecars are stopped after the last regular container.
func (m *machine) settle(p *pod, at time.Time) {
	if p.killing {
		p.done = !p.running()
		return
	}
	over := true
	for _, c := range p.containers {
		failed := c.init && !c.sidecar && c.state == exited && c.exitCode != 0 && c.restartAt.IsZero()
		if failed {
			over = true
			break
		}
		if !c.init && (c.state != exited || !c.restartAt.IsZero()) {
			over = false
		}
	}
	if !over {
		return
	}
	p.killing = true // nothing restarts any more
	for _, c := range p.containers {
		m.exit(p, c, at, 0)
		c.restartAt = time.Time{}
	}
	p.done = true
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
