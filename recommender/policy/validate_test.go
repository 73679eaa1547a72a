package policy

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"supercargo.dev/api/v1alpha1"
)

func TestPoliciesThatCannotWorkAreRefusedByField(t *testing.T) {
	type spec = v1alpha1.AutoscalingPolicySpec
	for name, c := range map[string]struct {
		edit  func(*spec)
		field string
	}{
		"a right one":      {func(*spec) {}, ""},
		"no schedule":      {func(s *spec) { s.UpdateSchedule = nil }, "spec.updateSchedule"},
		"a malformed glob": {func(s *spec) { s.TargetRefs = []v1alpha1.WorkloadSelector{{Name: "[a"}} }, "spec.targetRefs[0]"},
		"a malformed selector": {func(s *spec) {
			s.TargetRefs = []v1alpha1.WorkloadSelector{{Name: "x", LabelSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "In"}}}}}
		}, "spec.targetRefs[0].labelSelector"},
		"a resource that is not managed": {func(s *spec) { s.UpdateResources = []corev1.ResourceName{"disk"} }, "spec.updateResources[0]"},
		"a limit without its multiplier": {func(s *spec) { s.LimitPolicies = limitPolicy("Multiplier", "") }, "spec.limitPolicies[cpu].multiplier"},
		"a multiplier below 1":           {func(s *spec) { s.LimitPolicies = limitPolicy("Auto", "0.5") }, "spec.limitPolicies[cpu].multiplier"},
		"a multiplier of nothing":        {func(s *spec) { s.LimitPolicies = limitPolicy("Keep", "2") }, "spec.limitPolicies[cpu].multiplier"},
		"an unknown limit policy":        {func(s *spec) { s.LimitPolicies = limitPolicy("Double", "") }, "spec.limitPolicies[cpu].policy"},
		"a drift that is no amount": {func(s *spec) {
			s.DriftThresholds = map[corev1.ResourceName]intstr.IntOrString{"cpu": intstr.FromString("a lot")}
		}, "spec.driftThresholds[cpu]"},
		"a drift of another resource": {func(s *spec) {
			s.DriftThresholds = map[corev1.ResourceName]intstr.IntOrString{"gpu": intstr.FromString("1")}
		}, "spec.driftThresholds[gpu]"},
		"an unknown drift base": {func(s *spec) { s.DriftBase = "Past" }, "spec.driftBase"},
		"an unknown fallback":   {func(s *spec) { s.InPlaceFallback.DefaultPolicy = "panic" }, "spec.inPlaceFallback.defaultPolicy"},
		"an unknown reason":     {func(s *spec) { s.InPlaceFallback.ReasonPolicies = map[string]v1alpha1.FallbackPolicy{"Mood": "hold"} }, "spec.inPlaceFallback.reasonPolicies[Mood]"},
		"a boost of nothing":    {func(s *spec) { s.StartupBoost = &v1alpha1.StartupBoost{Enabled: true} }, "spec.startupBoost"},
		"a boost beyond 5": {func(s *spec) {
			s.StartupBoost = &v1alpha1.StartupBoost{Enabled: true, CPUMultiplier: "6"}
		}, "spec.startupBoost.cpuMultiplier"},
		"a boost for days": {func(s *spec) {
			s.StartupBoost = &v1alpha1.StartupBoost{Enabled: true, CPUMultiplier: "2", MinReady: &metav1.Duration{Duration: 48 * time.Hour}}
		}, "spec.startupBoost.minReady"},
		"restoring in place": {func(s *spec) { s.OnPolicyRemoval = v1alpha1.RemovalInPlace }, ""},
		"an unknown removal": {func(s *spec) { s.OnPolicyRemoval = "Burn" }, "spec.onPolicyRemoval"},
	} {
		t.Run(name, func(t *testing.T) {
			s := makePolicy("p", 0, 0).Spec
			c.edit(&s)
			errs := Validate(s)
			if c.field == "" {
				if len(errs) > 0 {
					t.Error(errs.ToAggregate())
				}
				return
			}
			if len(errs) != 1 || errs[0].Field != c.field {
				t.Errorf("got %v, want one about %s", errs, c.field)
			}
		})
	}
}

func limitPolicy(p, multiplier string) map[corev1.ResourceName]v1alpha1.LimitPolicy {
	return map[corev1.ResourceName]v1alpha1.LimitPolicy{corev1.ResourceCPU: {Policy: v1alpha1.LimitPolicyType(p), Multiplier: multiplier}}
}

func TestRulesAreReadFromASpec(t *testing.T) {
	s := makePolicy("p", 0, 0).Spec
	s.LimitPolicies = limitPolicy("Multiplier", "1.5")
	s.DriftThresholds = map[corev1.ResourceName]intstr.IntOrString{"cpu": intstr.FromString("20%")}
	r, err := ParseRules(&s)
	if err != nil || r.Limits["cpu"].Multiplier != 1.5 || r.Drift["cpu"].Share != 0.2 {
		t.Errorf("got %+v, %v", r, err)
	}
	s.DriftBase = "Past"
	if _, err := ParseRules(&s); err == nil || !strings.Contains(err.Error(), "driftBase") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseRules(nil); err != nil {
		t.Errorf("defaults: %v", err)
	}
}
