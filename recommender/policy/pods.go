package policy

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/api/v1alpha1"
)

// namePlaceholder stands for the name of the workload in a podNamePattern.
const namePlaceholder = "{name}"

// PodMatcher tells which pods of the scaler's namespace belong to its workload, for a scaler that does not follow owner references:
// by podSelector, by podNamePattern, or by the selector of the scale subresource that its status holds. It is nil for one that follows
// owner references. The error names the field that cannot be read, or that would claim every pod of the namespace.
func PodMatcher(s *v1alpha1.WorkloadScaler) (func(*corev1.Pod) bool, error) {
	switch {
	case s.Spec.PodSelector != nil:
		sel, err := metav1.LabelSelectorAsSelector(s.Spec.PodSelector)
		if err != nil {
			return nil, fmt.Errorf("podSelector, %w", err)
		}
		return bySelector("podSelector", sel)
	case s.Spec.PodNamePattern != "":
		pattern := strings.ReplaceAll(s.Spec.PodNamePattern, namePlaceholder, s.Spec.TargetRef.Name)
		if _, err := MatchGlob(pattern, ""); err != nil {
			return nil, fmt.Errorf("podNamePattern, %w", err)
		}
		if strings.Trim(pattern, "*") == "" {
			return nil, fmt.Errorf("podNamePattern %q would match every pod of the namespace; name more of them, such as {name}-*", pattern)
		}
		return func(p *corev1.Pod) bool {
			ok, err := MatchGlob(pattern, podName(p))
			return ok && err == nil
		}, nil
	case s.Status.PodSelector != "":
		sel, err := labels.Parse(s.Status.PodSelector)
		if err != nil {
			return nil, fmt.Errorf("the selector of the scale subresource, %w", err)
		}
		return bySelector("the selector of the scale subresource", sel)
	}
	return nil, nil
}

func bySelector(field string, sel labels.Selector) (func(*corev1.Pod) bool, error) {
	if sel.Empty() {
		return nil, fmt.Errorf("%s is empty and would match every pod of the namespace", field)
	}
	return func(p *corev1.Pod) bool { return sel.Matches(labels.Set(p.Labels)) }, nil
}

// podName is the name of a pod, or one of the shape that the API server will give it: five characters follow generateName.
func podName(p *corev1.Pod) string {
	if p.Name == "" && p.GenerateName != "" {
		return p.GenerateName + "xxxxx"
	}
	return p.Name
}
