package replay

import (
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMemoryShare of its memory limit is the most that a replayed container uses. Measured shares above 100% exist, where the
// measured container's limit was higher than the one it is replayed under; the container survived them.
const maxMemoryShare = 0.95

// serviceLabel names the service that a pod belongs to.
const serviceLabel = "app.kubernetes.io/name"

// Source is the usage of simulated containers; kubelet.Usage is one. It is stated here again so that this package, whose parser is
// fuzzed, links no kubelet.
type Source interface {
	// At is the container's CPU in thousandths of a core and its working set in bytes at t.
	At(pod *corev1.Pod, container string, t time.Time) (milliCPU float64, memoryBytes int64)
}

// Usage replays measured series, end to start again and again. Pods whose service was not measured use what another source says.
type Usage struct {
	series Series
	others Source
}

// NewUsage returns a Usage that replays the series, and asks others for pods whose service is not among them.
func NewUsage(series Series, others Source) *Usage {
	return &Usage{series: series, others: others}
}

// Validate returns what is wrong with a pod's own declaration of usage.
func (u *Usage) Validate(pod *corev1.Pod) error {
	if v, ok := u.others.(interface{ Validate(*corev1.Pod) error }); ok && u.of(pod) == nil {
		return v.Validate(pod)
	}
	return nil
}

// At implements Source. CPU is the measured share of the limit the container has here; memory is what was measured, below
// the limit.
func (u *Usage) At(pod *corev1.Pod, container string, t time.Time) (milliCPU float64, memoryBytes int64) {
	series := u.of(pod)
	if series == nil {
		return u.others.At(pod, container, t)
	}
	s := at(series, t)
	memory := s.memory
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Name != container {
			continue
		}
		if limit, ok := c.Resources.Limits[corev1.ResourceMemory]; ok {
			memory = min(memory, maxMemoryShare*limit.AsApproximateFloat64())
		}
		limit, ok := c.Resources.Limits[corev1.ResourceCPU]
		if !ok {
			limit = c.Resources.Requests[corev1.ResourceCPU]
		}
		return s.cpu * float64(limit.MilliValue()), int64(memory)
	}
	return 0, int64(memory)
}

// of returns the series of the pod's service, nil when it was not measured.
func (u *Usage) of(pod *corev1.Pod) []sample {
	if owner := metav1.GetControllerOfNoCopy(pod); owner == nil || owner.Kind != "ReplicaSet" {
		return nil
	}
	return u.series[pod.Labels[serviceLabel]]
}

// at returns the sample in force at t when the series is repeated without a pause since 1970.
func at(series []sample, t time.Time) sample {
	last := series[len(series)-1].at
	// The last sample lasts as long as the samples before it did on average.
	period := last + last/time.Duration(len(series)-1)
	// Whole seconds since 1970 fit an int64 of nanoseconds until 2262.
	phase := time.Duration(t.UnixNano() % int64(period))
	if phase < 0 {
		phase += period
	}
	i := sort.Search(len(series), func(i int) bool { return series[i].at > phase })
	return series[max(i-1, 0)]
}
