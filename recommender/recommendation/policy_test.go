package recommendation

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/resize"
)

func (b *bench) Release(_ context.Context, r resize.Request, how v1alpha1.RemovalPolicy) (resize.Outcome, error) {
	b.released = append(b.released, how)
	return b.outcome, nil
}

func nightShift(change ...func(*v1alpha1.AutoscalingPolicySpec)) *v1alpha1.AutoscalingPolicy {
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "night-shift"}}
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeInPlace}}
	p.Spec.OnPolicyRemoval = v1alpha1.RemovalInPlace
	for _, c := range change {
		c(&p.Spec)
	}
	return p
}

func TestPodsAreReleasedWhenTheirPolicyGoesAndLetGoAfterTenMinutesWithoutProgress(t *testing.T) {
	for name, goes := range map[string]func(b *bench, p *v1alpha1.AutoscalingPolicy) error{
		"deleted": func(b *bench, p *v1alpha1.AutoscalingPolicy) error { return b.Client.Delete(b.t.Context(), p) },
		"turned off": func(b *bench, p *v1alpha1.AutoscalingPolicy) error {
			no := false
			p.Spec.Enable = &no
			return b.Client.Update(b.t.Context(), p)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := nightShift()
			b := newBench(t, append(web(v1alpha1.UpdateModePreview), p)...)
			s := b.reconcile()
			if m := s.Status.Policy; m.OnRemoval == nil || m.OnRemoval.Policy != v1alpha1.RemovalInPlace || len(b.released) != 0 {
				t.Fatalf("policy %+v, released %v", m, b.released)
			}
			if err := goes(b, p); err != nil {
				t.Fatal(err)
			}
			b.outcome = resize.Outcome{Left: 1}
			s = b.reconcile()
			b.expect(s, v1alpha1.ConditionRestored, metav1.ConditionFalse, "Restoring")
			if m := s.Status.Policy; m.AutoscalingPolicy != "night-shift" || m.Mode != v1alpha1.UpdateModeOff || len(b.released) != 1 {
				t.Fatalf("policy %+v, released %v", m, b.released)
			}
			b.clock.Step(9 * time.Minute)
			b.outcome = resize.Outcome{Left: 1, Resized: 1}
			b.expect(b.reconcile(), v1alpha1.ConditionRestored, metav1.ConditionFalse, "Restoring")
			b.clock.Step(9 * time.Minute)
			b.outcome = resize.Outcome{Left: 1}
			b.expect(b.reconcile(), v1alpha1.ConditionRestored, metav1.ConditionFalse, "Restoring") // it moved 9 minutes ago
			b.clock.Step(time.Minute)
			s = b.reconcile()
			b.expect(s, v1alpha1.ConditionRestored, metav1.ConditionTrue, "LetGo")
			if m := s.Status.Policy; m.AutoscalingPolicy != "" || m.OnRemoval != nil {
				t.Errorf("policy %+v", m)
			}
			before := len(b.released)
			b.reconcile()
			if len(b.released) != before {
				t.Error("it was tried again after it was let go")
			}
		})
	}
}

func TestAReleaseThatIsCompleteIsOver(t *testing.T) {
	p := nightShift()
	b := newBench(t, append(web(v1alpha1.UpdateModePreview), p)...)
	b.reconcile()
	if err := b.Client.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s := b.reconcile()
	b.expect(s, v1alpha1.ConditionRestored, metav1.ConditionTrue, "Restored")
	if s.Status.Policy.OnRemoval != nil {
		t.Errorf("policy %+v", s.Status.Policy)
	}
}

