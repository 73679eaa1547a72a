package policy

import (
	"math"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"supercargo.dev/api/v1alpha1"
)

// Rules is the part of an AutoscalingPolicy that says what resources containers get. The zero value is the default:
// cpu and memory are managed, limits are kept, drift is 10% of the current value.
type Rules struct {
	Resources []corev1.ResourceName // managed; empty: cpu and memory
	Limits    map[corev1.ResourceName]LimitRule
	Drift     map[corev1.ResourceName]Threshold
	DriftBase v1alpha1.DriftBase
	Fallback  v1alpha1.InPlaceFallback
	// QOS class that pods are to have; empty: as requests and limits lead to.
	QOS v1alpha1.QOSPolicy
	// Boost of pods that start; nil: none.
	Boost *Boost
	// LimitRanges of the namespace, within which limits and requests are kept. Not part of a policy: the caller adds them.
	LimitRanges []corev1.LimitRange
}

// LimitRule is a LimitPolicy with its multiplier parsed.
type LimitRule struct {
	Policy     v1alpha1.LimitPolicyType
	Multiplier float64
}

// ParseRules reads the rules of a policy; a nil policy gives the defaults. An invalid spec is an error.
func ParseRules(spec *v1alpha1.AutoscalingPolicySpec) (Rules, error) {
	if spec == nil {
		return Rules{}, nil
	}
	r, errs := parseRules(spec, field.NewPath("spec"))
	return r, errs.ToAggregate()
}

func parseRules(spec *v1alpha1.AutoscalingPolicySpec, root *field.Path) (Rules, field.ErrorList) {
	var errs field.ErrorList
	r := Rules{Resources: slices.Clone(spec.UpdateResources), DriftBase: spec.DriftBase, Fallback: spec.InPlaceFallback, QOS: spec.QOSClass}
	classes := []v1alpha1.QOSPolicy{v1alpha1.QOSPreserve, v1alpha1.QOSGuaranteed, v1alpha1.QOSBurstable}
	if spec.QOSClass != "" && !slices.Contains(classes, spec.QOSClass) {
		errs = append(errs, field.NotSupported(root.Child("qosClass"), spec.QOSClass, classes))
	}
	for i, name := range spec.UpdateResources {
		if !slices.Contains(managed(), name) {
			errs = append(errs, field.NotSupported(root.Child("updateResources").Index(i), name, managed()))
		}
	}
	for _, name := range sortedKeys(spec.LimitPolicies) {
		rule, err := parseLimit(name, spec.LimitPolicies[name], root.Child("limitPolicies").Key(string(name)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if r.Limits == nil {
			r.Limits = map[corev1.ResourceName]LimitRule{}
		}
		r.Limits[name] = rule
	}
	for _, name := range sortedKeys(spec.DriftThresholds) {
		at := root.Child("driftThresholds").Key(string(name))
		v := spec.DriftThresholds[name]
		threshold, err := ParseThreshold(v)
		switch {
		case !slices.Contains(managed(), name):
			errs = append(errs, field.NotSupported(at, name, managed()))
			continue
		case err != nil:
			errs = append(errs, field.Invalid(at, v.String(), err.Error()))
			continue
		}
		if r.Drift == nil {
			r.Drift = map[corev1.ResourceName]Threshold{}
		}
		r.Drift[name] = threshold
	}
	bases := []v1alpha1.DriftBase{v1alpha1.DriftCurrent, v1alpha1.DriftDirectional}
	if spec.DriftBase != "" && !slices.Contains(bases, spec.DriftBase) {
		errs = append(errs, field.NotSupported(root.Child("driftBase"), spec.DriftBase, bases))
	}
	boost, boostErrs := parseBoost(spec.StartupBoost, root.Child("startupBoost"))
	r.Boost = boost
	errs = append(errs, boostErrs...)
	return r, append(errs, validateFallback(spec.InPlaceFallback, root.Child("inPlaceFallback"))...)
}

func parseLimit(name corev1.ResourceName, p v1alpha1.LimitPolicy, at *field.Path) (LimitRule, *field.Error) {
	if !slices.Contains(managed(), name) {
		return LimitRule{}, field.NotSupported(at, name, managed())
	}
	out := LimitRule{Policy: p.Policy}
	multiplied := p.Policy == v1alpha1.LimitMultiplier || p.Policy == v1alpha1.LimitAuto
	switch p.Policy {
	case v1alpha1.LimitRemove, v1alpha1.LimitKeep, v1alpha1.LimitMultiplier, v1alpha1.LimitAuto:
	default:
		return out, field.NotSupported(at.Child("policy"), p.Policy, []v1alpha1.LimitPolicyType{
			v1alpha1.LimitRemove, v1alpha1.LimitKeep, v1alpha1.LimitMultiplier, v1alpha1.LimitAuto,
		})
	}
	if !multiplied {
		if p.Multiplier != "" {
			return out, field.Invalid(at.Child("multiplier"), p.Multiplier, "has no meaning with policy "+string(p.Policy)+"; leave it out")
		}
		return out, nil
	}
	v, err := strconv.ParseFloat(p.Multiplier, 64)
	if err != nil || !(v >= 1 && v <= 1000) || math.IsNaN(v) {
		return out, field.Invalid(at.Child("multiplier"), p.Multiplier, `must be a number from 1 to 1000, such as "1.5"`)
	}
	out.Multiplier = v
	return out, nil
}

// manages tells whether the rules change a resource.
func (r Rules) manages(name corev1.ResourceName) bool {
	if len(r.Resources) == 0 {
		return slices.Contains(managed(), name)
	}
	return slices.Contains(r.Resources, name)
}

func (r Rules) limit(name corev1.ResourceName) LimitRule {
	if l, ok := r.Limits[name]; ok {
		return l
	}
	return LimitRule{Policy: v1alpha1.LimitKeep}
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	out := make([]K, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
