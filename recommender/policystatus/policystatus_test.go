package policystatus

import (
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/workload"
)

func newClient(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.AutoscalingPolicy{}, &v1alpha1.RecommendationPolicy{}).Build()
}

// autoscaling is an AutoscalingPolicy; age in hours.
func autoscaling(name string, age int, change ...func(*v1alpha1.AutoscalingPolicySpec)) *v1alpha1.AutoscalingPolicy {
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{
		Name: name, Generation: 3,
		CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-time.Duration(age) * time.Hour)),
	}}
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeOnCreate}}
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func TestAutoscalingPolicies(t *testing.T) {
	c := newClient(t,
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}},
		&v1alpha1.WorkloadScaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: v1alpha1.WorkloadScalerSpec{
			TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"},
		}},
		autoscaling("older", 2), autoscaling("younger", 1),
		autoscaling("higher", 3, func(s *v1alpha1.AutoscalingPolicySpec) {
			s.Priority = 5
			s.TargetRefs = []v1alpha1.WorkloadSelector{{Name: "else"}}
		}),
		autoscaling("off", 3, func(s *v1alpha1.AutoscalingPolicySpec) { s.Enable = ptr.To(false) }),
		autoscaling("cron", 3, func(s *v1alpha1.AutoscalingPolicySpec) {
			s.UpdateSchedule[0].Schedule, s.UpdateSchedule[0].Duration = "0 0 31 2 *", &metav1.Duration{Duration: time.Hour}
		}),
		autoscaling("nobody", 3, func(s *v1alpha1.AutoscalingPolicySpec) {
			s.RecommendationPolicyName, s.TargetRefs = "nobody", []v1alpha1.WorkloadSelector{{Name: "else"}}
		}),
	)
	a := &Autoscaling{Client: c, Resolver: &workload.Resolver{Reader: c, Direct: c}}
	if _, err := a.Reconcile(t.Context(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, ready, conflict, message string
		workloads                      int32
	}{
		{"older", "InForce", "OlderWins", "this policy is the older one", 1},
		{"younger", "InForce", "OlderWins", "the older one governs", 0},
		{"higher", "InForce", "NoConflict", "", 0},
		{"off", "Disabled", "NoConflict", "", 0},
		{"cron", "InvalidSchedule", "NoConflict", "", 0},
		{"nobody", "RecommendationPolicyNotFound", "NoConflict", "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &v1alpha1.AutoscalingPolicy{}
			if err := c.Get(t.Context(), types.NamespacedName{Name: tc.name}, p); err != nil {
				t.Fatal(err)
			}
			ready, conflict := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(p.Status.Conditions, ConditionPriorityConflict)
			if ready == nil || conflict == nil {
				t.Fatalf("conditions %v", p.Status.Conditions)
			}
			if ready.Reason != tc.ready || conflict.Reason != tc.conflict || !strings.Contains(conflict.Message, tc.message) ||
				p.Status.Workloads != tc.workloads || ready.ObservedGeneration != 3 {
				t.Errorf("%d workloads, ready %+v, conflict %+v", p.Status.Workloads, ready, conflict)
			}
		})
	}
}

func TestRecommendationPolicies(t *testing.T) {
	for _, tc := range []struct {
		reason string
		change func(*v1alpha1.RecommendationPolicySpec)
	}{
		{"InForce", func(*v1alpha1.RecommendationPolicySpec) {}},
		{"InvalidPercentile", func(s *v1alpha1.RecommendationPolicySpec) { s.CPU.Percentile = ptr.To[int32](101) }},
		{"InvalidLookback", func(s *v1alpha1.RecommendationPolicySpec) { s.Memory.Lookback = "90d" }},
		{"InvalidOverhead", func(s *v1alpha1.RecommendationPolicySpec) { s.CPU.Overhead = "lots" }},
		{"InvalidConfidence", func(s *v1alpha1.RecommendationPolicySpec) { s.Confidence.Coverage = "101%" }},
		{"InvalidOOM", func(s *v1alpha1.RecommendationPolicySpec) { s.OOM.Max = "0.5" }},
	} {
		t.Run(tc.reason, func(t *testing.T) {
			p := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p"}}
			tc.change(&p.Spec)
			c := newClient(t, p)
			r := &Recommendation{Client: c}
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "p"}}); err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), types.NamespacedName{Name: "p"}, p); err != nil {
				t.Fatal(err)
			}
			if ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != tc.reason {
				t.Errorf("conditions %+v", p.Status.Conditions)
			}
		})
	}
}
