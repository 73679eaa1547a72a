package scenarios

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/e2e/sandbox/evidence"
)

// TestPreviewShowsEverythingAndChangesNothing is A6 and A7: a rule discovers workloads; they are scored and priced; their pods stay
// as they are, new ones too.
func TestPreviewShowsEverythingAndChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2), greedy("api", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	w.withRecommender([]string{"web", "api"})
	w.create(rule(v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web-deployment"))
	w.eventually("api is recommended", w.recommended("api-deployment"))
	w.eventually("the rule counts", func(ctx context.Context) string {
		r := rule("")
		if err := w.Get(ctx, client.ObjectKeyFromObject(r), r); err != nil {
			return err.Error()
		}
		if r.Status.Matched != 2 || r.Status.Created != 2 || !meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Sprintf("matched %d, created %d, %s", r.Status.Matched, r.Status.Created, conditions(r.Status.Conditions))
		}
		return ""
	})
	st := w.scaler(t.Context(), "web-deployment").Status
	if st.Score == nil || *st.Score > 30 || st.EfficiencyPercent == nil || *st.EfficiencyPercent > 20 || st.CostImpact == nil ||
		!strings.HasPrefix(st.CostImpact.Net, "4") || len(st.ResourceScores) != 2 {
		t.Errorf("score %v, efficiency %v, impact %+v, resources %+v", st.Score, st.EfficiencyPercent, st.CostImpact, st.ResourceScores)
	}
	if c := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "Preview" {
		t.Errorf("conditions %s", conditions(st.Conditions))
	}
	before := w.pods("web")
	w.throughout(5*time.Second, "nothing changes", func(context.Context) string {
		for i, p := range w.pods("web") {
			if p.UID != before[i].UID || !equality.Semantic.DeepEqual(p.Spec, before[i].Spec) || len(p.Annotations) != len(before[i].Annotations) {
				return fmt.Sprintf("pod %s was changed", p.Name)
			}
		}
		return ""
	})
	if err := w.Delete(t.Context(), &before[0]); err != nil {
		t.Fatal(err)
	}
	w.eventually("pods run again", w.allRun(metav1.NamespaceDefault, 4))
	for _, p := range w.pods("web") {
		if p.Spec.Containers[0].Resources.Requests.Cpu().String() != "1" || p.Annotations[v1alpha1.RecommendationAnnotation] != "" {
			t.Errorf("new pod %s has %v, %v", p.Name, p.Spec.Containers[0].Resources, p.Annotations)
		}
	}
}

// TestRunningPodsAreResizedWithoutRestart is C13 and C18: in place, newest first, originals recorded; and the pause switch holds it.
func TestRunningPodsAreResizedWithoutRestart(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 3))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	before := w.pods("web")
	paused := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: sandbox.Namespace, Name: "supercargo"}, Data: map[string]string{"paused": "true"}}
	w.create(paused)
	w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModeInPlace))
	w.eventually("web is recommended", w.recommended("web"))
	w.eventually("the scaler says that changes are paused", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "Paused" {
			return conditions(s.Status.Conditions)
		}
		return ""
	})
	if broken := w.requests("web", 3, "900m")(t.Context()); broken == "" {
		t.Error("pods were resized while changes were paused")
	}
	if err := w.Delete(t.Context(), paused); err != nil {
		t.Fatal(err)
	}
	w.eventually("pods are resized", w.requests("web", 3, "120m"))
	w.eventually("the scaler says so", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		if a := s.Status.Applied; a.Pods != 3 || a.UpToDate != 3 || a.Resized != 3 || a.Recreated != 0 ||
			!meta.IsStatusConditionTrue(s.Status.Conditions, v1alpha1.ConditionApplied) {
			return fmt.Sprintf("%+v; %s", a, conditions(s.Status.Conditions))
		}
		return ""
	})
	for _, old := range before {
		p := &corev1.Pod{}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(&old), p); err != nil {
			t.Fatalf("pod %s was replaced: %v", old.Name, err)
		}
		if p.UID != old.UID || p.Annotations[v1alpha1.RecommendationAnnotation] == "" ||
			!strings.Contains(p.Annotations[v1alpha1.OriginalResourcesAnnotation], "1Gi") {
			t.Errorf("pod %s: %v", p.Name, p.Annotations)
		}
	}
	w.nothingWasForbidden()
}

