package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"supercargo.dev/api/v1alpha1"
)

// Validate finds what is wrong with a policy, in the schema's reach and beyond it. Each error says what to write instead.
func Validate(spec v1alpha1.AutoscalingPolicySpec) field.ErrorList {
	root := field.NewPath("spec")
	_, errs := ParseSchedule(spec.UpdateSchedule, root.Child("updateSchedule"))
	if len(spec.UpdateSchedule) == 0 {
		errs = append(errs, field.Required(root.Child("updateSchedule"), "list at least one item, such as {name: always, mode: OnCreate}"))
	}
	for i, s := range spec.TargetRefs {
		if _, err := Matches(s, Target{}); err != nil {
			errs = append(errs, field.Invalid(root.Child("targetRefs").Index(i), s.Namespace+"/"+s.Name, err.Error()))
		}
		// A selector that does not match by name is not looked at any further.
		if _, err := Matches(v1alpha1.WorkloadSelector{LabelSelector: s.LabelSelector}, Target{}); err != nil {
			errs = append(errs, field.Invalid(root.Child("targetRefs").Index(i).Child("labelSelector"), "", err.Error()))
		}
	}
	_, ruleErrs := parseRules(&spec, root)
	errs = append(errs, ruleErrs...)
	removals := []v1alpha1.RemovalPolicy{v1alpha1.RemovalOff, v1alpha1.RemovalReCreate, v1alpha1.RemovalInPlace}
	if spec.OnPolicyRemoval != "" && !slices.Contains(removals, spec.OnPolicyRemoval) {
		errs = append(errs, field.NotSupported(root.Child("onPolicyRemoval"), spec.OnPolicyRemoval, removals))
	}
	return errs
}

// managed are the resources that a policy may change.
func managed() []corev1.ResourceName {
	return []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory}
}

// reasons for which a fallback may be stated.
func reasons() []v1alpha1.FallbackReason {
	return []v1alpha1.FallbackReason{
		v1alpha1.ReasonPodResizePending, v1alpha1.ReasonQoSChangeForbidden, v1alpha1.ReasonMemoryLimitsAddForbidden,
		v1alpha1.ReasonResourceLimitsRemoveForbidden, v1alpha1.ReasonRequestsRemoveForbidden,
		v1alpha1.ReasonMemoryLimitCannotBeDecreased, v1alpha1.ReasonJVMHeapDrift,
	}
}

func validateFallback(f v1alpha1.InPlaceFallback, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	policies := []v1alpha1.FallbackPolicy{v1alpha1.FallbackRecreate, v1alpha1.FallbackHold}
	if f.DefaultPolicy != "" && !slices.Contains(policies, f.DefaultPolicy) {
		errs = append(errs, field.NotSupported(path.Child("defaultPolicy"), f.DefaultPolicy, policies))
	}
	for reason, p := range f.ReasonPolicies {
		at := path.Child("reasonPolicies").Key(reason)
		if !slices.Contains(reasons(), v1alpha1.FallbackReason(reason)) {
			errs = append(errs, field.NotSupported(at, reason, reasons()))
		}
		if !slices.Contains(policies, p) {
			errs = append(errs, field.NotSupported(at, p, policies))
		}
	}
	slices.SortFunc(errs, func(a, b *field.Error) int { return compare(a.Field, b.Field) })
	return errs
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
