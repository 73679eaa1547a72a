package migrate

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

func read(t *testing.T) []VPA {
	t.Helper()
	data, err := os.ReadFile("testdata/vpas.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := ReadVPAs(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func meta(kind, namespace, name string) (metav1.TypeMeta, metav1.ObjectMeta) {
	return metav1.TypeMeta{APIVersion: "supercargo.dev/v1alpha1", Kind: kind}, metav1.ObjectMeta{Namespace: namespace, Name: name}
}

func scaler(namespace, name, kind, target string, mode v1alpha1.UpdateMode) *v1alpha1.WorkloadScaler {
	s := &v1alpha1.WorkloadScaler{}
	s.TypeMeta, s.ObjectMeta = meta("WorkloadScaler", namespace, name)
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: kind, Name: target}
	s.Spec.Resources.UpdatePolicy.UpdateMode = mode
	return s
}

func TestSettingsOfAVPAAreTakenOver(t *testing.T) {
	estimate := &v1alpha1.RecommendationPolicy{Spec: v1alpha1.RecommendationPolicySpec{
		CPU:    v1alpha1.ResourceEstimate{Min: ptr.To(resource.MustParse("50m")), Max: ptr.To(resource.MustParse("2"))},
		Memory: v1alpha1.ResourceEstimate{Min: ptr.To(resource.MustParse("128Mi")), Lookback: "4320m"},
		OOM:    v1alpha1.OOMPolicy{Step: "50%"},
	}}
	estimate.TypeMeta, estimate.ObjectMeta = meta("RecommendationPolicy", "", "shop-bounded")
	bounded := &v1alpha1.AutoscalingPolicy{Spec: v1alpha1.AutoscalingPolicySpec{
		Priority: 1, RecommendationPolicyName: "shop-bounded",
		TargetRefs:      []v1alpha1.WorkloadSelector{{Kind: "StatefulSet", Namespace: "shop", Name: "orders"}},
		UpdateSchedule:  []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}},
		UpdateResources: []corev1.ResourceName{corev1.ResourceMemory},
	}}
	bounded.TypeMeta, bounded.ObjectMeta = meta("AutoscalingPolicy", "", "shop-bounded")
	widest := &v1alpha1.RecommendationPolicy{Spec: v1alpha1.RecommendationPolicySpec{CPU: v1alpha1.ResourceEstimate{Min: ptr.To(resource.MustParse("10m"))}}}
	widest.TypeMeta, widest.ObjectMeta = meta("RecommendationPolicy", "", "pay-several")
	several := &v1alpha1.AutoscalingPolicy{Spec: v1alpha1.AutoscalingPolicySpec{
		Priority: 1, RecommendationPolicyName: "pay-several",
		TargetRefs:      []v1alpha1.WorkloadSelector{{Kind: "Deployment", Namespace: "pay", Name: "api"}},
		UpdateSchedule:  []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeOff}},
		InPlaceFallback: v1alpha1.InPlaceFallback{DefaultPolicy: v1alpha1.FallbackHold},
		StartupBoost:    &v1alpha1.StartupBoost{Enabled: true, CPUMultiplier: "5", MinReady: &metav1.Duration{Duration: 30 * time.Second}},
	}}
	several.TypeMeta, several.ObjectMeta = meta("AutoscalingPolicy", "", "pay-several")

	got := FromVPA(read(t), Options{KeepModes: true})
	want := []client.Object{
		scaler("shop", "plain", "Deployment", "web", v1alpha1.UpdateModePreview),
		scaler("shop", "bounded", "StatefulSet", "orders", v1alpha1.UpdateModeAuto), estimate, bounded,
		scaler("pay", "several", "Deployment", "api", v1alpha1.UpdateModePreview), widest, several,
	}
	if d := cmp.Diff(want, got.Objects); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWhatHasNoCounterpartIsSaid(t *testing.T) {
	var got []string
	for _, n := range FromVPA(read(t), Options{}).Notes {
		got = append(got, n.Object+" "+n.Field)
	}
	want := []string{
		"shop/bounded spec.updatePolicy.minReplicas",
		"shop/bounded spec.resourcePolicy.containerPolicies[*].maxAllowed",
		"pay/several spec.startupBoost.cpu.factor",
		"pay/several spec.resourcePolicy.containerPolicies[app].minAllowed",
		"pay/several spec.resourcePolicy.containerPolicies[log].minAllowed",
		"pay/several spec.resourcePolicy.containerPolicies[mesh].mode",
		"pay/several spec.recommenders",
		"shop/second spec.targetRef",
		"shop/custom spec.targetRef.apiVersion",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestEverythingStartsInPreviewUnlessAsked(t *testing.T) {
	for _, o := range FromVPA(read(t), Options{}).Objects {
		switch o := o.(type) {
		case *v1alpha1.WorkloadScaler:
			if m := o.Spec.Resources.UpdatePolicy.UpdateMode; m != v1alpha1.UpdateModePreview {
				t.Errorf("scaler %s starts in %s", o.Name, m)
			}
		case *v1alpha1.AutoscalingPolicy:
			if m := o.Spec.UpdateSchedule[0].Mode; m != v1alpha1.UpdateModeOff {
				t.Errorf("policy %s starts in %s", o.Name, m)
			}
		}
	}
}

// containers reads one VerticalPodAutoscaler with these container policies.
func containers(t *testing.T, namespace, name, policies string) []VPA {
	t.Helper()
	all, err := ReadVPAs(strings.NewReader(`{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"namespace": "` + namespace +
		`", "name": "` + name + `"}, "spec": {"targetRef": {"kind": "Deployment", "name": "` + name + `"}, "resourcePolicy": {"containerPolicies": [` + policies + `]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestOfContainersThatDifferOnlyWhatIsControlledOfAllIsChanged(t *testing.T) {
	const both, cpu, memory = `{"containerName": "a"}`, `{"containerName": "b", "controlledResources": ["cpu"]}`, `{"containerName": "c", "controlledResources": ["memory"]}`
	cpuOnly := []corev1.ResourceName{corev1.ResourceCPU}
	for name, tc := range map[string]struct {
		policies  string
		resources []corev1.ResourceName // of the policy
		notes     int
		mode      v1alpha1.UpdateMode // of the scaler
	}{
		"one that says nothing":             {both, nil, 0, v1alpha1.UpdateModeReCreate},
		"one that says cpu":                 {cpu, cpuOnly, 0, v1alpha1.UpdateModeReCreate},
		"both, then cpu":                    {both + "," + cpu, cpuOnly, 1, v1alpha1.UpdateModeReCreate},
		"cpu, then both":                    {cpu + "," + both, cpuOnly, 1, v1alpha1.UpdateModeReCreate},
		"cpu and memory: nothing in common": {cpu + "," + memory, cpuOnly, 1, v1alpha1.UpdateModePreview},
	} {
		t.Run(name, func(t *testing.T) {
			got := FromVPA(containers(t, "shop", "web", tc.policies), Options{KeepModes: true})
			var resources []corev1.ResourceName
			var mode v1alpha1.UpdateMode
			for _, o := range got.Objects {
				switch o := o.(type) {
				case *v1alpha1.AutoscalingPolicy:
					resources = o.Spec.UpdateResources
				case *v1alpha1.WorkloadScaler:
					mode = o.Spec.Resources.UpdatePolicy.UpdateMode
				}
			}
			if d := cmp.Diff(tc.resources, resources); d != "" || mode != tc.mode || len(got.Notes) != tc.notes {
				t.Errorf("mode %s, want %s; %d notes, want %d: %v\n%s", mode, tc.mode, len(got.Notes), tc.notes, got.Notes, d)
			}
		})
	}
}

func TestPoliciesOfTwoNamespacesNeverShareAName(t *testing.T) {
	const cpu = `{"containerName": "*", "controlledResources": ["cpu"]}`
	seen := map[string]bool{}
	for _, o := range FromVPA(append(containers(t, "a-b", "c", cpu), containers(t, "a", "b-c", cpu)...), Options{}).Objects {
		if p, ok := o.(*v1alpha1.AutoscalingPolicy); ok {
			if seen[p.Name] {
				t.Errorf("two policies are called %s", p.Name)
			}
			seen[p.Name] = true
		}
	}
	if len(seen) != 2 {
		t.Errorf("policies %v", seen)
	}
}

func TestEveryModeHasAWordHere(t *testing.T) {
	for was, want := range map[string]v1alpha1.UpdateMode{
		"Off": v1alpha1.UpdateModePreview, "Initial": v1alpha1.UpdateModeOnCreate, "Recreate": v1alpha1.UpdateModeReCreate, "Auto": v1alpha1.UpdateModeReCreate,
		"InPlaceOrRecreate": v1alpha1.UpdateModeAuto, "InPlace": v1alpha1.UpdateModeInPlace, "": v1alpha1.UpdateModeReCreate, "Sometimes": v1alpha1.UpdateModePreview,
	} {
		policy := `"updatePolicy": {"updateMode": "` + was + `"},`
		if was == "" {
			policy = ""
		}
		all, err := ReadVPAs(strings.NewReader(`{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "v"}, "spec": {` + policy +
			`"targetRef": {"kind": "Deployment", "name": "d"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		s, ok := FromVPA(all, Options{KeepModes: true}).Objects[0].(*v1alpha1.WorkloadScaler)
		if !ok || s.Spec.Resources.UpdatePolicy.UpdateMode != want {
			t.Errorf("%q becomes %+v, want %s", was, s.Spec.Resources.UpdatePolicy, want)
		}
	}
}

func TestInputThatCannotBeReadIsNamed(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no JSON":                 {"kind: VerticalPodAutoscaler", "document 1 is no JSON"},
		"truncated":               {`{"items": [`, "document 1"},
		"an unknown setting":      {`{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "v"}, "spec": {"surprise": 1}}`, `unknown field "surprise"`},
		"no target":               {`{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "v"}, "spec": {}}`, "spec.targetRef is missing"},
		"no name":                 {`{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {}, "spec": {}}`, "metadata.name is missing"},
		"a malformed bound":       {`{"items": [{"apiVersion": "autoscaling.k8s.io/v1", "kind": "VerticalPodAutoscaler", "metadata": {"name": "v", "namespace": "n"}, "spec": {"resourcePolicy": {"containerPolicies": [{"minAllowed": {"cpu": "lots"}}]}}}]}`, "document 1, item 1 (n/v)"},
		"items that are no list":  {`{"items": 3}`, "document 1"},
		"an item that is no item": {`{"items": [3]}`, "document 1, item 1"},
	} {
		if _, err := ReadVPAs(strings.NewReader(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tc.want)
		}
	}
}

func FuzzReadVPAs(f *testing.F) {
	data, err := os.ReadFile("testdata/vpas.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"items": null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ReadVPAs(bytes.NewReader(data))
		if err != nil {
			return
		}
		result := FromVPA(all, Options{KeepModes: true})
		for _, o := range result.Objects {
			if o.GetName() == "" {
				t.Error(errors.New("an object without a name"))
			}
		}
	})
}
