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
