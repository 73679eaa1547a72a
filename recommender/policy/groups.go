package policy

import (
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// GroupName is the name under which a container is recommended for: that of the first group whose pattern it matches, else its own. A
// pattern that is no glob matches nothing.
func GroupName(groups []v1alpha1.ContainerGroup, container string) string {
	for _, g := range groups {
		if ok, err := MatchGlob(g.Pattern, container); ok && err == nil {
			return g.Name
		}
	}
	return container
}

// ForPod gives what is recommended for the containers of one pod, by their own names. ours says which of them may be changed; nil: all.
func ForPod(pod *corev1.Pod, groups []v1alpha1.ContainerGroup, recommended []v1alpha1.ContainerRecommendation, ours func(string) bool) []v1alpha1.ContainerRecommendation {
	out := make([]v1alpha1.ContainerRecommendation, 0, len(pod.Spec.Containers))
	for i := range pod.Spec.Containers {
		name := pod.Spec.Containers[i].Name
		if ours != nil && !ours(name) {
			continue
		}
		group := GroupName(groups, name)
		for _, c := range recommended {
			if c.Name == group {
				c.Name = name
				out = append(out, c)
				break
			}
		}
	}
	return out
}
