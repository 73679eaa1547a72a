package kubelet

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// apiTime is t as the API stores it: whole seconds.
func apiTime(t time.Time) metav1.Time {
	if t.IsZero() {
		return metav1.Time{}
	}
	return metav1.NewTime(t.Truncate(time.Second))
}

// pod is the simulated run of one pod on a machine.
type pod struct {
	api        *corev1.Pod // as the API server last had it; read only
	seen       *corev1.Pod // as it was admitted: usage follows this spec
	allocated  *corev1.Pod // api with the allocated resources
	alloc      resources
	generation int64 // of the spec that resizing last looked at

	rejected *verdict
	evicted  *verdict // set once the pod is evicted
	killing  bool
	done     bool // nothing runs and nothing will
	found    bool // was over before this kubelet saw it: its status is left alone

	startTime, sandboxAt time.Time // admitted; network and image are there
	stopAt               time.Time // when killing: the containers' end
	stopCode             int32
	actuateAt            time.Time // zero: nothing to actuate
	resize               resizeConditions
	containers           []*container // init containers first
	direction            direction
	host, ip             string           // addresses of the node and of the pod
	cpuNanos             uint64           // of runs that have ended
	status               corev1.PodStatus // last generated
}

// direction is what a pod's annotations ask of the simulation.
type direction struct {
	runFor, stopAfter time.Duration // runFor 0: runs until stopped
	exitCode          int32
}

// parseDirection returns what the annotations ask, and an error naming those it ignores.
func parseDirection(pod *corev1.Pod, stopAfter time.Duration) (direction, error) {
	d := direction{stopAfter: stopAfter}
	for _, a := range []struct {
		key string
		set func(string) error
	}{
		{AnnotationRunFor, func(text string) (err error) { d.runFor, err = parsePositive(text); return err }},
		{AnnotationStopAfter, func(text string) error {
			after, err := parsePositive(text)
			if err == nil {
				d.stopAfter = after
			}
			return err
		}},
		{AnnotationExitCode, func(text string) error {
			code, err := strconv.ParseUint(text, 10, 8)
			d.exitCode = int32(code)
			return err
		}},
	} {
		text, ok := pod.Annotations[a.key]
		if !ok {
			continue
		}
		if err := a.set(text); err != nil {
			return d, fmt.Errorf("annotation %s, %w", a.key, err)
		}
	}
	return d, nil
}

func parsePositive(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, err
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %s is negative", text)
	}
	return d, nil
}

func newContainers(spec *corev1.PodSpec) []*container {
	containers := make([]*container, 0, len(spec.InitContainers)+len(spec.Containers))
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		containers = append(containers, &container{name: c.Name, index: i, init: true, sidecar: podutil.IsRestartableInitContainer(c)})
	}
	for i := range spec.Containers {
		containers = append(containers, &container{name: spec.Containers[i].Name, index: i})
	}
	return containers
}

// view is the pod as Usage sees it.
func (p *pod) view() *corev1.Pod {
	return &corev1.Pod{ObjectMeta: p.api.ObjectMeta, Spec: p.seen.Spec, Status: p.status}
}

// active reports whether the pod holds resources.
func (p *pod) active() bool { return p.rejected == nil && !p.done }

// running reports whether any container runs.
func (p *pod) running() bool {
	return slices.ContainsFunc(p.containers, func(c *container) bool { return c.state == running })
}

// holdsSandbox reports whether the pod's network exists.
func (p *pod) holdsSandbox(now time.Time) bool {
	return p.active() && !p.sandboxAt.IsZero() && !now.Before(p.sandboxAt)
}

// kill begins to stop the pod's containers, which takes as long as they are said to need and at most the grace period.
func (p *pod) kill(now time.Time, grace time.Duration) {
	p.killing = true
	p.stopCode = 0
	if p.direction.stopAfter > grace {
		p.stopCode = 137 // SIGKILL
	}
	p.stopAt = now.Add(min(p.direction.stopAfter, grace))
	if !p.running() {
		p.stopAt = now
	}
	p.actuateAt = time.Time{}
	for _, c := range p.containers {
		c.restartAt = time.Time{}
	}
}

// ready reports whether the container serves: its probes' initial delays have passed.
func (c *container) ready(pod *corev1.Pod, now time.Time) bool {
	if c.init && !c.sidecar {
		return c.state == exited && c.exitCode == 0
	}
	return c.state == running && !now.Before(c.readyAt(pod))
}

func (c *container) readyAt(pod *corev1.Pod) time.Time {
	spec := c.spec(pod)
	at := c.startedAt
	if spec.StartupProbe != nil {
		at = at.Add(time.Duration(spec.StartupProbe.InitialDelaySeconds) * time.Second)
	}
	if spec.ReadinessProbe != nil {
		at = at.Add(time.Duration(spec.ReadinessProbe.InitialDelaySeconds) * time.Second)
	}
	return at
}
