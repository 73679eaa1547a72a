package policy

import (
	"fmt"
	"slices"

	"supercargo.dev/api/v1alpha1"
)

// Modes lists the update modes that a scaler may have.
func Modes() []v1alpha1.UpdateMode {
	return []v1alpha1.UpdateMode{
		v1alpha1.UpdateModePreview, v1alpha1.UpdateModeOff, v1alpha1.UpdateModeOnCreate, v1alpha1.UpdateModeReCreate, v1alpha1.UpdateModeInPlace,
		v1alpha1.UpdateModeAuto,
	}
}

// ModeOverride is the mode that a person set on a scaler over that of its rule, empty where nobody did. The error says what is wrong with
// the annotation; the rule's mode then holds.
func ModeOverride(s *v1alpha1.WorkloadScaler) (v1alpha1.UpdateMode, error) {
	text, set := s.Annotations[v1alpha1.UpdateModeAnnotation]
	if !set {
		return "", nil
	}
	if !slices.Contains(Modes(), v1alpha1.UpdateMode(text)) {
		return "", fmt.Errorf("annotation %s of workloadscaler %s/%s is %q, want one of %v; the mode of its rule holds",
			v1alpha1.UpdateModeAnnotation, s.Namespace, s.Name, text, Modes())
	}
	return v1alpha1.UpdateMode(text), nil
}

// SetByHand tells whether a person set the mode of this one scaler: its own scaler, or the override of a rule's.
func SetByHand(s *v1alpha1.WorkloadScaler) bool {
	if s.Labels[v1alpha1.RuleLabel] == "" {
		return true
	}
	mode, err := ModeOverride(s)
	return err == nil && mode != "" && mode == s.Spec.Resources.UpdatePolicy.UpdateMode
}
