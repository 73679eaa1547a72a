package resize

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// RefusedError says that a pending pod cannot be resized, now or later.
type RefusedError struct{ policy.Refusal }

// Error implements error.
func (e *RefusedError) Error() string { return string(e.Reason) + ": " + e.Message }

// Pending gives a pod that waits for a node the target's cpu and memory, before a node is bought for it, and tells whether it changed
// the pod. The API server allows that (Kubernetes 1.33 on). Containers that target does not name, and limits that it lacks, stay:
// a limit cannot be taken from a pod that exists. A pod that has a node, runs, is going or starts with a boost is left alone.
//
// It applies whatever it is given: it must not be called for a workload whose mode is Preview, Off or OnCreate.
//
// The error is a *RefusedError where the resize would be or was refused for good, else that of the API.
func Pending(ctx context.Context, c client.Client, pod *corev1.Pod, target map[string]corev1.ResourceRequirements) (bool, error) {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodPending ||
		pod.Annotations[v1alpha1.DisabledAnnotation] == "true" || policy.IsBoosted(pod) {
		return false, nil
	}
	current := policy.Containers(pod.Spec)
	desired, changed := merge(current, target)
	if !changed {
		return false, nil
	}
	if refusal := policy.Predict(pod, desired, policy.PredictOptions{MemoryLimitDecrease: true}); refusal != nil {
		return false, &RefusedError{*refusal}
	}
	if _, known := pod.Annotations[v1alpha1.OriginalResourcesAnnotation]; !known {
		originals, err := policy.Originals(current)
		if err != nil {
			return false, fmt.Errorf("writing what pod %s/%s asked for, %w", pod.Namespace, pod.Name, err)
		}
		if err := annotateStatus(ctx, c, pod, v1alpha1.OriginalResourcesAnnotation, originals); err != nil {
			return false, err
		}
	}
	if err := resources(ctx, c, pod, desired); err != nil {
		if refusal := classify(err); refusal != nil {
			return false, &RefusedError{*refusal}
		}
		return false, err
	}
	return true, annotateStatus(ctx, c, pod, v1alpha1.RecommendationAnnotation, policy.Hash(desired))
}

// annotateStatus sets an annotation through the status subresource, the one way to a pod's metadata that the provisioner's role has.
func annotateStatus(ctx context.Context, c client.Client, pod *corev1.Pod, key, value string) error {
	patch, err := annotationPatch(pod, map[string]string{key: value})
	if err != nil {
		return err
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	if err := c.Status().Patch(ctx, target, patch); err != nil {
		return fmt.Errorf("annotating pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// merge puts the cpu and memory of target over those of current, as far as a pod that exists can take them.
func merge(current, target map[string]corev1.ResourceRequirements) (out map[string]corev1.ResourceRequirements, changed bool) {
	out = make(map[string]corev1.ResourceRequirements, len(current))
	for name, now := range current {
		to := *now.DeepCopy()
		want, named := target[name]
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if !named {
				break
			}
			limit, limited := to.Limits[r]
			if l, ok := want.Limits[r]; ok && limited && l.Cmp(limit) != 0 {
				to.Limits[r], limit, changed = l, l, true
			}
			request, ok := want.Requests[r]
			if !ok {
				continue
			}
			if limited && request.Cmp(limit) > 0 {
				request = limit
			}
			// A request that the pod does not have is not added: that would change its QoS class or be refused.
			if is, has := to.Requests[r]; has && is.Cmp(request) != 0 {
				to.Requests[r], changed = request, true
			}
		}
		out[name] = to
	}
	return out, changed
}
