package plans_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"supercargo.dev/scheduler-plugins/plans"
)

func TestParse(t *testing.T) {
	for name, tc := range map[string]struct {
		value string
		want  []types.UID
	}{
		"no pods":                {"", nil},
		"one":                    {"a", []types.UID{"a"}},
		"several":                {"a,b", []types.UID{"a", "b"}},
		"what a person mistypes": {" a,, b,", []types.UID{"a", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, plans.Parse(tc.value)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlans(t *testing.T) {
	p := plans.New()
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: pods should be tried again: %t, want %t", what, got, want)
		}
	}
	claim := func(pod types.UID) string { plan, _ := p.Of(pod); return plan.Claim }
	check("a claim for nobody", p.Set(plans.Plan{Claim: "idle"}, nil), false)
	check("a claim in flight", p.Set(plans.Plan{Claim: "first"}, []types.UID{"a", "b"}), false)
	check("the same again", p.Set(plans.Plan{Claim: "first"}, []types.UID{"a", "b"}), false)
	check("it has its node", p.Set(plans.Plan{Claim: "first", Node: "n"}, []types.UID{"a", "b"}), true)
	check("it goes", p.Set(plans.Plan{Claim: "first", Node: "n", Going: true}, []types.UID{"a", "b"}), true)
	check("another for one of its pods", p.Set(plans.Plan{Claim: "second"}, []types.UID{"b"}), false)
	if claim("a") != "first" || claim("b") != "second" {
		t.Errorf("a is planned on %q and b on %q, want first and second", claim("a"), claim("b"))
	}
	check("the first is gone", p.Delete("first"), true)
	if claim("a") != "" || claim("b") != "second" {
		t.Errorf("a is planned on %q and b on %q, want none and second", claim("a"), claim("b"))
	}
	check("one that nobody knows is gone", p.Delete("idle"), false)
}
