package workload

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// Containers are those that are recommended for: those that the workload's template states, and where its scaler says so also those
// that were injected into its newest pod; without a template those of the newest pod. Of a pod that was changed, what it asked for
// before counts. Containers of a group are one, by the name of the group.
func (w *Workload) Containers() []corev1.Container {
	var out []corev1.Container
	add := func(c corev1.Container) {
		c.Name = policy.GroupName(w.groups, c.Name)
		if !slices.ContainsFunc(out, func(known corev1.Container) bool { return known.Name == c.Name }) {
			out = append(out, c)
		}
	}
	if w.Template != nil {
		for _, c := range w.Template.Spec.Containers {
			add(c)
		}
	}
	newest := w.newest()
	if newest == nil || w.Template != nil && !w.injected {
		return out
	}
	original, err := policy.ParseOriginals(newest.Annotations[v1alpha1.OriginalResourcesAnnotation])
	for _, c := range newest.Spec.Containers {
		if r, ok := original[c.Name]; ok && err == nil {
			c.Resources = r
		}
		add(c)
	}
	return out
}

// Recommended is what a recommendation says for the containers of one pod, by their own names: those of groups are told apart, and
// those that were injected are left out unless the scaler says otherwise.
func (w *Workload) Recommended(pod *corev1.Pod, recommended []v1alpha1.ContainerRecommendation) []v1alpha1.ContainerRecommendation {
	return policy.ForPod(pod, w.groups, recommended, w.Ours)
}

// Ours tells whether a container of a pod is recommended for and changed: it is of the template, or injected ones are treated alike.
func (w *Workload) Ours(container string) bool {
	if w.Template == nil || w.injected {
		return true
	}
	return slices.ContainsFunc(w.Template.Spec.Containers, func(c corev1.Container) bool { return c.Name == container })
}

// Group is the name under which a container is recommended for: its own, or that of its group.
func (w *Workload) Group(container string) string { return policy.GroupName(w.groups, container) }
