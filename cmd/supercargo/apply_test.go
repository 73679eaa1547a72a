package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"supercargo.dev/api/v1alpha1"
)

func quantities(cpu, memory string) corev1.ResourceList {
	out := corev1.ResourceList{}
	if cpu != "" {
		out[corev1.ResourceCPU] = resource.MustParse(cpu)
	}
	if memory != "" {
		out[corev1.ResourceMemory] = resource.MustParse(memory)
	}
	return out
}

func pod() corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{
		{Name: "app", Image: "app:1", Resources: corev1.ResourceRequirements{Requests: quantities("1", "2Gi"), Limits: quantities("2", "2Gi")}},
		{Name: "sidecar", Image: "sidecar:1", Resources: corev1.ResourceRequirements{Requests: quantities("10m", "")}},
	}}
}

func recommended() []v1alpha1.ContainerRecommendation {
	return []v1alpha1.ContainerRecommendation{
		{Name: "app", Requests: quantities("250m", "1Gi"), Limits: quantities("", "2Gi")},
		{Name: "gone", Requests: quantities("1", "1Gi")},
	}
}

func TestATemplateGetsWhatIsRecommended(t *testing.T) {
	for name, tc := range map[string]struct {
		resources []corev1.ResourceName
		lines     []string
		want      corev1.ResourceRequirements
	}{
		"both resources": {
			nil,
			[]string{"container app: cpu request 1 → 250m", "container app: cpu limit 2 → none", "container app: memory request 2Gi → 1Gi"},
			corev1.ResourceRequirements{Requests: quantities("250m", "1Gi"), Limits: quantities("", "2Gi")},
		},
		"memory only, where the policy manages nothing else": {
			[]corev1.ResourceName{corev1.ResourceMemory},
			[]string{"container app: memory request 2Gi → 1Gi"},
			corev1.ResourceRequirements{Requests: quantities("1", "1Gi"), Limits: quantities("2", "2Gi")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := pod()
			if d := cmp.Diff(tc.lines, resizeTemplate(&spec, recommended(), tc.resources)); d != "" {
				t.Errorf("lines: -want +got:\n%s", d)
			}
			if d := cmp.Diff(tc.want, spec.Containers[0].Resources); d != "" {
				t.Errorf("resources: -want +got:\n%s", d)
			}
			if d := cmp.Diff(pod().Containers[1], spec.Containers[1]); d != "" {
				t.Errorf("a container without a recommendation: -want +got:\n%s", d)
			}
		})
	}
	spec := pod()
	resizeTemplate(&spec, recommended(), nil)
	if lines := resizeTemplate(&spec, recommended(), nil); lines != nil {
		t.Errorf("a template that has it already changes: %v", lines)
	}
}

func TestAPatchForGitHoldsWhatChangesAndNothingElse(t *testing.T) {
	before, after := &batchv1.CronJob{}, &batchv1.CronJob{}
	before.Namespace, before.Name, after.Namespace, after.Name = "shop", "report", "shop", "report"
	before.Spec.JobTemplate.Spec.Template.Spec, after.Spec.JobTemplate.Spec.Template.Spec = pod(), pod()
	resizeTemplate(podSpec(after), recommended(), nil)
	var b bytes.Buffer
	p := &pendingChange{kind: schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "CronJob"}, before: before, object: after}
	if err := writePatch(&b, p); err != nil {
		t.Fatal(err)
	}
	golden(t, "patch.yaml", b.String())
}

func TestEveryKindWithATemplateOfItsOwnCanBeApplied(t *testing.T) {
	for kind, want := range map[[2]string]bool{
		{"apps/v1", "Deployment"}: true, {"apps/v1", "StatefulSet"}: true, {"apps/v1", "DaemonSet"}: true, {"apps/v1", "ReplicaSet"}: true,
		{"batch/v1", "CronJob"}: true, {"batch/v1", "Job"}: false, {"argoproj.io/v1alpha1", "Rollout"}: false,
	} {
		s := &v1alpha1.WorkloadScaler{}
		s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: kind[0], Kind: kind[1], Name: "w"}
		o, why := template(s)
		if (why == "") != want {
			t.Errorf("%v: left alone %q, want it changed: %v", kind, why, want)
			continue
		}
		if want && podSpec(o) == nil {
			t.Errorf("%v: no spec", kind)
		}
	}
	d := &appsv1.Deployment{}
	if podSpec(d) != &d.Spec.Template.Spec {
		t.Error("the spec is a copy: changes to it are lost")
	}
}

