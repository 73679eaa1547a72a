package demand

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// scaler is what the index keeps of a WorkloadScaler: enough to answer for a pod, and no pointer into the object.
type scaler struct {
	id      types.NamespacedName
	created metav1.Time
	target  Owner
	selects func(*corev1.Pod) bool // nil: pods are found through their owners
	mode    v1alpha1.UpdateMode
	// containers is what the policy will apply; nil where it applies nothing.
	containers map[string]corev1.ResourceRequirements
	// groups join containers by name.
	groups []v1alpha1.ContainerGroup
	// fingerprint tells whether an event changed anything that matters here.
	fingerprint string
}

func newScaler(object *v1alpha1.WorkloadScaler) (*scaler, error) {
	ref := object.Spec.TargetRef
	if ref.Namespace != "" && ref.Namespace != object.Namespace {
		return nil, fmt.Errorf("workloadscaler %s/%s names a workload of another namespace, %q", object.Namespace, object.Name, ref.Namespace)
	}
	s := &scaler{
		id:      types.NamespacedName{Namespace: object.Namespace, Name: object.Name},
		created: object.CreationTimestamp,
		target:  Owner{Namespace: object.Namespace, Group: groupOf(ref.APIVersion), Kind: ref.Kind, Name: ref.Name},
	}
	// The recommendation's own hash is left out: an answer depends on the numbers, whoever hashed them and how.
	text := []string{s.target.Group, s.target.Kind, s.target.Name, ""}
	selects, err := policy.PodMatcher(object)
	if err != nil {
		return nil, fmt.Errorf("reading which pods workloadscaler %s/%s binds, %w", object.Namespace, object.Name, err)
	}
	if s.selects = selects; selects != nil {
		text[len(text)-1] = metav1.FormatLabelSelector(object.Spec.PodSelector) + "\x00" + object.Spec.PodNamePattern + "\x00" + object.Status.PodSelector
	}
	for _, g := range object.Spec.Resources.ContainerGroups {
		text = append(text, g.Name, g.Pattern)
	}
	s.groups = object.Spec.Resources.ContainerGroups
	if recommendation := applicable(object); recommendation != nil {
		s.mode = object.Status.Policy.Mode
		text = append(text, string(s.mode))
		s.containers = make(map[string]corev1.ResourceRequirements, len(recommendation.Containers))
		for i := range recommendation.Containers {
			c := &recommendation.Containers[i]
			changed := corev1.ResourceRequirements{
				Requests: only(c.Requests, object.Status.Policy.Resources), Limits: only(c.Limits, object.Status.Policy.Resources),
			}
			s.containers[c.Name] = changed
			text = append(text, c.Name)
			for _, list := range []corev1.ResourceList{changed.Requests, changed.Limits} {
				for _, name := range slices.Sorted(maps.Keys(list)) {
					quantity := list[name]
					text = append(text, string(name), quantity.String())
				}
				text = append(text, "")
			}
		}
	}
	s.fingerprint = strings.Join(text, "\x00")
	return s, nil
}

// only copies the resources that a policy changes; none named means all.
func only(list corev1.ResourceList, changed []corev1.ResourceName) corev1.ResourceList {
	out := list.DeepCopy()
	for name := range out {
		if len(changed) > 0 && !slices.Contains(changed, name) {
			delete(out, name)
		}
	}
	return out
}

// applicable returns the recommendation that the policy in force will apply, or nil: in Preview and Off, at low confidence,
// and before there is one.
func applicable(object *v1alpha1.WorkloadScaler) *v1alpha1.Recommendation {
	if object.Status.Policy == nil || object.Status.Recommendation == nil {
		return nil
	}
	switch object.Status.Policy.Mode {
	case v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace, v1alpha1.UpdateModeAuto:
	default:
		return nil
	}
	if object.Status.Recommendation.Confidence.Level != v1alpha1.ConfidenceFull {
		return nil
	}
	return object.Status.Recommendation
}

// AsIfApplied returns the scaler as it would be if its recommendation were applied to pods that run, whatever its mode: in Preview, where
// everything starts, a forecast is what shows the worth of a recommendation. At low confidence it still applies to nobody.
func AsIfApplied(object *v1alpha1.WorkloadScaler) *v1alpha1.WorkloadScaler {
	out := *object
	policy := v1alpha1.MatchedPolicy{}
	if object.Status.Policy != nil {
		policy = *object.Status.Policy
	}
	policy.Mode = v1alpha1.UpdateModeAuto
	out.Status.Policy = &policy
	return &out
}

// governs says whether the scaler changes a pod that exists already: OnCreate has done so by the time the pod exists.
// A pod with a startup boost keeps it for now, and counts as what it has.
func (s *scaler) governs(pod *corev1.Pod) bool {
	if s == nil || policy.IsBoosted(pod) || len(s.containers) == 0 || pod.Annotations[v1alpha1.DisabledAnnotation] == "true" {
		return false
	}
	return s.mode != v1alpha1.UpdateModeOnCreate || pod.UID == ""
}

// forPod is what the policy will apply to a pod, by the names of its containers.
func (s *scaler) forPod(pod *corev1.Pod) map[string]corev1.ResourceRequirements {
	if len(s.groups) == 0 {
		return s.containers
	}
	out := make(map[string]corev1.ResourceRequirements, len(pod.Spec.Containers))
	for i := range pod.Spec.Containers {
		name := pod.Spec.Containers[i].Name
		if r, ok := s.containers[policy.GroupName(s.groups, name)]; ok {
			out[name] = r
		}
	}
	return out
}

// older orders scalers of one target: the older answers, as with policies of one priority.
func older(a, b *scaler) int {
	if !a.created.Equal(&b.created) {
		if a.created.Before(&b.created) {
			return -1
		}
		return 1
	}
	return strings.Compare(a.id.Name, b.id.Name)
}

func insert(list []*scaler, s *scaler) []*scaler {
	list = append(slices.Clone(list), s)
	slices.SortFunc(list, older)
	return list
}

func remove(list []*scaler, id types.NamespacedName) []*scaler {
	return slices.DeleteFunc(slices.Clone(list), func(s *scaler) bool { return s.id == id })
}
