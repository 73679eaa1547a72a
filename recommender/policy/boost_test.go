package policy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestABoostRaisesCPUEverywhereAndMemoryRequestsUpToTheirLimit(t *testing.T) {
	bounded := []corev1.LimitRange{{Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, Max: list("1500m", "3Gi")}}}}}
	for _, tc := range []struct {
		name       string
		boost      Boost
		have, want corev1.ResourceRequirements
		ranges     []corev1.LimitRange
	}{
		{
			name: "cpu requests and limits", boost: Boost{CPU: 3, Memory: 1},
			have: corev1.ResourceRequirements{Requests: list("100m", "1Gi"), Limits: list("200m", "2Gi")},
			want: corev1.ResourceRequirements{Requests: list("300m", "1Gi"), Limits: list("600m", "2Gi")},
		},
		{
			name: "memory requests only", boost: Boost{CPU: 1, Memory: 1.5},
			have: corev1.ResourceRequirements{Requests: list("100m", "1Gi"), Limits: list("200m", "2Gi")},
			want: corev1.ResourceRequirements{Requests: list("100m", "1536Mi"), Limits: list("200m", "2Gi")},
		},
		{
			name: "memory never above its limit", boost: Boost{CPU: 1, Memory: 5},
			have: corev1.ResourceRequirements{Requests: list("100m", "1Gi"), Limits: list("", "2Gi")},
			want: corev1.ResourceRequirements{Requests: list("100m", "2Gi"), Limits: list("", "2Gi")},
		},
		{
			name: "a Guaranteed container stays Guaranteed", boost: Boost{CPU: 2, Memory: 2},
			have: corev1.ResourceRequirements{Requests: list("1", "1Gi"), Limits: list("1", "1Gi")},
			want: corev1.ResourceRequirements{Requests: list("2", "1Gi"), Limits: list("2", "1Gi")},
		},
		{name: "what asks for nothing gets nothing", boost: Boost{CPU: 2, Memory: 2}},
		{
			name: "nothing above the namespace's LimitRange, which would refuse the pod", boost: Boost{CPU: 5, Memory: 5}, ranges: bounded,
			have: corev1.ResourceRequirements{Requests: list("1", "1Gi"), Limits: list("2", "")},
			want: corev1.ResourceRequirements{Requests: list("1500m", "3Gi"), Limits: list("2", "")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have := map[string]corev1.ResourceRequirements{"app": tc.have}
			got := Boosted(have, tc.boost, tc.ranges)["app"]
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestABoostEndsWhenItsTimeAndReadinessAreBothOver(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := &Boost{MinBoost: 2 * time.Minute, MinReady: 30 * time.Second}
	for _, tc := range []struct {
		name    string
		boost   *Boost
		readyAt time.Duration // after the start; negative: it is not Ready
		now     time.Duration
		over    bool
		wait    time.Duration
	}{
		{name: "a pod that is not Ready stays boosted however long", boost: b, readyAt: -1, now: time.Hour},
		{name: "a pod that was Ready early waits for minBoost", boost: b, readyAt: time.Second, now: time.Minute, wait: time.Minute},
		{name: "a pod that was Ready late waits for minReady", boost: b, readyAt: 119 * time.Second, now: 2 * time.Minute, wait: 29 * time.Second},
		{name: "both over", boost: b, readyAt: 90 * time.Second, now: 2 * time.Minute, over: true},
		{name: "with no times it ends with readiness", boost: &Boost{}, readyAt: time.Second, now: time.Second, over: true},
		{name: "a policy that boosts no more ends it at once", readyAt: -1, over: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			at := metav1.NewTime(start)
			p := &corev1.Pod{Status: corev1.PodStatus{StartTime: &at}}
			if tc.readyAt >= 0 {
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(start.Add(tc.readyAt))}}
			}
			over, wait := BoostOver(p, tc.boost, start.Add(tc.now))
			if over != tc.over || wait != tc.wait {
				t.Errorf("over %t, wait %s; want %t, %s", over, wait, tc.over, tc.wait)
			}
		})
	}
}

func TestABoostIsReadFromItsSpec(t *testing.T) {
	s := makePolicy("p", 0, 0).Spec
	s.StartupBoost = &v1alpha1.StartupBoost{Enabled: true, MinBoost: &metav1.Duration{Duration: time.Minute}, CPUMultiplier: "2.5"}
	r, err := ParseRules(&s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&Boost{MinBoost: time.Minute, CPU: 2.5, Memory: 1}, r.Boost); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	s.StartupBoost.Enabled = false
	if r, err = ParseRules(&s); err != nil || r.Boost != nil {
		t.Errorf("turned off: %+v, %v", r.Boost, err)
	}
}
