package insight

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"supercargo.dev/api/v1alpha1"
)

func scaler(namespace, name string, status v1alpha1.WorkloadScalerStatus) *v1alpha1.WorkloadScaler {
	s := &v1alpha1.WorkloadScaler{Status: status}
	s.Namespace, s.Name = namespace, name+"-scaler"
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
	return s
}

func TestAnItemSaysWhatItsScalerSays(t *testing.T) {
	s := scaler("shop", "web", v1alpha1.WorkloadScalerStatus{
		Labels: map[string]string{"team": "a"}, ReviewOnly: "the workload uses nvidia.com/gpu", Priority: "12.50", Score: ptr.To[int32](40),
		EfficiencyPercent: ptr.To[int32](30), CostImpact: &v1alpha1.CostImpact{Savings: "20.00", Reinvestment: "5.00", Net: "15.00", OnNodePools: "12.00", Realisable: "9.00"},
		Policy:         &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModePreview, AutoscalingPolicy: "nights"},
		Recommendation: &v1alpha1.Recommendation{Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceLow}},
		Applied:        v1alpha1.AppliedStatus{Pods: 3, UpToDate: 1},
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionApplied, Status: metav1.ConditionFalse, Reason: "Preview"},
			{Type: v1alpha1.ConditionUsageFresh, Status: metav1.ConditionFalse, Reason: "Stale", Message: "the newest usage is old"},
		},
	})
	want := Item{
		Cluster: "east", Namespace: "shop", APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Labels: map[string]string{"team": "a"},
		Scaler: "web-scaler", Mode: v1alpha1.UpdateModePreview, Policy: "nights", Confidence: v1alpha1.ConfidenceLow, Score: ptr.To[int32](40),
		EfficiencyPercent: ptr.To[int32](30), Savings: ptr.To(20.0), Reinvestment: ptr.To(5.0), Net: ptr.To(15.0), OnNodePools: ptr.To(12.0), Realisable: ptr.To(9.0),
		Priority: ptr.To(12.5), ReviewOnly: "the workload uses nvidia.com/gpu", Pods: 3, UpToDate: 1, Problem: "Stale: the newest usage is old",
	}
	if d := cmp.Diff(want, ItemOf("east", s)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	empty := ItemOf("", scaler("shop", "new", v1alpha1.WorkloadScalerStatus{}))
	if empty.Net != nil || empty.Priority != nil || empty.Problem != "" {
		t.Errorf("a scaler without a status has amounts: %+v", empty)
	}
}

