package policy

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestAPodIsRaisedOnlyAsFarAsItsQuotaHasRoom(t *testing.T) {
	with := func(r corev1.ResourceRequirements) *corev1.Pod {
		return &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: r}}}}
	}
	before := with(requirements("1", "1Gi", "", "2Gi"))
	quota := func(name corev1.ResourceName, hard, used corev1.ResourceList) []corev1.ResourceQuota {
		pick := func(l corev1.ResourceList) corev1.ResourceList {
			for _, q := range l {
				return corev1.ResourceList{name: q}
			}
			return nil
		}
		return []corev1.ResourceQuota{{Status: corev1.ResourceQuotaStatus{Hard: pick(hard), Used: pick(used)}}}
	}
	for _, tc := range []struct {
		name   string
		quotas []corev1.ResourceQuota
		after  *corev1.Pod
		short  bool
	}{
		{"room for more cpu", quota(corev1.ResourceRequestsCPU, list("10", ""), list("8", "")), with(requirements("2", "1Gi", "", "2Gi")), false},
		{"no room for more cpu", quota(corev1.ResourceRequestsCPU, list("10", ""), list("8500m", "")), with(requirements("2", "1Gi", "", "2Gi")), true},
		{"the short name of the same", quota(corev1.ResourceCPU, list("10", ""), list("8500m", "")), with(requirements("2", "1Gi", "", "2Gi")), true},
		{"no room for more memory", quota(corev1.ResourceRequestsMemory, list("", "4Gi"), list("", "3Gi")), with(requirements("1", "2Gi", "", "2Gi")), true},
		{"no room for a higher limit", quota(corev1.ResourceLimitsMemory, list("", "4Gi"), list("", "2Gi")), with(requirements("1", "1Gi", "", "3Gi")), true},
		{"less is always possible", quota(corev1.ResourceRequestsCPU, list("10", ""), list("12", "")), with(requirements("500m", "1Gi", "", "2Gi")), false},
		{"pods are not our business", quota(corev1.ResourcePods, list("1", ""), list("1", "")), with(requirements("2", "1Gi", "", "2Gi")), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := QuotaShort(tc.quotas, before, tc.after); (got != "") != tc.short {
				t.Errorf("%q, want one: %t", got, tc.short)
			}
		})
	}
}
