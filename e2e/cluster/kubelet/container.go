package kubelet

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
)

type containerState int

const (
	waiting containerState = iota // never started, or about to be restarted
	running
	exited
)

// container is the simulated run of one container of a pod.
type container struct {
	name          string
	index         int // in its list of the spec
	init, sidecar bool

	state                 containerState
	started               bool // ever
	startedAt, finishedAt time.Time
	endAt                 time.Time // exits by itself; zero: never
	restartAt             time.Time // when exited; zero: never
	exitCode              int32
	reason                string
	restarts              int32
	id                    string
	last                  *corev1.ContainerStateTerminated
	backoff               backoff
	inBackoff             bool // waiting for restartAt as CrashLoopBackOff

	actuated corev1.ResourceRequirements // in force in the running container

	cpuNanos uint64    // consumed by the present run until sampled
	sampled  time.Time // zero while not running
}

// resume takes over what the API says of a container that ran before the machine was booted anew: it is started once more.
func (c *container) resume(api *corev1.Pod, now time.Time) {
	list := api.Status.ContainerStatuses
	if c.init {
		list = api.Status.InitContainerStatuses
	}
	for i := range list {
		if list[i].Name != c.name {
			continue
		}
		c.restarts, c.last = list[i].RestartCount, list[i].LastTerminationState.Terminated
		if was := list[i].State.Running; was != nil {
			c.restarts++
			c.last = &corev1.ContainerStateTerminated{ // as the kubelet says of a container it cannot find
				ExitCode: 137, Reason: "ContainerStatusUnknown", ContainerID: list[i].ContainerID,
				Message:   "The container could not be located when the pod was terminated",
				StartedAt: was.StartedAt, FinishedAt: apiTime(now),
			}
		}
	}
}

// spec returns the container's entry in the pod.
func (c *container) spec(pod *corev1.Pod) *corev1.Container {
	if c.init {
		return &pod.Spec.InitContainers[c.index]
	}
	return &pod.Spec.Containers[c.index]
}

// of returns the container's entry in r.
func (c *container) of(r resources) corev1.ResourceRequirements {
	if c.init {
		return r.init[c.index]
	}
	return r.regular[c.index]
}

func (c *container) terminated() *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: c.exitCode, Reason: c.reason, ContainerID: c.id,
		StartedAt: apiTime(c.startedAt), FinishedAt: apiTime(c.finishedAt),
	}
}

const (
	// cpuStep is the step of integrating CPU usage: the resolution of AnnotatedUsage's noise.
	cpuStep = 15 * time.Second
	// maxCPUSteps bounds the work of a scrape after a long silence.
	maxCPUSteps = 240
)

// consume integrates the CPU the container used since it was last sampled, by the midpoint rule, throttled at its limit.
// It returns the rate at now, in nanocores.
func (c *container) consume(usage Usage, view *corev1.Pod, now time.Time) (nanoCores uint64) {
	if c.state != running {
		return 0
	}
	limit := math.Inf(1)
	if cpu, ok := c.actuated.Limits[corev1.ResourceCPU]; ok && !cpu.IsZero() {
		limit = float64(cpu.MilliValue())
	}
	if elapsed := now.Sub(c.sampled); elapsed > 0 {
		steps := min(int64(elapsed/cpuStep)+1, maxCPUSteps)
		step := elapsed / time.Duration(steps)
		var milliSeconds float64 // thousandths of a core, for a second
		for i := range steps {
			milliCPU, _ := usage.At(view, c.name, c.sampled.Add(time.Duration(i)*step+step/2))
			milliSeconds += min(milliCPU, limit) * step.Seconds()
		}
		c.cpuNanos += uint64(milliSeconds * 1e6)
		c.sampled = now
	}
	milliCPU, _ := usage.At(view, c.name, now)
	return uint64(min(milliCPU, limit) * 1e6)
}

// memory is the container's working set in bytes, 0 when it does not run. It may exceed the limit: then the container is
// about to be killed.
func (c *container) memory(usage Usage, view *corev1.Pod, now time.Time) int64 {
	if c.state != running {
		return 0
	}
	_, memoryBytes := usage.At(view, c.name, now)
	return memoryBytes
}
