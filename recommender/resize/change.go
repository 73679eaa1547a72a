package resize

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

// Change is a pod and what it is to have.
type Change struct {
	Pod *corev1.Pod
	// Current and Desired are the resources of the containers that are the workload's own; injected ones are left out unless its
	// scaler says otherwise.
	Current, Desired map[string]corev1.ResourceRequirements
	// Deviations by at least the drift threshold. None: the pod is up to date.
	Deviations []policy.Deviation
	// Hash of Desired.
	Hash string
	// Boosted is true while the pod runs with its startup boost. Current is then what it has without it.
	Boosted bool
}

// Changes compares the pods of a workload with a recommendation.
func Changes(w *workload.Workload, recommended []v1alpha1.ContainerRecommendation, rules policy.Rules) ([]Change, error) {
	out := make([]Change, 0, len(w.Pods))
	for _, pod := range w.Pods {
		names := sets.New[string]()
		for i := range pod.Spec.Containers {
			if name := pod.Spec.Containers[i].Name; w.Ours(name) {
				names.Insert(name)
			}
		}
		c := Change{Pod: pod, Current: only(policy.Containers(pod.Spec), names)}
		if policy.IsBoosted(pod) {
			unboosted, err := unboosted(pod)
			if err != nil {
				return nil, fmt.Errorf("reading what pod %s/%s has without its boost, %w", pod.Namespace, pod.Name, err)
			}
			c.Boosted, c.Current = true, only(unboosted, names)
		}
		original, err := Originals(pod)
		if err != nil {
			return nil, fmt.Errorf("reading what pod %s/%s asked for, %w", pod.Namespace, pod.Name, err)
		}
		if original == nil {
			// The pod, not the template: admission plugins such as LimitRanger add defaults that the template lacks and that
			// cannot be taken away from a running pod.
			original = c.Current
		}
		c.Desired = only(policy.Desired(original, w.Recommended(pod, recommended), rules), names)
		c.Deviations = policy.Drift(c.Current, c.Desired, rules)
		c.Hash = policy.Hash(c.Desired)
		out = append(out, c)
	}
	return out, nil
}

// Originals returns what a pod asked for before a recommendation was first applied to it, nil where none was.
func Originals(pod *corev1.Pod) (map[string]corev1.ResourceRequirements, error) {
	text, ok := pod.Annotations[v1alpha1.OriginalResourcesAnnotation]
	if !ok {
		return nil, nil
	}
	return policy.ParseOriginals(text)
}

func only(m map[string]corev1.ResourceRequirements, names sets.Set[string]) map[string]corev1.ResourceRequirements {
	out := make(map[string]corev1.ResourceRequirements, len(names))
	for name, r := range m {
		if names.Has(name) {
			out[name] = r
		}
	}
	return out
}
