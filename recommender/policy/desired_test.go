package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"supercargo.dev/api/v1alpha1"
)

// list builds a resource list from cpu and memory; empty ones are left out.
func list(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func requirements(requestCPU, requestMemory, limitCPU, limitMemory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: list(requestCPU, requestMemory), Limits: list(limitCPU, limitMemory)}
}

// show prints requirements as requests and limits of cpu and memory.
func show(r corev1.ResourceRequirements) string {
	one := func(l corev1.ResourceList, name corev1.ResourceName) string {
		if q, ok := l[name]; ok {
			return q.String()
		}
		return "-"
	}
	return one(r.Requests, corev1.ResourceCPU) + " " + one(r.Requests, corev1.ResourceMemory) + " / " +
		one(r.Limits, corev1.ResourceCPU) + " " + one(r.Limits, corev1.ResourceMemory)
}

func recommendation(cpu, memory string) []v1alpha1.ContainerRecommendation {
	return []v1alpha1.ContainerRecommendation{{Name: "app", Requests: list(cpu, memory)}}
}

func limits(p v1alpha1.LimitPolicyType, multiplier float64) map[corev1.ResourceName]LimitRule {
	rule := LimitRule{Policy: p, Multiplier: multiplier}
	return map[corev1.ResourceName]LimitRule{corev1.ResourceCPU: rule, corev1.ResourceMemory: rule}
}

func TestLimitsFollowTheirPolicy(t *testing.T) {
	both := requirements("1", "1Gi", "2", "2Gi")
	bound := []corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Max: list("3", "3Gi"), Min: list("10m", "16Mi"),
	}}}}}
	ratio := []corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, MaxLimitRequestRatio: list("2", "2"),
	}}}}}
	for name, c := range map[string]struct {
		original    corev1.ResourceRequirements
		cpu, memory string
		rules       Rules
		want        string
	}{
		"by default limits are kept":                         {both, "500m", "256Mi", Rules{}, "500m 256Mi / 2 2Gi"},
		"keep clamps the request to the limit":               {both, "5", "8Gi", Rules{Limits: limits(v1alpha1.LimitKeep, 0)}, "2 2Gi / 2 2Gi"},
		"keep without a limit sets none":                     {requirements("1", "1Gi", "", ""), "5", "8Gi", Rules{}, "5 8Gi / - -"},
		"remove takes limits away":                           {both, "500m", "256Mi", Rules{Limits: limits(v1alpha1.LimitRemove, 0)}, "500m 256Mi / - -"},
		"multiplier sets limits from requests":               {both, "500m", "256Mi", Rules{Limits: limits(v1alpha1.LimitMultiplier, 1.5)}, "500m 256Mi / 750m 384Mi"},
		"multiplier adds a limit where there was none":       {requirements("1", "1Gi", "", ""), "100m", "100Mi", Rules{Limits: limits(v1alpha1.LimitMultiplier, 2)}, "100m 100Mi / 200m 200Mi"},
		"auto never goes below the original limit":           {both, "500m", "256Mi", Rules{Limits: limits(v1alpha1.LimitAuto, 1.5)}, "500m 256Mi / 2 2Gi"},
		"auto raises limits":                                 {both, "2", "2Gi", Rules{Limits: limits(v1alpha1.LimitAuto, 1.5)}, "2 2Gi / 3 3Gi"},
		"auto leaves none where there is none":               {requirements("1", "1Gi", "", ""), "2", "2Gi", Rules{Limits: limits(v1alpha1.LimitAuto, 1.5)}, "2 2Gi / - -"},
		"an unmanaged resource keeps the original":           {both, "500m", "256Mi", Rules{Resources: []corev1.ResourceName{"cpu"}, Limits: limits(v1alpha1.LimitRemove, 0)}, "500m 1Gi / - 2Gi"},
		"a resource without a recommendation keeps it too":   {both, "500m", "", Rules{}, "500m 1Gi / 2 2Gi"},
		"a limit stays within the LimitRange":                {both, "2", "2Gi", Rules{Limits: limits(v1alpha1.LimitMultiplier, 4), LimitRanges: bound}, "2 2Gi / 3 3Gi"},
		"a limit that the LimitRange demands is not removed": {both, "2", "2Gi", Rules{Limits: limits(v1alpha1.LimitRemove, 0), LimitRanges: bound}, "2 2Gi / 3 3Gi"},
		"the ratio of the LimitRange holds":                  {both, "100m", "100Mi", Rules{LimitRanges: ratio}, "100m 100Mi / 200m 200Mi"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Desired(map[string]corev1.ResourceRequirements{"app": c.original, "sidecar": both}, recommendation(c.cpu, c.memory), c.rules)
			if d := cmp.Diff(c.want, show(got["app"])); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(show(both), show(got["sidecar"])); d != "" {
				t.Errorf("a container without a recommendation changed: %s", d)
			}
			filled := Complete([]v1alpha1.ContainerRecommendation{{Name: "app", Requests: list(c.cpu, c.memory), Current: c.original}}, c.rules)
			if d := cmp.Diff(got["app"].Limits, filled[0].Limits); d != "" {
				t.Errorf("status shows other limits: %s", d)
			}
		})
	}
}

