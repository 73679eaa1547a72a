package kubelet

import (
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// Annotations on pods that direct the simulation.
const (
	// AnnotationUsage declares what the containers use, as ParseProfiles documents.
	AnnotationUsage = "sandbox.supercargo.dev/usage"
	// AnnotationRunFor is the duration, as in "45s", after which the pod's regular containers exit by themselves.
	// Without it they run until they are stopped.
	AnnotationRunFor = "sandbox.supercargo.dev/run-for"
	// AnnotationExitCode is the exit code of containers that end by AnnotationRunFor; 0 without it.
	AnnotationExitCode = "sandbox.supercargo.dev/exit-code"
	// AnnotationStopAfter is how long the containers take to stop once asked to; DefaultStopAfter without it.
	// Containers that take longer than their grace period are killed (exit code 137).
	AnnotationStopAfter = "sandbox.supercargo.dev/stop-after"
)

// Version is the kubelet version that machines report when their NodeSpec names none.
const Version = "v1.36.3"

// Defaults of Options.
const (
	// DefaultPodStartDelay is the least time from admission to the first container: sandbox, network, image.
	DefaultPodStartDelay = 500 * time.Millisecond
	// DefaultContainerStartDelay is the time to create and start one container.
	DefaultContainerStartDelay = 100 * time.Millisecond
	// DefaultInitRunFor is how long an init container that is no sidecar runs.
	DefaultInitRunFor = time.Second
	// DefaultStopAfter is how long containers take to stop after SIGTERM.
	DefaultStopAfter = time.Second
	// DefaultResizeDelay is the time from the allocation of a resize to its actuation.
	DefaultResizeDelay = 200 * time.Millisecond
	// DefaultLeaseRenewal is between renewals of a machine's lease, whose duration is 40 s. A real kubelet renews every
	// 10 s; half of the lease's duration halves the writes and still survives one lost renewal.
	DefaultLeaseRenewal = 20 * time.Second
	// DefaultHousekeeping is between looks at a machine's memory: OOM kills, evictions. The eviction manager's period.
	DefaultHousekeeping = 10 * time.Second
	// DefaultWorkers is the number of pods and nodes synced at a time.
	DefaultWorkers = 8
	// DefaultQPS is the limit of the Fleet's requests per second; DefaultQPS*2 in a burst.
	DefaultQPS = 2000
)

// Options of a Fleet. The zero value is usable.
type Options struct {
	// Clock tells the time; the real one when nil.
	Clock clock.WithTicker
	// Seed of start jitter and of the default usage.
	Seed int64
	// Usage simulates what containers consume; nil: NewAnnotatedUsage(Seed).
	Usage                                                                  Usage
	PodStartDelay, ContainerStartDelay, InitRunFor, StopAfter, ResizeDelay time.Duration // zero: the defaults above
	LeaseRenewal, Housekeeping                                             time.Duration // zero: the defaults above
	Workers                                                                int           // zero: DefaultWorkers
	QPS                                                                    float32       // requests per second; zero: DefaultQPS

	// Log receives one line per failure; nil: discarded.
	Log io.Writer
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Usage == nil {
		o.Usage = NewAnnotatedUsage(o.Seed)
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.PodStartDelay, DefaultPodStartDelay},
		{&o.ContainerStartDelay, DefaultContainerStartDelay},
		{&o.InitRunFor, DefaultInitRunFor},
		{&o.StopAfter, DefaultStopAfter},
		{&o.ResizeDelay, DefaultResizeDelay},
		{&o.LeaseRenewal, DefaultLeaseRenewal},
		{&o.Housekeeping, DefaultHousekeeping},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Workers == 0 {
		o.Workers = DefaultWorkers
	}
	if o.QPS == 0 {
		o.QPS = DefaultQPS
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	return o
}

// NodeSpec is a machine to boot.
type NodeSpec struct {
	Name       string
	ProviderID string
	Labels     map[string]string
	Taints     []corev1.Taint // at registration
	// Capacity and Allocatable of the machine. Missing Allocatable means all of Capacity; missing pods means 110 and
	// missing ephemeral-storage 20Gi, as a kubelet always reports them.
	Capacity, Allocatable corev1.ResourceList
	// RegistrationDelay is from Boot until the Node object appears.
	RegistrationDelay time.Duration
	// StartDelay is from registration until the Node is Ready.
	StartDelay time.Duration
	// KubeletVersion is reported, and selects rules that differ by version; Version when empty. Up to v1.35 the kubelet
	// itself calls a resize beyond the node's allocatable Infeasible; from v1.36 on the API server refuses it, and a
	// kubelet that meets one all the same defers it.
	KubeletVersion string
	// StaticCPUManager makes CPU resizes of Guaranteed pods Infeasible, as CPU manager policy "static" does.
	StaticCPUManager bool
}
