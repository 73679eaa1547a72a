package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestTheQOSClassIsKeptOrChangedOnRequest(t *testing.T) {
	burstable, guaranteedOne := requirements("1", "1Gi", "2", "2Gi"), requirements("1", "1Gi", "1", "1Gi")
	for _, tc := range []struct {
		name     string
		qos      v1alpha1.QOSPolicy
		original corev1.ResourceRequirements
		want     string
	}{
		{"without a class the limit policy decides", "", guaranteedOne, show(requirements("100m", "128Mi", "1", "1Gi"))},
		{"Preserve has the limits of a Guaranteed pod follow", v1alpha1.QOSPreserve, guaranteedOne, show(requirements("100m", "128Mi", "100m", "128Mi"))},
		{"and leaves others alone", v1alpha1.QOSPreserve, burstable, show(requirements("100m", "128Mi", "2", "2Gi"))},
		{"Guaranteed makes it so", v1alpha1.QOSGuaranteed, burstable, show(requirements("100m", "128Mi", "100m", "128Mi"))},
		{"also without limits", v1alpha1.QOSGuaranteed, requirements("1", "1Gi", "", ""), show(requirements("100m", "128Mi", "100m", "128Mi"))},
		{"Burstable leaves a Burstable pod alone", v1alpha1.QOSBurstable, burstable, show(requirements("100m", "128Mi", "2", "2Gi"))},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Desired(map[string]corev1.ResourceRequirements{"app": tc.original}, []v1alpha1.ContainerRecommendation{{Name: "app", Requests: list("100m", "128Mi")}}, Rules{QOS: tc.qos})
			if show(got["app"]) != tc.want {
				t.Errorf("%s, want %s", show(got["app"]), tc.want)
			}
		})
	}
}

func TestBurstableTakesTheCPULimitOffWhatWouldBeGuaranteed(t *testing.T) {
	same := requirements("1", "1Gi", "1", "1Gi")
	got := Desired(map[string]corev1.ResourceRequirements{"app": same}, nil, Rules{QOS: v1alpha1.QOSBurstable})["app"]
	if show(got) != show(requirements("1", "1Gi", "", "1Gi")) {
		t.Errorf("%s", show(got))
	}
}
