package karpenter

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/recommender/demand"
)

// Expectation says what pods will ask for once their policy is applied; *demand.Index is one.
type Expectation interface {
	// Expected is what the pod itself will ask for.
	Expected(pod *corev1.Pod) demand.Resources
	// Successor is what a pod created in its place will ask for, if a policy sets that.
	Successor(pod *corev1.Pod) (demand.Resources, bool)
}

// expected is what a pod will ask for soon, or nil where that is what it holds.
func (m *Machinery) expected(pod *corev1.Pod, holds corev1.ResourceList) corev1.ResourceList {
	if m.cfg.Expectation == nil {
		return nil
	}
	r := m.cfg.Expectation.Expected(pod)
	if r == demand.FromList(holds) {
		return nil
	}
	return with(holds, r)
}

// anew is what the pod will ask for that is created in place of one that is moved, where that is more than the pod holds: one
// that was resized in place starts again with what its template says, unless a policy sees to it. Judged by what it holds, it
// would be moved to a node that cannot take its successor. Nil where the two are the same.
func (m *Machinery) anew(ctx context.Context, pod *corev1.Pod, holds corev1.ResourceList) (corev1.ResourceList, error) {
	if m.cfg.Expectation != nil {
		if r, ok := m.cfg.Expectation.Successor(pod); ok {
			return larger(holds, with(holds, r)), nil
		}
	}
	// The spec of a pod has its first generation until something changes it, and nothing but a resize changes requests.
	if pod.Generation <= 1 {
		return nil, nil
	}
	template, err := m.template(ctx, pod)
	if template == nil || err != nil {
		return nil, err
	}
	asks := resourcehelper.PodRequests(&corev1.Pod{Spec: template.Spec}, resourcehelper.PodResourcesOptions{})
	return larger(holds, asks), nil
}

// template is what the controller of a pod creates its pods from, or nil for other controllers than those of the apps group.
func (m *Machinery) template(ctx context.Context, pod *corev1.Pod) (*corev1.PodTemplateSpec, error) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return nil, nil
	}
	key := client.ObjectKey{Namespace: pod.Namespace, Name: owner.Name}
	switch owner.Kind {
	case "ReplicaSet":
		rs := &appsv1.ReplicaSet{}
		if err := m.cfg.Client.Get(ctx, key, rs); err != nil {
			return nil, client.IgnoreNotFound(fmt.Errorf("reading replicaset %s, %w", key, err))
		}
		return &rs.Spec.Template, nil
	case "StatefulSet":
		set := &appsv1.StatefulSet{}
		if err := m.cfg.Client.Get(ctx, key, set); err != nil {
			return nil, client.IgnoreNotFound(fmt.Errorf("reading statefulset %s, %w", key, err))
		}
		return &set.Spec.Template, nil
	}
	return nil, nil
}

// with returns a list with another amount of CPU and memory.
func with(list corev1.ResourceList, r demand.Resources) corev1.ResourceList {
	out := list.DeepCopy()
	if out == nil {
		out = corev1.ResourceList{}
	}
	out[corev1.ResourceCPU] = *resource.NewMilliQuantity(r.MilliCPU, resource.DecimalSI)
	out[corev1.ResourceMemory] = *resource.NewQuantity(r.MemoryBytes, resource.BinarySI)
	return out
}

// larger returns the larger amount of each resource, or nil where b exceeds a in none.
func larger(a, b corev1.ResourceList) corev1.ResourceList {
	var out corev1.ResourceList
	for name, q := range b {
		if has := a[name]; q.Cmp(has) <= 0 {
			continue
		}
		if out == nil {
			if out = a.DeepCopy(); out == nil {
				out = corev1.ResourceList{}
			}
		}
		out[name] = q.DeepCopy()
	}
	return out
}
