package placement_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/scheduler-plugins/placement"
)

func makePolicy(name string, spec v1alpha1.PlacementPolicySpec, age time.Duration) *v1alpha1.PlacementPolicy {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age)
	return &v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(created), Generation: 1}, Spec: spec}
}

func word(s string) map[string]string { return map[string]string{v1alpha1.SpotAnnotation: s} }

func TestResolve(t *testing.T) {
	db := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "db"}}
	prod := &metav1.LabelSelector{MatchLabels: map[string]string{"env": "prod"}}
	for name, tc := range map[string]struct {
		policies       []*v1alpha1.PlacementPolicy
		pod, namespace placement.Object
		want           placement.Rules
	}{
		"nobody says anything": {want: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 100, Source: "default"}},
		"a policy that selects nothing in particular holds for all": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("all", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotPrefer, MinOnDemandReplicas: 2, MaxSpotSharePercent: ptr.To[int32](60)}, 0)},
			want:     placement.Rules{Tolerance: v1alpha1.SpotPrefer, MinOnDemand: 2, MaxSpotPercent: 60, Source: "placementpolicy all"},
		},
		"the higher priority wins": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("low", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotPrefer}, time.Hour), makePolicy("high", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever, Priority: 1}, 0)},
			want:     placement.Rules{Tolerance: v1alpha1.SpotNever, MaxSpotPercent: 100, Source: "placementpolicy high"},
		},
		"of equals the older wins": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("a-young", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotPrefer}, 0), makePolicy("old", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever}, time.Hour)},
			want:     placement.Rules{Tolerance: v1alpha1.SpotNever, MaxSpotPercent: 100, Source: "placementpolicy old"},
		},
		"both selectors must match": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("both", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever, PodSelector: db, NamespaceSelector: prod}, 0)},
			pod:      placement.Object{Labels: map[string]string{"tier": "db"}}, namespace: placement.Object{Labels: map[string]string{"env": "test"}},
			want: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 100, Source: "default"},
		},
		"both do": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("both", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever, PodSelector: db, NamespaceSelector: prod}, 0)},
			pod:      placement.Object{Labels: map[string]string{"tier": "db"}}, namespace: placement.Object{Labels: map[string]string{"env": "prod"}},
			want: placement.Rules{Tolerance: v1alpha1.SpotNever, MaxSpotPercent: 100, Source: "placementpolicy both"},
		},
		"an annotation changes the tolerance and not the base": {
			policies: []*v1alpha1.PlacementPolicy{makePolicy("all", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotTolerate, MinOnDemandReplicas: 2}, 0)},
			pod:      placement.Object{Annotations: word("prefer")}, namespace: placement.Object{Annotations: word("never")},
			want: placement.Rules{Tolerance: v1alpha1.SpotPrefer, MinOnDemand: 2, MaxSpotPercent: 100, Source: "pod annotation"},
		},
		"the namespace's annotation wins over a policy": {
			policies:  []*v1alpha1.PlacementPolicy{makePolicy("all", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotPrefer}, 0)},
			namespace: placement.Object{Annotations: word("never")},
			want:      placement.Rules{Tolerance: v1alpha1.SpotNever, MaxSpotPercent: 100, Source: "namespace annotation"},
		},
		"case and spaces do not matter":   {pod: placement.Object{Annotations: word(" Require ")}, want: placement.Rules{Tolerance: v1alpha1.SpotRequire, MaxSpotPercent: 100, Source: "pod annotation"}},
		"an empty word is not understood": {pod: placement.Object{Annotations: word("")}, want: placement.Rules{Tolerance: v1alpha1.SpotNever, MaxSpotPercent: 100, Source: "pod annotation"}},
	} {
		t.Run(name, func(t *testing.T) {
			table := placement.NewTable()
			for _, p := range tc.policies {
				if _, err := table.Set(p); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, placement.Resolve(tc.pod, tc.namespace, table.Policies(), v1alpha1.SpotTolerate)); diff != "" {
				t.Errorf("rules (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSpotOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		rules placement.Rules
		have  placement.Replicas
		want  bool
	}{
		"without limits spot is open":                 {rules: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 100}, have: placement.Replicas{Total: 9, Spot: 8}, want: true},
		"the base comes first":                        {rules: placement.Rules{Tolerance: v1alpha1.SpotPrefer, MinOnDemand: 2, MaxSpotPercent: 100}, have: placement.Replicas{Total: 9, OnDemand: 1}},
		"with the base in place":                      {rules: placement.Rules{Tolerance: v1alpha1.SpotPrefer, MinOnDemand: 2, MaxSpotPercent: 100}, have: placement.Replicas{Total: 9, OnDemand: 2}, want: true},
		"one more fits the share":                     {rules: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 50}, have: placement.Replicas{Total: 4, Spot: 1}, want: true},
		"the share is used up":                        {rules: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 50}, have: placement.Replicas{Total: 4, Spot: 2}},
		"half of three is one":                        {rules: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 50}, have: placement.Replicas{Total: 3, Spot: 1}},
		"a single replica has no half":                {rules: placement.Rules{Tolerance: v1alpha1.SpotTolerate, MaxSpotPercent: 50}, have: placement.Replicas{Total: 1}},
		"whoever requires spot is not kept off it":    {rules: placement.Rules{Tolerance: v1alpha1.SpotRequire, MinOnDemand: 2, MaxSpotPercent: 0}, have: placement.Replicas{Total: 1}, want: true},
		"whoever may never use it has nothing to ask": {rules: placement.Rules{Tolerance: v1alpha1.SpotNever, MinOnDemand: 2}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, why := tc.rules.SpotOpen(tc.have)
			if got != tc.want || got == (why != "") {
				t.Errorf("got %v, %q, want %v", got, why, tc.want)
			}
		})
	}
}

func TestTable(t *testing.T) {
	table := placement.NewTable()
	policy := makePolicy("p", v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever}, 0)
	if changed, err := table.Set(policy); !changed || err != nil {
		t.Errorf("a new policy: %v, %v", changed, err)
	}
	if changed, _ := table.Set(policy); changed {
		t.Error("a status update counts as a change")
	}
	replaced := policy.DeepCopy()
	replaced.CreationTimestamp = metav1.NewTime(policy.CreationTimestamp.Add(time.Minute))
	if changed, _ := table.Set(replaced); !changed {
		t.Error("a policy that was deleted and created anew counts as the old one")
	}
	broken := policy.DeepCopy()
	broken.Generation = 2
	broken.Spec.PodSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	if changed, err := table.Set(broken); !changed || err == nil {
		t.Errorf("a broken policy: %v, %v", changed, err)
	}
	if n := len(table.Policies()); n != 0 {
		t.Errorf("%d policies after the only one broke", n)
	}
	if _, err := table.Set(policy); err != nil {
		t.Fatal(err)
	}
	table.Delete("p")
	if n := len(table.Policies()); n != 0 {
		t.Errorf("%d policies after the only one was deleted", n)
	}
}

func FuzzAnnotation(f *testing.F) {
	f.Add("never")
	f.Add(" PREFER")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, value string) {
		switch got := placement.Resolve(placement.Object{Annotations: word(value)}, placement.Object{}, nil, v1alpha1.SpotPrefer).Tolerance; got {
		case v1alpha1.SpotNever, v1alpha1.SpotTolerate, v1alpha1.SpotPrefer, v1alpha1.SpotRequire:
		default:
			t.Errorf("%q became %q", value, got)
		}
	})
}
