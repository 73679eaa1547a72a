package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func podWith(containers ...corev1.ResourceRequirements) *corev1.Pod {
	p := &corev1.Pod{}
	for i, r := range containers {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: string(rune('a' + i)), Resources: r})
	}
	return p
}

func TestRefusalsOfTheAPIServerArePredicted(t *testing.T) {
	guaranteed := requirements("1", "1Gi", "1", "1Gi")
	burstable := requirements("1", "1Gi", "2", "2Gi")
	for name, c := range map[string]struct {
		have, want corev1.ResourceRequirements
		options    PredictOptions
		reason     v1alpha1.FallbackReason
	}{
		"other requests within the class":           {burstable, requirements("500m", "512Mi", "2", "2Gi"), PredictOptions{}, ""},
		"a guaranteed pod that stays guaranteed":    {guaranteed, requirements("2", "2Gi", "2", "2Gi"), PredictOptions{}, ""},
		"a guaranteed pod that would be burstable":  {guaranteed, requirements("500m", "1Gi", "1", "1Gi"), PredictOptions{}, v1alpha1.ReasonQoSChangeForbidden},
		"a burstable pod that would be guaranteed":  {burstable, requirements("2", "2Gi", "2", "2Gi"), PredictOptions{}, v1alpha1.ReasonQoSChangeForbidden},
		"a best-effort pod that would get requests": {requirements("", "", "", ""), requirements("1", "", "", ""), PredictOptions{}, v1alpha1.ReasonQoSChangeForbidden},
		"a limit that is to go":                     {burstable, requirements("1", "1Gi", "", "2Gi"), PredictOptions{}, v1alpha1.ReasonResourceLimitsRemoveForbidden},
		"a request that is to go":                   {burstable, requirements("1", "", "2", "2Gi"), PredictOptions{}, v1alpha1.ReasonRequestsRemoveForbidden},
		"a lower memory limit before 1.34":          {burstable, requirements("1", "1Gi", "2", "1500Mi"), PredictOptions{}, v1alpha1.ReasonMemoryLimitCannotBeDecreased},
		"a lower memory limit from 1.34 on":         {burstable, requirements("1", "1Gi", "2", "1500Mi"), PredictOptions{MemoryLimitDecrease: true}, ""},
		"a memory limit that is to appear":          {requirements("1", "1Gi", "", ""), requirements("1", "1Gi", "", "2Gi"), PredictOptions{}, ""},
		"a memory limit where none can appear": {
			requirements("1", "1Gi", "", ""), requirements("1", "1Gi", "", "2Gi"),
			PredictOptions{MemoryLimitAddForbidden: true},
			v1alpha1.ReasonMemoryLimitsAddForbidden,
		},
	} {
		t.Run(name, func(t *testing.T) {
			refusal := Predict(podWith(c.have), map[string]corev1.ResourceRequirements{"a": c.want}, c.options)
			got := v1alpha1.FallbackReason("")
			if refusal != nil {
				got = refusal.Reason
			}
			if d := cmp.Diff(c.reason, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAMemoryLimitMayBeLoweredWhereTheContainerRestarts(t *testing.T) {
	p := podWith(requirements("1", "1Gi", "2", "2Gi"))
	p.Spec.Containers[0].ResizePolicy = []corev1.ContainerResizePolicy{{ResourceName: corev1.ResourceMemory, RestartPolicy: corev1.RestartContainer}}
	if got := Predict(p, map[string]corev1.ResourceRequirements{"a": requirements("1", "1Gi", "2", "1500Mi")}, PredictOptions{}); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTheClassInStatusCounts(t *testing.T) {
	p := podWith(requirements("1", "1Gi", "2", "2Gi"))
	p.Status.QOSClass = corev1.PodQOSBurstable
	if got := Predict(p, map[string]corev1.ResourceRequirements{"a": requirements("2", "1Gi", "2", "2Gi")}, PredictOptions{}); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestFallbackIsByReasonThenDefaultThenRecreate(t *testing.T) {
	pending := v1alpha1.ReasonPodResizePending
	for name, c := range map[string]struct {
		f    v1alpha1.InPlaceFallback
		want v1alpha1.FallbackPolicy
	}{
		"nothing stated": {v1alpha1.InPlaceFallback{}, v1alpha1.FallbackRecreate},
		"the default":    {v1alpha1.InPlaceFallback{DefaultPolicy: v1alpha1.FallbackHold}, v1alpha1.FallbackHold},
		"the reason": {v1alpha1.InPlaceFallback{
			DefaultPolicy:  v1alpha1.FallbackHold,
			ReasonPolicies: map[string]v1alpha1.FallbackPolicy{string(pending): v1alpha1.FallbackRecreate},
		}, v1alpha1.FallbackRecreate},
	} {
		if got := Fallback(c.f, pending); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestQOSClassesAreThoseOfTheAPIServer(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *corev1.Pod
		want corev1.PodQOSClass
	}{
		"nothing stated":                {podWith(requirements("", "", "", "")), corev1.PodQOSBestEffort},
		"zero requests":                 {podWith(requirements("0", "0", "", "")), corev1.PodQOSBestEffort},
		"requests only":                 {podWith(requirements("1", "1Gi", "", "")), corev1.PodQOSBurstable},
		"requests and limits equal":     {podWith(requirements("1", "1Gi", "1", "1Gi")), corev1.PodQOSGuaranteed},
		"one resource without a limit":  {podWith(requirements("1", "1Gi", "1", "")), corev1.PodQOSBurstable},
		"one container without a limit": {podWith(requirements("1", "1Gi", "1", "1Gi"), requirements("", "", "", "")), corev1.PodQOSBurstable},
		"all containers equal":          {podWith(requirements("1", "1Gi", "1", "1Gi"), requirements("2", "2Gi", "2", "2Gi")), corev1.PodQOSGuaranteed},
	} {
		if got := QOSClass(c.pod); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