func TestDriftIsMeasuredByShareOrAmountOfRequestsAndLimits(t *testing.T) {
	share := func(cpu, memory string) map[corev1.ResourceName]Threshold {
		out := map[corev1.ResourceName]Threshold{}
		for name, s := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
			if s == "" {
				continue
			}
			threshold, err := ParseThreshold(intstr.FromString(s))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = threshold
		}
		return out
	}
	directional := Rules{DriftBase: v1alpha1.DriftDirectional}
	one := func(cpu string) corev1.ResourceRequirements { return requirements(cpu, "", "", "") }
	for name, c := range map[string]struct {
		current, desired corev1.ResourceRequirements
		rules            Rules
		want             []string
	}{
		"10 percent is drift by default":                   {one("100m"), one("110m"), Rules{}, []string{"requests of cpu"}},
		"9 percent is not":                                 {one("100m"), one("109m"), Rules{}, nil},
		"a share is of the current value":                  {one("110m"), one("100m"), Rules{}, nil},
		"from 100m to 120m is 20 percent upward":           {one("100m"), one("120m"), directional, []string{"requests of cpu"}},
		"from 110m to 120m is 9 percent upward":            {one("110m"), one("120m"), directional, nil},
		"from 110m to 100m is 10 percent of the new value": {one("110m"), one("100m"), directional, []string{"requests of cpu"}},
		"an amount is absolute":                            {requirements("", "1Gi", "", ""), requirements("", "1524Mi", "", ""), Rules{Drift: share("", "500Mi")}, []string{"requests of memory"}},
		"less than the amount is not drift":                {requirements("", "1Gi", "", ""), requirements("", "1523Mi", "", ""), Rules{Drift: share("", "500Mi")}, nil},
		"an amount of cores":                               {one("1"), one("1500m"), Rules{Drift: share("0.5", "")}, []string{"requests of cpu"}},
		"limits count too":                                 {requirements("1", "", "2", ""), requirements("1", "", "3", ""), Rules{}, []string{"limits of cpu"}},
		"a limit that is to go is drift":                   {requirements("1", "", "2", ""), requirements("1", "", "", ""), Rules{}, []string{"limits of cpu"}},
		"a request that is to appear is drift":             {one(""), one("1"), Rules{}, []string{"requests of cpu"}},
		"a limit without a request is both":                {requirements("", "", "1", ""), requirements("1", "", "1", ""), Rules{}, nil},
		"how a quantity is written does not matter":        {one("1"), one("1000m"), Rules{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			m := func(r corev1.ResourceRequirements) map[string]corev1.ResourceRequirements {
				return map[string]corev1.ResourceRequirements{"app": r}
			}
			for _, d := range Drift(m(c.current), m(c.desired), c.rules) {
				got = append(got, d.Field+" of "+string(d.Resource))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestThresholdsThatMeanNothingAreRefused(t *testing.T) {
	for _, v := range []intstr.IntOrString{
		intstr.FromString("0%"), intstr.FromString("-5%"), intstr.FromString("%"), intstr.FromString("NaN%"), intstr.FromString("lots"),
		intstr.FromString("-1"), intstr.FromInt32(0), intstr.FromString(""),
	} {
		if got, err := ParseThreshold(v); err == nil {
			t.Errorf("%q is read as %+v", v.String(), got)
		}
	}
}

func TestTheHashIsOfAmountsNotOfTheirWriting(t *testing.T) {
	m := func(r corev1.ResourceRequirements) map[string]corev1.ResourceRequirements {
		return map[string]corev1.ResourceRequirements{"app": r}
	}
	a, b := requirements("1", "1Gi", "", ""), requirements("1000m", "1073741824", "", "")
	if Hash(m(a)) != Hash(m(b)) {
		t.Error("1 core and 1000m have different hashes")
	}
	for _, other := range []corev1.ResourceRequirements{
		requirements("1001m", "1Gi", "", ""), requirements("1", "1Gi", "1", ""), requirements("1", "", "", ""), {},
	} {
		if Hash(m(a)) == Hash(m(other)) {
			t.Errorf("%s has the hash of %s", show(other), show(a))
		}
	}
}

func TestOriginalsSurviveTheirAnnotation(t *testing.T) {
	want := map[string]corev1.ResourceRequirements{"app": requirements("100m", "1Gi", "", "2Gi"), "b": {}}
	text, err := Originals(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseOriginals(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Hash(want), Hash(got)); d != "" {
		t.Error(d)
	}
	if _, err := ParseOriginals("{"); err == nil {
		t.Error("half an object is read")
	}
}

func FuzzParseOriginals(f *testing.F) {
	f.Add(`{"app":{"requests":{"cpu":"100m"}}}`)
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseOriginals(s)
		if err != nil {
			return
		}
		if _, err := Originals(m); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzParseThreshold(f *testing.F) {
	f.Add("20%")
	f.Add("500Mi")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseThreshold(intstr.FromString(s))
		if err == nil && !(got.Share > 0) && got.Absolute.Sign() <= 0 {
			t.Errorf("%q is read as a threshold of nothing", s)
		}
	})
}