func TestContainersOfAGroupGetWhatIsRecommendedForIt(t *testing.T) {
	s := &v1alpha1.WorkloadScaler{}
	s.Spec.Resources.ContainerGroups = []v1alpha1.ContainerGroup{{Name: "workers", Pattern: "worker-*"}}
	s.Status.Recommendation = &v1alpha1.Recommendation{Containers: []v1alpha1.ContainerRecommendation{{Name: "workers", Requests: quantities("250m", "")}}}
	spec := &corev1.PodSpec{Containers: []corev1.Container{
		{Name: "worker-0", Resources: corev1.ResourceRequirements{Requests: quantities("1", "")}},
		{Name: "worker-1", Resources: corev1.ResourceRequirements{Requests: quantities("1", "")}},
	}}
	want := []string{"container worker-0: cpu request 1 → 250m", "container worker-1: cpu request 1 → 250m"}
	if d := cmp.Diff(want, resizeTemplate(spec, ofTemplate(s, spec), nil)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestAModeIsSetOnTheScalerOverThatOfItsRule(t *testing.T) {
	type scaler = v1alpha1.WorkloadScaler
	ruled := func(s *scaler) { s.Labels = map[string]string{v1alpha1.RuleLabel: "all"} }
	override := func(s *scaler) {
		ruled(s)
		s.Annotations = map[string]string{v1alpha1.UpdateModeAnnotation: "Preview"}
	}
	for name, tc := range map[string]struct {
		mode     string
		named    bool
		change   func(*scaler)
		line     string
		override string // afterwards
		why      string
	}{
		"of a person's scaler in its spec":           {mode: "InPlace", line: "mode Preview → InPlace (WorkloadScaler web)"},
		"of a rule's scaler also by the annotation":  {mode: "InPlace", change: ruled, line: "mode Preview → InPlace (WorkloadScaler web, over WorkloadScalerRule all)", override: "InPlace"},
		"of a rule's that says the same as it does":  {mode: "Preview", change: ruled, line: "mode Preview → Preview (WorkloadScaler web, over WorkloadScalerRule all)", override: "Preview"},
		"given back to the rule":                     {mode: "Rule", change: override, line: "mode Preview → that of WorkloadScalerRule all (WorkloadScaler web)"},
		"given back though it was never taken":       {mode: "Rule", change: ruled, why: "its mode was not set over that of a WorkloadScalerRule"},
		"as it is":                                   {mode: "Preview", change: override, why: "its mode is Preview"},
		"where a policy governs":                     {mode: "InPlace", why: "AutoscalingPolicy nights governs it: change its updateSchedule", change: func(s *scaler) { s.Status.Policy.AutoscalingPolicy = "nights" }},
		"of a workload for review that is not named": {mode: "InPlace", why: "for review only (gpu): name it to change it", change: func(s *scaler) { s.Status.ReviewOnly = "gpu" }},
		"of a workload for review that is named":     {mode: "InPlace", named: true, line: "mode Preview → InPlace (WorkloadScaler web)", change: func(s *scaler) { s.Status.ReviewOnly = "gpu" }},
		"of one that little is known of": {
			mode: "InPlace", why: "too little is known of it yet: name it, or --allow-low-confidence takes it all the same",
			change: func(s *scaler) { s.Status.Recommendation = nil },
		},
		"to Off, of one that little is known of": {mode: "Off", line: "mode Preview → Off (WorkloadScaler web)", change: func(s *scaler) { s.Status.Recommendation = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scaler{}
			s.Name = "web"
			s.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModePreview
			s.Status.Policy = &v1alpha1.MatchedPolicy{}
			s.Status.Recommendation = &v1alpha1.Recommendation{Confidence: v1alpha1.Confidence{Level: v1alpha1.ConfidenceFull}}
			if tc.change != nil {
				tc.change(s)
			}
			o := &applyOptions{mode: tc.mode}
			p, why := o.setMode(s, tc.named)
			if why != tc.why {
				t.Fatalf("left alone %q, want %q", why, tc.why)
			}
			if why != "" {
				return
			}
			if d := cmp.Diff([]string{tc.line}, p.lines); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
			if is := p.object.GetAnnotations()[v1alpha1.UpdateModeAnnotation]; is != tc.override {
				t.Errorf("the annotation is %q, want %q", is, tc.override)
			}
			if is := p.object.(*scaler).Spec.Resources.UpdatePolicy.UpdateMode; tc.mode != modeOfRule && string(is) != tc.mode {
				t.Errorf("the mode is %s", is)
			}
		})
	}
}
