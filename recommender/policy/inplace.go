package policy

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// Refusal is why a resize in place cannot work.
type Refusal struct {
	Reason  v1alpha1.FallbackReason
	Message string
}

// PredictOptions say what the cluster allows.
type PredictOptions struct {
	// MemoryLimitDecrease is true from Kubernetes 1.34 on.
	MemoryLimitDecrease bool
	// MemoryLimitAddForbidden is true where the runtime cannot give a memory limit to a container that has none.
	MemoryLimitAddForbidden bool
}

// Predict tells whether the API server is known to refuse the resize of a pod to the desired resources, so that no
// request has to be spent on finding out. Nil: try it. The rules are those of ValidatePodResize in the API server.
func Predict(pod *corev1.Pod, desired map[string]corev1.ResourceRequirements, o PredictOptions) *Refusal {
	for _, c := range pod.Spec.Containers {
		want, ok := desired[c.Name]
		if !ok {
			continue
		}
		for _, check := range []func(corev1.Container, corev1.ResourceRequirements, PredictOptions) *Refusal{
			limitRemoved, requestRemoved, memoryLimitAdded, memoryLimitDecreased, heapDrift,
		} {
			if refusal := check(c, want, o); refusal != nil {
				return refusal
			}
		}
	}
	before := pod.Status.QOSClass
	if before == "" {
		before = QOSClass(pod)
	}
	if after := QOSClass(Apply(pod, desired)); after != before {
		return &Refusal{v1alpha1.ReasonQoSChangeForbidden, fmt.Sprintf("the QoS class would change from %s to %s", before, after)}
	}
	return nil
}

func limitRemoved(c corev1.Container, want corev1.ResourceRequirements, _ PredictOptions) *Refusal {
	for _, name := range sortedKeys(c.Resources.Limits) {
		if _, ok := want.Limits[name]; !ok {
			return &Refusal{
				v1alpha1.ReasonResourceLimitsRemoveForbidden,
				fmt.Sprintf("container %s: a limit of %s cannot be removed from a running pod", c.Name, name),
			}
		}
	}
	return nil
}

func requestRemoved(c corev1.Container, want corev1.ResourceRequirements, _ PredictOptions) *Refusal {
	for _, name := range sortedKeys(c.Resources.Requests) {
		if _, ok := want.Requests[name]; !ok {
			return &Refusal{
				v1alpha1.ReasonRequestsRemoveForbidden,
				fmt.Sprintf("container %s: a request of %s cannot be removed from a running pod", c.Name, name),
			}
		}
	}
	return nil
}

func memoryLimitAdded(c corev1.Container, want corev1.ResourceRequirements, o PredictOptions) *Refusal {
	_, has := c.Resources.Limits[corev1.ResourceMemory]
	_, wants := want.Limits[corev1.ResourceMemory]
	if o.MemoryLimitAddForbidden && !has && wants {
		return &Refusal{
			v1alpha1.ReasonMemoryLimitsAddForbidden,
			fmt.Sprintf("container %s: a memory limit cannot be added to a running pod", c.Name),
		}
	}
	return nil
}

func memoryLimitDecreased(c corev1.Container, want corev1.ResourceRequirements, o PredictOptions) *Refusal {
	if o.MemoryLimitDecrease {
		return nil
	}
	for _, p := range c.ResizePolicy {
		if p.ResourceName == corev1.ResourceMemory && p.RestartPolicy == corev1.RestartContainer {
			return nil
		}
	}
	have, has := c.Resources.Limits[corev1.ResourceMemory]
	wanted, wants := want.Limits[corev1.ResourceMemory]
	if has && wants && wanted.Cmp(have) < 0 {
		return &Refusal{
			v1alpha1.ReasonMemoryLimitCannotBeDecreased,
			fmt.Sprintf("container %s: its memory limit cannot be lowered from %s to %s without a restart", c.Name, have.String(), wanted.String()),
		}
	}
	return nil
}

// Fallback says what follows a refusal: the policy of its reason, else the default, else recreate.
func Fallback(f v1alpha1.InPlaceFallback, reason v1alpha1.FallbackReason) v1alpha1.FallbackPolicy {
	if p, ok := f.ReasonPolicies[string(reason)]; ok {
		return p
	}
	if f.DefaultPolicy != "" {
		return f.DefaultPolicy
	}
	return v1alpha1.FallbackRecreate
}

// Apply returns a copy of the pod with the desired resources in its containers.
func Apply(pod *corev1.Pod, desired map[string]corev1.ResourceRequirements) *corev1.Pod {
	out := pod.DeepCopy()
	for i := range out.Spec.Containers {
		c := &out.Spec.Containers[i]
		if want, ok := desired[c.Name]; ok {
			claims := c.Resources.Claims
			c.Resources = *want.DeepCopy()
			c.Resources.Claims = claims
		}
	}
	return out
}

// QOSClass computes the quality of service class of a pod by the API server's rules (k8s.io/kubernetes,
// pkg/apis/core/v1/helper/qos), which are not to be had without its feature gates.
func QOSClass(pod *corev1.Pod) corev1.PodQOSClass {
	var all []corev1.ResourceRequirements
	if r := pod.Spec.Resources; r != nil {
		all = append(all, *r)
	} else {
		for _, c := range pod.Spec.Containers {
			all = append(all, c.Resources)
		}
		for _, c := range pod.Spec.InitContainers {
			all = append(all, c.Resources)
		}
	}
	requests, limits := map[corev1.ResourceName]int64{}, map[corev1.ResourceName]int64{}
	guaranteed := true
	for _, r := range all {
		for _, name := range managed() {
			// Like the limits, an unset request counts as nothing.
			if q := r.Requests[name]; q.Sign() > 0 {
				requests[name] += milli(name, q)
			}
			if q := r.Limits[name]; q.Sign() > 0 {
				limits[name] += milli(name, q)
			} else {
				guaranteed = false
			}
		}
	}
	if len(requests) == 0 && len(limits) == 0 {
		return corev1.PodQOSBestEffort
	}
	for _, name := range managed() {
		guaranteed = guaranteed && requests[name] == limits[name]
	}
	if guaranteed {
		return corev1.PodQOSGuaranteed
	}
	return corev1.PodQOSBurstable
}

// milli is a quantity in thousandths of a core, or in whole units of anything else.
func milli(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}