func TestPodsAreNotReleasedWhereSomethingElseGoverns(t *testing.T) {
	for _, tc := range []struct {
		name string
		mode v1alpha1.UpdateMode
		with func(b *bench, p *v1alpha1.AutoscalingPolicy) error
	}{
		{name: "another policy takes over", mode: v1alpha1.UpdateModePreview, with: func(b *bench, p *v1alpha1.AutoscalingPolicy) error {
			other := nightShift()
			other.Name = "day-shift"
			if err := b.Client.Create(b.t.Context(), other); err != nil {
				return err
			}
			return b.Client.Delete(b.t.Context(), p)
		}},
		{name: "the scaler's own mode takes over", mode: v1alpha1.UpdateModeInPlace, with: func(b *bench, p *v1alpha1.AutoscalingPolicy) error {
			return b.Client.Delete(b.t.Context(), p)
		}},
		{name: "the policy became invalid by a slip of the pen", mode: v1alpha1.UpdateModePreview, with: func(b *bench, p *v1alpha1.AutoscalingPolicy) error {
			p.Spec.UpdateSchedule[0].Mode = "Teleport"
			return b.Client.Update(b.t.Context(), p)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := nightShift()
			b := newBench(t, append(web(tc.mode), p)...)
			b.reconcile()
			if err := tc.with(b, p); err != nil {
				t.Fatal(err)
			}
			b.reconcile()
			if len(b.released) > 0 {
				t.Errorf("released %v", b.released)
			}
		})
	}
}

func TestARecommendationIsComputedEveryThirtyMinutesUnlessItsIntervalSaysOtherwise(t *testing.T) {
	for _, tc := range []struct {
		interval string
		want     time.Duration
	}{{"", 30 * time.Minute}, {"1h30m", 90 * time.Minute}, {"1d", 24 * time.Hour}} {
		t.Run("interval "+tc.interval, func(t *testing.T) {
			b := newBench(t, web(v1alpha1.UpdateModePreview)...)
			s := b.reconcile()
			s.Spec.Interval = tc.interval
			if err := b.Client.Update(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			b.use(time.Hour)
			first := b.reconcile().Status.Recommendation.ComputedAt
			b.clock.Step(tc.want - time.Second)
			if again := b.reconcile().Status.Recommendation.ComputedAt; !again.Equal(&first) {
				t.Errorf("computed anew after %s", again.Sub(first.Time))
			}
			b.clock.Step(time.Second)
			if again := b.reconcile().Status.Recommendation.ComputedAt; again.Sub(first.Time) != tc.want {
				t.Errorf("computed anew after %s, want %s", again.Sub(first.Time), tc.want)
			}
		})
	}
}

func TestAChangedLimitRangeAsksForANewRecommendationAtOnce(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	b.reconcile()
	b.use(48 * time.Hour)
	b.reconcile()
	lr := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bounds"}}
	lr.Spec.Limits = []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Min: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1500m")},
		Max: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")},
	}}
	if err := b.Client.Create(t.Context(), lr); err != nil {
		t.Fatal(err)
	}
	c := b.reconcile().Status.Recommendation.Containers[0]
	if c.Requests.Cpu().String() != "1500m" || c.Limits.Memory().String() != "2Gi" {
		t.Errorf("requests %v, limits %v", c.Requests, c.Limits)
	}
}

func TestContainersOfAGroupAreCountedTogetherAndInjectedOnesWhereTheScalerSaysSo(t *testing.T) {
	objects := web(v1alpha1.UpdateModePreview)
	s, ok := objects[3].(*v1alpha1.WorkloadScaler)
	if !ok {
		t.Fatalf("%T", objects[3])
	}
	s.Spec.Resources.InjectedContainers = v1alpha1.InjectedOptimize
	s.Spec.Resources.ContainerGroups = []v1alpha1.ContainerGroup{{Name: "main", Pattern: "a?p"}}
	b := newBench(t, objects...)
	b.reconcile()
	b.use(96 * time.Hour)
	s = b.reconcile()
	got := map[string]string{}
	for _, c := range s.Status.Recommendation.Containers {
		got[c.Name] = c.Requests.Cpu().String()
	}
	if len(got) != 2 || got["main"] != "112m" && got["main"] != "111m" && got["main"] != "110m" || got["injected"] != got["main"] {
		t.Errorf("recommended %v", got)
	}
	changes := b.applied[len(b.applied)-1].Changes
	if cpu := changes[0].Desired["app"].Requests[corev1.ResourceCPU]; cpu.String() != got["main"] {
		t.Errorf("container app is to have %s, want that of its group, %s", cpu.String(), got["main"])
	}
}

