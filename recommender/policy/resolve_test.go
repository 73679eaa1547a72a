package policy

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
)

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// makePolicy builds a valid policy that matches everything, created some hours after t0.
func makePolicy(name string, priority int32, hours int, refs ...v1alpha1.WorkloadSelector) v1alpha1.AutoscalingPolicy {
	return v1alpha1.AutoscalingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(t0.Add(time.Duration(hours) * time.Hour))},
		Spec: v1alpha1.AutoscalingPolicySpec{
			Priority: priority, TargetRefs: refs,
			UpdateSchedule: []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}},
		},
	}
}

func TestThePolicyOfHighestPriorityThenAgeThenNameGoverns(t *testing.T) {
	off := makePolicy("off", 99, 0)
	off.Spec.Enable = ptr.To(false)
	going := makePolicy("going", 99, 0)
	going.DeletionTimestamp = ptr.To(metav1.NewTime(t0))
	broken := makePolicy("broken", 99, 0)
	broken.Spec.UpdateSchedule[0].Timezone = "Mars/Olympus"
	others := makePolicy("others", 99, 0, v1alpha1.WorkloadSelector{Kind: "StatefulSet"}, v1alpha1.WorkloadSelector{Namespace: "stage-*"})
	for name, c := range map[string]struct {
		policies []v1alpha1.AutoscalingPolicy
		want     string
	}{
		"none":                {nil, ""},
		"the higher priority": {[]v1alpha1.AutoscalingPolicy{makePolicy("low", 1, 0), makePolicy("high", 2, 5)}, "high"},
		"of equals the older": {[]v1alpha1.AutoscalingPolicy{makePolicy("young", 1, 5), makePolicy("old", 1, 0)}, "old"},
		"of equally old ones the first by name": {
			[]v1alpha1.AutoscalingPolicy{makePolicy("b", 1, 0), makePolicy("a", 1, 0)}, "a",
		},
		"not one that is off, going, broken or about others": {
			[]v1alpha1.AutoscalingPolicy{off, going, broken, others, makePolicy("plain", -5, 0)}, "plain",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, policies := range [][]v1alpha1.AutoscalingPolicy{c.policies, reversed(c.policies)} {
				got := ""
				if p := Resolve(policies, Target{Kind: "Deployment", Namespace: "prod", Name: "web"}); p != nil {
					got = p.Name
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func reversed[T any](in []T) []T {
	var out []T
	for i := len(in) - 1; i >= 0; i-- {
		out = append(out, in[i])
	}
	return out
}

func TestShadowedPoliciesAreListedByPrecedence(t *testing.T) {
	policies := []v1alpha1.AutoscalingPolicy{makePolicy("c", 1, 0), makePolicy("b", 2, 0), makePolicy("a", 3, 0)}
	got := ""
	for _, p := range Shadowed(policies, Target{}) {
		got += p.Name
	}
	if got != "bc" {
		t.Errorf("got %q", got)
	}
}

// The globs are those of the documentation that C8 stands for.
func TestGlobsMatchTheWholeValue(t *testing.T) {
	for _, c := range []struct {
		glob     string
		yes, no  []string
		wantFail bool
	}{
		{glob: "", yes: []string{"web", ""}},
		{glob: "*", yes: []string{"web", "ns-1", "default"}},
		{glob: "web-*", yes: []string{"web-1", "web-prod-a"}, no: []string{"api-web-1"}},
		{glob: "*-prod", yes: []string{"core-prod", "a-prod"}, no: []string{"prod-core"}},
		{glob: "front?", yes: []string{"front1", "fronta"}, no: []string{"front10", "front"}},
		{glob: "job-??", yes: []string{"job-01", "job-ab"}, no: []string{"job-1", "job-001"}},
		{glob: "ns-[0-9][0-9]-*", yes: []string{"ns-01-a", "ns-99-x"}, no: []string{"ns-1-a"}},
		{glob: "db[0-2]", yes: []string{"db0", "db1", "db2"}, no: []string{"db3", "db-2"}},
		{glob: "[^0-9]*", yes: []string{"app1", "ns-x"}, no: []string{"9app"}},
		{glob: "db[0-2", wantFail: true},
	} {
		for want, values := range map[bool][]string{true: c.yes, false: c.no} {
			for _, v := range values {
				if got, err := MatchGlob(c.glob, v); err != nil || got != want {
					t.Errorf("%q on %q: %v, %v", c.glob, v, got, err)
				}
			}
		}
		if c.wantFail {
			if _, err := MatchGlob(c.glob, "db1"); err == nil {
				t.Errorf("%q is accepted", c.glob)
			}
		}
	}
}

func TestSelectorsMatchByKindAndLabels(t *testing.T) {
	java := Target{Kind: "Deployment", Namespace: "prod", Name: "web", Labels: map[string]string{"tier": "gold", "lang": "java"}}
	expression := func(key string, op metav1.LabelSelectorOperator, values ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: key, Operator: op, Values: values}}}
	}
	for i, c := range []struct {
		s    v1alpha1.WorkloadSelector
		want bool
	}{
		{v1alpha1.WorkloadSelector{}, true},
		{v1alpha1.WorkloadSelector{Kind: "StatefulSet"}, false},
		{v1alpha1.WorkloadSelector{LabelSelector: expression("lang", metav1.LabelSelectorOpIn, "java")}, true},
		{v1alpha1.WorkloadSelector{LabelSelector: expression("tier", metav1.LabelSelectorOpNotIn, "gold")}, false},
		{v1alpha1.WorkloadSelector{LabelSelector: expression("tier", metav1.LabelSelectorOpExists)}, true},
		{v1alpha1.WorkloadSelector{LabelSelector: expression("lang", metav1.LabelSelectorOpDoesNotExist)}, false},
	} {
		if got, err := Matches(c.s, java); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", fmt.Sprint(i), got, err)
		}
	}
	if _, err := Matches(v1alpha1.WorkloadSelector{LabelSelector: expression("tier", "Near", "x")}, java); err == nil {
		t.Error("operator Near is accepted")
	}
}

func FuzzMatchGlob(f *testing.F) {
	f.Add("ns-[0-9]*", "ns-1")
	f.Add("[^a]?\\", "b")
	f.Fuzz(func(t *testing.T, glob, value string) {
		if ok, err := MatchGlob(glob, value); err != nil && ok {
			t.Error("a malformed glob matches")
		}
	})
}
