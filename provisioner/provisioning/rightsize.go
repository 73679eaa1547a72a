package provisioning

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/resize"
)

// Targets says what the policy of a pod's workload will apply; *demand.Index is one.
type Targets interface {
	Target(pod *corev1.Pod) (containers map[string]corev1.ResourceRequirements, mode v1alpha1.UpdateMode, ok bool)
}

// PendingRightsizer resizes pending pods through the resize subresource, which the API server allows before scheduling.
type PendingRightsizer struct {
	client  client.Client
	reader  client.Reader
	targets Targets
}

// NewPendingRightsizer writes through the client and reads back through the reader, which must not be a cache: the packer
// needs the pod as it is after the resize.
func NewPendingRightsizer(c client.Client, r client.Reader, t Targets) *PendingRightsizer {
	return &PendingRightsizer{client: c, reader: r, targets: t}
}

// Rightsize implements Rightsizer. A pod whose policy only shows, or only acts on creation, is left as it is.
func (p *PendingRightsizer) Rightsize(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	target, mode, ok := p.targets.Target(pod)
	if !ok {
		return pod, nil
	}
	switch mode {
	case v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto, v1alpha1.UpdateModeReCreate:
	case v1alpha1.UpdateModePreview, v1alpha1.UpdateModeOff, v1alpha1.UpdateModeOnCreate:
		return pod, nil
	default:
		return pod, nil
	}
	changed, err := resize.Pending(ctx, p.client, pod, target)
	var refused *resize.RefusedError
	switch {
	case errors.As(err, &refused):
		return pod, nil // its policy says what becomes of it once it runs
	case client.IgnoreNotFound(err) != nil:
		return pod, err
	case !changed:
		return pod, nil
	}
	resized := &corev1.Pod{}
	if err := p.reader.Get(ctx, client.ObjectKeyFromObject(pod), resized); err != nil {
		return pod, fmt.Errorf("reading a pod after its resize, %w", err)
	}
	return resized, nil
}