func TestRequestsAreFittedIntoANodeAndExplained(t *testing.T) {
	rp := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "fit"}}
	rp.Spec.NodeFit = &v1alpha1.NodeFit{CPU: resource.MustParse("1080m"), Memory: resource.MustParse("100Gi")}
	p := nightShift(func(s *v1alpha1.AutoscalingPolicySpec) { s.RecommendationPolicyName = "fit" })
	b := newBench(t, append(web(v1alpha1.UpdateModePreview), rp, p)...)
	b.reconcile()
	b.use(96 * time.Hour)
	c := b.reconcile().Status.Recommendation.Containers[0]
	last := c.Explanation[len(c.Explanation)-1]
	if c.Requests.Cpu().String() != "108m" || last.Step != "NodeFit" || !strings.Contains(last.Message, "10 pods") {
		t.Errorf("cpu %s, explanation %+v", c.Requests.Cpu(), c.Explanation)
	}
}

func TestAnAutoscalerIsMadeWhereReplicasAreOptimized(t *testing.T) {
	objects := web(v1alpha1.UpdateModePreview)
	s, ok := objects[3].(*v1alpha1.WorkloadScaler)
	if !ok {
		t.Fatalf("%T", objects[3])
	}
	s.UID = "scaler"
	s.Spec.Optimize = []v1alpha1.OptimizeScope{v1alpha1.OptimizeReplicas}
	s.Spec.Horizontal = &v1alpha1.HorizontalScaling{MinReplicas: 2, MaxReplicas: 9, Queue: &v1alpha1.QueueMetric{Metric: "jobs_waiting", AverageValue: resource.MustParse("30")}}
	b := newBench(t, objects...)
	b.expect(b.reconcile(), v1alpha1.ConditionHorizontal, metav1.ConditionFalse, "NotApplied")
	key := client.ObjectKey{Namespace: "shop", Name: "web"}
	change := func(f func(*v1alpha1.WorkloadScaler)) *v1alpha1.WorkloadScaler {
		t.Helper()
		now := &v1alpha1.WorkloadScaler{}
		if err := b.Client.Get(t.Context(), key, now); err != nil {
			t.Fatal(err)
		}
		f(now)
		if err := b.Client.Update(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		return b.reconcile()
	}
	s = change(func(s *v1alpha1.WorkloadScaler) {
		s.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModeInPlace
	})
	b.expect(s, v1alpha1.ConditionHorizontal, metav1.ConditionTrue, "Made")
	hpa := &autoscalingv2.HorizontalPodAutoscaler{}
	if err := b.Client.Get(t.Context(), key, hpa); err != nil {
		t.Fatal(err)
	}
	up, down := hpa.Spec.Behavior.ScaleUp, hpa.Spec.Behavior.ScaleDown
	queue := hpa.Spec.Metrics[1].External
	got := []any{
		*hpa.Spec.MinReplicas, hpa.Spec.MaxReplicas, *hpa.Spec.Metrics[0].Resource.Target.AverageUtilization, queue.Metric.Name, queue.Target.AverageValue.String(),
		*up.StabilizationWindowSeconds, up.Policies[0].Value, up.Policies[0].PeriodSeconds, *down.StabilizationWindowSeconds, down.Policies[0].Value, down.Policies[0].PeriodSeconds,
	}
	want := []any{int32(2), int32(9), int32(70), "jobs_waiting", "30", int32(60), int32(100), int32(60), int32(300), int32(50), int32(60)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if mode := s.Status.Policy.Mode; mode != v1alpha1.UpdateModePreview {
		t.Errorf("without resource in optimize the mode is %s", mode)
	}
	change(func(s *v1alpha1.WorkloadScaler) { s.Spec.Horizontal.MaxReplicas = 4 })
	if err := b.Client.Get(t.Context(), key, hpa); err != nil || hpa.Spec.MaxReplicas != 4 {
		t.Errorf("at most %d replicas, %v", hpa.Spec.MaxReplicas, err)
	}
	change(func(s *v1alpha1.WorkloadScaler) { s.Spec.Optimize, s.Spec.Horizontal = nil, nil })
	if err := b.Client.Get(t.Context(), key, hpa); !apierrors.IsNotFound(err) {
		t.Errorf("it was not deleted: %v", err)
	}
}

func TestAnAutoscalerOfSomebodyElseIsLeftAlone(t *testing.T) {
	objects := web(v1alpha1.UpdateModeInPlace)
	s, ok := objects[3].(*v1alpha1.WorkloadScaler)
	if !ok {
		t.Fatalf("%T", objects[3])
	}
	s.Spec.Optimize = []v1alpha1.OptimizeScope{v1alpha1.OptimizeReplicas}
	s.Spec.Horizontal = &v1alpha1.HorizontalScaling{MaxReplicas: 9}
	foreign := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	foreign.Spec.MaxReplicas = 3
	b := newBench(t, append(objects, foreign)...)
	b.expect(b.reconcile(), v1alpha1.ConditionHorizontal, metav1.ConditionFalse, "NameTaken")
	if err := b.Client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil || foreign.Spec.MaxReplicas != 3 {
		t.Errorf("at most %d replicas, %v", foreign.Spec.MaxReplicas, err)
	}
}

func TestABoostEndsAlsoWhereNothingIsRecommendedYet(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview, func(p *corev1.Pod) {
		p.Annotations = map[string]string{
			v1alpha1.StartupBoostAnnotation: v1alpha1.BoostActive, v1alpha1.UnboostedResourcesAnnotation: `{"app":{"requests":{"cpu":"1","memory":"1Gi"}}}`,
		}
	})...)
	b.outcome = resize.Outcome{Again: 2 * time.Second}
	s := b.reconcile()
	b.expect(s, v1alpha1.ConditionApplied, metav1.ConditionFalse, "NoRecommendation")
	if len(b.applied) != 1 || !b.applied[0].Changes[0].Boosted || s.Status.Applied.Boosted != 1 {
		t.Errorf("applied %+v, status %+v", b.applied, s.Status.Applied)
	}
}

