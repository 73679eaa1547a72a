package policy

import (
	"math"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"supercargo.dev/api/v1alpha1"
)

// Boost is a StartupBoost, parsed.
type Boost struct {
	// MinBoost is counted from the start of the pod, MinReady from when it became Ready. The boost ends when both are over.
	MinBoost, MinReady time.Duration
	// CPU multiplies requests and limits, Memory requests only; 1: not raised.
	CPU, Memory float64
}

const (
	// maxBoost is the largest multiplier: what is more is a request that was written too low.
	maxBoost = 5
	// maxBoostTime bounds minBoost and minReady: a pod that starts for longer than a day runs.
	maxBoostTime = 24 * time.Hour
)

// parseBoost reads a startup boost; nil where there is none or it is turned off.
func parseBoost(spec *v1alpha1.StartupBoost, at *field.Path) (*Boost, field.ErrorList) {
	if spec == nil {
		return nil, nil
	}
	var errs field.ErrorList
	b := &Boost{CPU: 1, Memory: 1}
	for _, d := range []struct {
		name string
		from *metav1.Duration
		to   *time.Duration
	}{{"minBoost", spec.MinBoost, &b.MinBoost}, {"minReady", spec.MinReady, &b.MinReady}} {
		if d.from == nil {
			continue
		}
		if *d.to = d.from.Duration; *d.to < 0 || *d.to > maxBoostTime {
			errs = append(errs, field.Invalid(at.Child(d.name), d.from.Duration.String(), "must be between 0s and 24h"))
		}
	}
	for _, m := range []struct {
		name, from string
		to         *float64
	}{{"cpuMultiplier", spec.CPUMultiplier, &b.CPU}, {"memoryMultiplier", spec.MemoryMultiplier, &b.Memory}} {
		if m.from == "" {
			continue
		}
		v, err := strconv.ParseFloat(m.from, 64)
		if err != nil || !(v >= 1 && v <= maxBoost) || math.IsNaN(v) {
			errs = append(errs, field.Invalid(at.Child(m.name), m.from, `must be a number from 1 to 5, such as "3"`))
			continue
		}
		*m.to = v
	}
	if spec.Enabled && spec.CPUMultiplier == "" && spec.MemoryMultiplier == "" {
		errs = append(errs, field.Required(at, `set cpuMultiplier, memoryMultiplier or both, for example cpuMultiplier: "2"`))
	}
	if !spec.Enabled {
		return nil, errs
	}
	return b, errs
}

// Boosted is what containers have while they start: cpu requests and limits and memory requests times their multipliers, memory
// never above its limit, and nothing above what a LimitRange allows. A resource without a request or limit gets none. The QoS
// class of the pod stays, so that the end of the boost can be had in place.
func Boosted(containers map[string]corev1.ResourceRequirements, b Boost, ranges []corev1.LimitRange) map[string]corev1.ResourceRequirements {
	out := make(map[string]corev1.ResourceRequirements, len(containers))
	for name, r := range containers {
		raised := *r.DeepCopy()
		b.raise(raised.Limits, r.Limits, corev1.ResourceCPU, b.CPU, highest(ranges, corev1.ResourceCPU))
		b.raise(raised.Requests, r.Requests, corev1.ResourceCPU, b.CPU, highest(ranges, corev1.ResourceCPU))
		ceiling := highest(ranges, corev1.ResourceMemory)
		if limit, ok := r.Limits[corev1.ResourceMemory]; ok && (ceiling == nil || limit.Cmp(*ceiling) < 0) {
			ceiling = &limit
		}
		b.raise(raised.Requests, r.Requests, corev1.ResourceMemory, b.Memory, ceiling)
		out[name] = raised
	}
	return out
}

func (Boost) raise(to, from corev1.ResourceList, name corev1.ResourceName, by float64, ceiling *resource.Quantity) {
	q, ok := from[name]
	if !ok {
		return
	}
	raised := multiply(name, q, by)
	if ceiling != nil && raised.Cmp(*ceiling) > 0 {
		raised = *ceiling
	}
	if raised.Cmp(q) > 0 { // a ceiling below what is there is not ours to enforce
		to[name] = raised
	}
}

// highest is the least of the maxima that LimitRanges set for a resource of a container, nil where there is none.
func highest(ranges []corev1.LimitRange, name corev1.ResourceName) *resource.Quantity {
	var out *resource.Quantity
	for _, lr := range ranges {
		for _, item := range lr.Spec.Limits {
			if q, ok := item.Max[name]; ok && item.Type == corev1.LimitTypeContainer && (out == nil || q.Cmp(*out) < 0) {
				out = &q
			}
		}
	}
	return out
}

// IsBoosted tells whether a pod runs with its startup boost.
func IsBoosted(pod *corev1.Pod) bool {
	return pod.Annotations[v1alpha1.StartupBoostAnnotation] == v1alpha1.BoostActive
}

// BoostOver tells whether the boost of a pod is to end: minBoost and minReady are both over, or its policy has none any more (nil).
// Where only time is missing, it says how long; zero means that the pod has to become Ready first.
func BoostOver(pod *corev1.Pod, b *Boost, now time.Time) (over bool, wait time.Duration) {
	if b == nil {
		return true, 0
	}
	started := pod.CreationTimestamp.Time
	if pod.Status.StartTime != nil {
		started = pod.Status.StartTime.Time
	}
	for _, c := range pod.Status.Conditions {
		if c.Type != corev1.PodReady || c.Status != corev1.ConditionTrue {
			continue
		}
		end := started.Add(b.MinBoost)
		if ready := c.LastTransitionTime.Add(b.MinReady); ready.After(end) {
			end = ready
		}
		if left := end.Sub(now); left > 0 {
			return false, left
		}
		return true, 0
	}
	return false, 0
}