// TestNewPodsGetTheirRecommendationAndStartWithoutTheWebhook is C12 and disaster 14.
func TestNewPodsGetTheirRecommendationAndStartWithoutTheWebhook(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	recommender := w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModeOnCreate))
	w.eventually("web is recommended", w.recommended("web"))
	if broken := w.requests("web", 2, "900m")(t.Context()); broken == "" {
		t.Error("running pods were changed in mode OnCreate")
	}
	w.scaleTo("web", 3)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 3))
	mutated := 0
	for _, p := range w.pods("web") {
		if p.Annotations[v1alpha1.RecommendationAnnotation] != "" {
			mutated++
			if cpu := p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue(); cpu > 120 {
				t.Errorf("new pod %s asks for %dm", p.Name, cpu)
			}
		}
	}
	if mutated != 1 {
		t.Errorf("%d pods carry a recommendation, want the new one", mutated)
	}
	if err := recommender.Kill(); err != nil {
		t.Fatal(err)
	}
	w.scaleTo("web", 5)
	w.eventually("pods run without the webhook", w.allRun(metav1.NamespaceDefault, 5))
}

// TestHistorySurvivesAKill is disaster 16: the recommender is killed and comes back without the file that it learnt from; what it
// recommends is what it recommended.
func TestHistorySurvivesAKill(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	first := w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	before := w.scaler(t.Context(), "web").Status.Recommendation
	written := time.Now()
	w.eventually("a checkpoint is written", w.checkpointed(written))
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	w.withRecommender(nil)
	changed := w.scaler(t.Context(), "web")
	changed.Spec.Interval = "1h" // asks for another computation
	if err := w.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	w.eventually("the recommendation is computed anew", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		if s.Status.ObservedGeneration < s.Generation || !s.Status.Recommendation.ComputedAt.After(before.ComputedAt.Time) {
			return fmt.Sprintf("observed %d of %d, computed at %s", s.Status.ObservedGeneration, s.Generation, s.Status.Recommendation.ComputedAt)
		}
		return ""
	})
	after := w.scaler(t.Context(), "web").Status.Recommendation
	if after.Hash != before.Hash || after.Confidence.Level != before.Confidence.Level || after.Confidence.Watched.Duration < evidence.Past-time.Hour {
		t.Errorf("after the kill hash %s, confidence %+v; before it %s, %+v", after.Hash, after.Confidence, before.Hash, before.Confidence)
	}
}