func TestAJavaWorkloadIsLabelledAndKeepsItsHeap(t *testing.T) {
	objects := web(v1alpha1.UpdateModePreview)
	d, ok := objects[0].(*appsv1.Deployment)
	if !ok {
		t.Fatalf("%T", objects[0])
	}
	d.Spec.Template.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "JAVA_TOOL_OPTIONS", Value: "-Xmx512m"}}
	selecting := nightShift(func(s *v1alpha1.AutoscalingPolicySpec) {
		s.TargetRefs = []v1alpha1.WorkloadSelector{{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.RuntimeLabel: v1alpha1.RuntimeJava}}}}
	})
	b := newBench(t, append(objects, selecting)...)
	b.reconcile()
	b.use(96 * time.Hour)
	s := b.reconcile()
	if s.Labels[v1alpha1.RuntimeLabel] != v1alpha1.RuntimeJava || s.Status.Policy.AutoscalingPolicy != "night-shift" {
		t.Errorf("labels %v, policy %+v", s.Labels, s.Status.Policy)
	}
	c := s.Status.Recommendation.Containers[0]
	if c.Requests.Memory().String() != "896Mi" || c.Requests.Cpu().MilliValue() > 120 || c.Explanation[len(c.Explanation)-1].Step != "JVM" {
		t.Errorf("requests %v, explanation %+v", c.Requests, c.Explanation)
	}
}
