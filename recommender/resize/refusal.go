package resize

import (
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// causeNodeCapacity is the cause in the API server's 403 for a resize that no pod could have on its node (PodResize admission,
// Kubernetes 1.36).
const causeNodeCapacity metav1.CauseType = "NodeCapacity"

// classify reads from an API error why a resize was refused for good. It is nil for errors that may pass: conflicts, timeouts,
// throttling, and a 403 of RBAC or quota, which say nothing about the pod.
func classify(err error) *policy.Refusal {
	refuse := func(reason v1alpha1.FallbackReason) *policy.Refusal {
		return &policy.Refusal{Reason: reason, Message: err.Error()}
	}
	if apierrors.IsForbidden(err) {
		if apierrors.HasStatusCause(err, causeNodeCapacity) {
			return refuse(v1alpha1.ReasonPodResizePending) // what kubelet would call Infeasible
		}
		return nil
	}
	if !apierrors.IsInvalid(err) {
		return nil
	}
	// Messages of ValidatePodResize and ValidateContainerResourceRequirements, from most to least specific.
	message := strings.ToLower(err.Error())
	for _, known := range []struct {
		contains string
		reason   v1alpha1.FallbackReason
	}{
		{"qos class", v1alpha1.ReasonQoSChangeForbidden},
		{"memory limits cannot be decreased", v1alpha1.ReasonMemoryLimitCannotBeDecreased},
		{"memory limits cannot be added", v1alpha1.ReasonMemoryLimitsAddForbidden},
		{"limits cannot be removed", v1alpha1.ReasonResourceLimitsRemoveForbidden},
		{"requests cannot be removed", v1alpha1.ReasonRequestsRemoveForbidden},
	} {
		if strings.Contains(message, known.contains) {
			return refuse(known.reason)
		}
	}
	return refuse(v1alpha1.ReasonPodResizePending)
}