// TestPoliciesSayWhatIsWrongWithThem: each mistake has its reason, and of two policies of one priority the older governs.
func TestPoliciesSayWhatIsWrongWithThem(t *testing.T) {
	w := newWorld(t)
	w.withRecommender(nil)
	w.create(greedy("web", 1), scaler("web", v1alpha1.UpdateModePreview))
	policy := func(name string, change ...func(*v1alpha1.AutoscalingPolicySpec)) *v1alpha1.AutoscalingPolicy {
		p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeOnCreate}}
		for _, c := range change {
			c(&p.Spec)
		}
		return p
	}
	w.create(policy("first"))
	w.eventually("the first policy governs", func(ctx context.Context) string {
		if p := w.scaler(ctx, "web").Status.Policy; p == nil || p.AutoscalingPolicy != "first" || p.Mode != v1alpha1.UpdateModeOnCreate || p.Schedule != "always" {
			return fmt.Sprintf("%+v", p)
		}
		return ""
	})
	time.Sleep(time.Second) // ages are in whole seconds
	w.create(
		policy("second"),
		policy("bad-cron", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.UpdateSchedule[0].Schedule, s.UpdateSchedule[0].Duration = "61 * * * *", &metav1.Duration{Duration: time.Hour}
		}),
		policy("bad-zone", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.UpdateSchedule[0].Schedule, s.UpdateSchedule[0].Duration = "0 * * * *", &metav1.Duration{Duration: time.Hour}
			s.UpdateSchedule[0].Timezone = "Mars/Olympus"
		}),
		policy("bad-name", func(s *v1alpha1.AutoscalingPolicySpec) { s.RecommendationPolicyName = "nobody" }),
		policy("bad-glob", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.TargetRefs = []v1alpha1.WorkloadSelector{{Name: "web-["}}
		}),
	)
	ready := func(name, reason string) {
		w.eventually("policy "+name+" says "+reason, func(ctx context.Context) string {
			p := policy(name)
			if err := w.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
				return err.Error()
			}
			c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
			if c == nil || c.Reason != reason || c.ObservedGeneration != p.Generation {
				return conditions(p.Status.Conditions)
			}
			return ""
		})
	}
	ready("first", "InForce")
	ready("bad-cron", "InvalidSchedule")
	ready("bad-zone", "InvalidSchedule")
	ready("bad-name", "RecommendationPolicyNotFound")
	ready("bad-glob", "InvalidTargetRef")
	w.eventually("the second policy warns of the first", func(ctx context.Context) string {
		p := policy("second")
		if err := w.Get(ctx, client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(p.Status.Conditions, "PriorityConflict")
		if c == nil || c.Status != metav1.ConditionTrue || !strings.Contains(c.Message, "first") {
			return conditions(p.Status.Conditions)
		}
		return ""
	})
	rp := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "bad-lookback"}}
	rp.Spec.CPU.Lookback = "90d"
	w.create(rp)
	w.eventually("the recommendation policy says InvalidLookback", func(ctx context.Context) string {
		if err := w.Get(ctx, client.ObjectKeyFromObject(rp), rp); err != nil {
			return err.Error()
		}
		if c := meta.FindStatusCondition(rp.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Reason != "InvalidLookback" {
			return conditions(rp.Status.Conditions)
		}
		return ""
	})
}

// TestPodsAreReplacedOneByOneWithinTheirBudget is C13, C15 and disaster 14: by eviction where there are several, by a rolling update
// where there is one, and not at all while the webhook cannot be proven to work.
func TestPodsAreReplacedOneByOneWithinTheirBudget(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	pdb := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "web"}}
	pdb.Spec.MinAvailable = ptr.To(intstr.FromInt32(2))
	pdb.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	w.create(greedy("web", 3), greedy("single", 1), pdb)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 4))
	args := []string{"--recreate-every=100ms", "--workload-recreate-every=500ms"}
	blind := w.withRecommender([]string{"web", "single"}, append(args, "--webhook-bind-address=0", "--webhook-url=")...)
	w.create(scaler("web", v1alpha1.UpdateModeReCreate), scaler("single", v1alpha1.UpdateModeReCreate))
	w.eventually("without webhook nothing is replaced", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "AdmissionNotProven" {
			return conditions(s.Status.Conditions)
		}
		return ""
	})
	if a := w.scaler(t.Context(), "web").Status.Applied; a.Recreated != 0 {
		t.Errorf("%d pods were replaced without a webhook", a.Recreated)
	}
	if err := blind.Stop(); err != nil {
		t.Fatal(err)
	}
	w.withRecommender(nil, args...)
	done := w.requests("web", 3, "120m")
	w.eventually("web's pods are replaced", func(ctx context.Context) string {
		ready := 0
		for _, p := range w.pods("web") {
			if p.DeletionTimestamp == nil && isReady(&p) {
				ready++
			}
		}
		if ready < 2 {
			t.Fatalf("%d pods of web are available, its budget asks for 2", ready)
		}
		if waiting := done(ctx); waiting != "" {
			return waiting + "; " + conditions(w.scaler(ctx, "web").Status.Conditions)
		}
		return ""
	})
	w.eventually("the single replica is rolled out", func(ctx context.Context) string {
		d := &appsv1.Deployment{}
		if err := w.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "single"}, d); err != nil {
			return err.Error()
		}
		if d.Spec.Template.Annotations["supercargo.dev/rollout"] == "" {
			return conditions(w.scaler(ctx, "single").Status.Conditions)
		}
		return w.requests("single", 1, "120m")(ctx)
	})
	w.nothingWasForbidden()
}
