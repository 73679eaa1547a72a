package resize

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// subresource is the name of the pods' resize subresource.
const subresource = "resize"

type identity struct {
	UID types.UID `json:"uid"`
}

type containerPatch struct {
	Name      string                      `json:"name"`
	Resources corev1.ResourceRequirements `json:"resources"`
}

type resizePatch struct {
	Metadata identity `json:"metadata"`
	Spec     struct {
		Containers []containerPatch `json:"containers"`
	} `json:"spec"`
}

// patchOf is the strategic merge patch that gives the containers of a pod the desired cpu and memory. It carries the pod's UID,
// so that a pod of the same name that has taken its place (as a StatefulSet's does) is not changed by mistake.
func patchOf(pod *corev1.Pod, desired map[string]corev1.ResourceRequirements) (client.Patch, error) {
	p := resizePatch{Metadata: identity{UID: pod.UID}}
	for name, r := range desired {
		p.Spec.Containers = append(p.Spec.Containers, containerPatch{name, corev1.ResourceRequirements{
			Requests: mutable(r.Requests), Limits: mutable(r.Limits),
		}})
	}
	sort.Slice(p.Spec.Containers, func(i, j int) bool { return p.Spec.Containers[i].Name < p.Spec.Containers[j].Name })
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("writing the resize of pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return client.RawPatch(types.StrategicMergePatchType, b), nil
}

// mutable keeps the resources that a running pod may have changed.
func mutable(l corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := l[name]; ok {
			out[name] = q
		}
	}
	return out
}

// resources patches the resize subresource.
func resources(ctx context.Context, c client.Client, pod *corev1.Pod, desired map[string]corev1.ResourceRequirements) error {
	patch, err := patchOf(pod, desired)
	if err != nil {
		return err
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	if err := c.SubResource(subresource).Patch(ctx, target, patch); err != nil {
		return fmt.Errorf("resizing pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return nil
}

// annotationPatch is the merge patch that sets annotations of a pod of a given UID.
func annotationPatch(pod *corev1.Pod, set map[string]string) (client.Patch, error) {
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "annotations": set}})
	if err != nil {
		return nil, fmt.Errorf("writing annotations of pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return client.RawPatch(types.MergePatchType, b), nil
}

// annotate sets annotations of a pod.
func annotate(ctx context.Context, c client.Client, pod *corev1.Pod, set map[string]string) error {
	patch, err := annotationPatch(pod, set)
	if err != nil {
		return err
	}
	target := &corev1.Pod{}
	target.Namespace, target.Name = pod.Namespace, pod.Name
	if err := c.Patch(ctx, target, patch); err != nil {
		return fmt.Errorf("annotating pod %s/%s, %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