func TestAFilterSelectsByEachOfItsFields(t *testing.T) {
	item := Item{Cluster: "east-1", Namespace: "prod-shop", Kind: "StatefulSet", Name: "orders", Labels: map[string]string{"team": "a"}}
	selector := func(text string) labels.Selector {
		s, err := labels.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"nothing asked":       {Filter{}, true},
		"cluster":             {Filter{Cluster: "east-?"}, true},
		"another cluster":     {Filter{Cluster: "west-*"}, false},
		"namespace":           {Filter{Namespace: "prod-*"}, true},
		"another namespace":   {Filter{Namespace: "shop"}, false},
		"kind in small":       {Filter{Kind: "statefulset"}, true},
		"another kind":        {Filter{Kind: "Deployment"}, false},
		"name":                {Filter{Name: "ord[a-f]rs"}, true},
		"another name":        {Filter{Name: "order"}, false},
		"labels":              {Filter{Labels: selector("team in (a,b)")}, true},
		"labels it has not":   {Filter{Labels: selector("team!=a")}, false},
		"all of them at once": {Filter{Cluster: "*", Namespace: "prod-*", Kind: "StatefulSet", Name: "orders", Labels: selector("team=a")}, true},
		"one of them does not": {
			Filter{Cluster: "*", Namespace: "prod-*", Kind: "StatefulSet", Name: "orders", Labels: selector("team=b")},
			false,
		},
	} {
		if got := c.filter.Selects(&item); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	err := (&Filter{Namespace: "[a"}).Validate()
	if err == nil || !strings.Contains(err.Error(), "namespace") {
		t.Errorf("a malformed glob: error %v, want one that names the field", err)
	}
}

func TestWhatIsWorthLookingAtComesFirstAndWhatIsUnknownLast(t *testing.T) {
	items := []Item{
		{Name: "unknown"},
		{Name: "small", Net: ptr.To(1.0), Savings: ptr.To(9.0), Reinvestment: ptr.To(8.0), Priority: ptr.To(0.9), Score: ptr.To[int32](20), EfficiencyPercent: ptr.To[int32](90)},
		{Name: "risky", Net: ptr.To(50.0), Savings: ptr.To(50.0), Reinvestment: ptr.To(0.0), Priority: ptr.To(0.5), Score: ptr.To[int32](10), EfficiencyPercent: ptr.To[int32](20)},
		{Name: "costs", Net: ptr.To(-5.0), Savings: ptr.To(0.0), Reinvestment: ptr.To(5.0), Priority: ptr.To(-5.0), Score: ptr.To[int32](60), EfficiencyPercent: ptr.To[int32](99)},
	}
	for by, want := range map[SortKey]string{
		SortNet: "risky small costs unknown", SortPriority: "small risky costs unknown", SortSavings: "risky small costs unknown",
		SortScore: "risky small costs unknown", SortEfficiency: "risky small costs unknown", SortName: "costs risky small unknown",
	} {
		Sort(items, by)
		var names []string
		for i := range items {
			names = append(names, items[i].Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
	}
	if d := cmp.Diff(Totals{Workloads: 4, Savings: 59, Reinvestment: 13, Net: 46, Unknown: 1}, Total(items)); d != "" {
		t.Errorf("totals: -want +got:\n%s", d)
	}
}

func TestLargeReductionsOfMemoryOfTheOnlyReplicaComeLast(t *testing.T) {
	cpu := func(request, recommended float64) Resource {
		return Resource{Name: "cpu", Request: request, Recommended: recommended}
	}
	memory := func(request, recommended float64) Resource {
		return Resource{Name: "memory", Request: request, Recommended: recommended}
	}
	// From the least risk to the most.
	steps := []struct {
		name string
		risk float64
	}{
		{"more for everything", Risk([]Resource{cpu(1, 2), memory(1, 2)}, 3, false)},
		{"half of the cpu less", Risk([]Resource{cpu(2, 1), memory(1, 1)}, 3, false)},
		{"half of the memory less", Risk([]Resource{cpu(1, 1), memory(2, 1)}, 3, false)},
		{"and of a single replica", Risk([]Resource{cpu(1, 1), memory(2, 1)}, 1, false)},
		{"and for review only", Risk([]Resource{cpu(1, 1), memory(2, 1)}, 1, true)},
	}
	if steps[0].risk != 0 {
		t.Errorf("raising requests risks %v, want 0", steps[0].risk)
	}
	for i := 1; i < len(steps); i++ {
		if steps[i].risk <= steps[i-1].risk || steps[i].risk > 1 {
			t.Errorf("%s: %v, want more than %v of %s and at most 1", steps[i].name, steps[i].risk, steps[i-1].risk, steps[i-1].name)
		}
	}
}

func TestSteadyUsageIsMoreStableThanPeaks(t *testing.T) {
	steady := Stability([]Resource{{Name: "cpu", Usage: 0.9, Recommended: 1, Price: 1}})
	peaks := Stability([]Resource{{Name: "cpu", Usage: 0.1, Recommended: 1, Price: 1}})
	if steady != 0.9 || peaks != 0.1 {
		t.Errorf("steady %v and peaks %v, want 0.9 and 0.1", steady, peaks)
	}
	if got := Stability(nil); got != 0 {
		t.Errorf("of nothing: %v, want 0", got)
	}
}
