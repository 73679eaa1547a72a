package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestContainersOfAGroupAreGivenWhatTheGroupIsRecommended(t *testing.T) {
	groups := []v1alpha1.ContainerGroup{{Name: "step", Pattern: "step-*"}, {Name: "late", Pattern: "step-9"}, {Name: "broken", Pattern: "["}}
	recommended := []v1alpha1.ContainerRecommendation{{Name: "app", Requests: list("1", "")}, {Name: "step", Requests: list("2", "")}, {Name: "proxy", Requests: list("3", "")}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "step-9"}, {Name: "app"}, {Name: "proxy"}, {Name: "unknown"}}}}
	got := map[string]string{}
	for _, c := range ForPod(pod, groups, recommended, func(name string) bool { return name != "proxy" }) {
		got[c.Name] = c.Requests.Cpu().String()
	}
	if diff := cmp.Diff(map[string]string{"step-9": "2", "app": "1"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
