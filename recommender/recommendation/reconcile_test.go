package recommendation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/estimate"
	"supercargo.dev/recommender/governance"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/resize"
	"supercargo.dev/recommender/usage"
	"supercargo.dev/recommender/workload"
)

var start = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// bench is a reconciler on a fake API server.
type bench struct {
	*Reconciler
	t       *testing.T
	clock   *testclock.FakeClock
	patches int
	applied []resize.Request
	outcome resize.Outcome
	// released holds how each release was asked for.
	released []v1alpha1.RemovalPolicy
}

func (b *bench) Apply(_ context.Context, r resize.Request) (resize.Outcome, error) {
	b.applied = append(b.applied, r)
	return b.outcome, nil
}

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, clock: testclock.NewFakeClock(start)}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.WorkloadScaler{}).
		WithIndex(&v1alpha1.WorkloadScaler{}, workload.TargetField, workload.TargetIndex).
		WithIndex(&corev1.Pod{}, workload.ControllerField, workload.ControllerUID).
		WithIndex(&appsv1.ReplicaSet{}, workload.ControllerField, workload.ControllerUID).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			b.patches++
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		}}).Build()
	restored := make(chan struct{})
	close(restored)
	b.Reconciler = &Reconciler{
		Client: c, Resolver: &workload.Resolver{Reader: c, Direct: c}, Governor: &governance.Governor{Reader: c, Clock: b.clock, Namespace: "supercargo-system"},
		Store: estimate.NewStore(estimate.Options{}), Registry: NewRegistry(), Applier: b, Recorder: events.NewFakeRecorder(100), Clock: b.clock,
		Prices: Prices{PerCPUHour: 0.03, PerGiBHour: 0.004}, Restored: restored,
	}
	return b
}

func (b *bench) reconcile() *v1alpha1.WorkloadScaler {
	b.t.Helper()
	key := types.NamespacedName{Namespace: "shop", Name: "web"}
	if _, err := b.Reconcile(b.t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
		b.t.Fatal(err)
	}
	s := &v1alpha1.WorkloadScaler{}
	if err := b.Client.Get(b.t.Context(), key, s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// use lets the pods use 100m and 128Mi for a time.
func (b *bench) use(d time.Duration) {
	sink := b.Registry.Sink(b.Store)
	for end := b.clock.Now().Add(d); b.clock.Now().Before(end); b.clock.Step(5 * time.Minute) {
		for _, container := range []string{"app", "injected"} {
			sink(usage.Usage{Namespace: "shop", Pod: "web-1-a", Container: container, At: b.clock.Now(), MilliCPU: 100, MemoryBytes: 128 << 20})
		}
	}
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

func owned(kind, name string) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(name), Controller: &yes}}
}

// web is a Deployment of one pod that asks for 1 CPU and 1Gi and has a container injected, and its scaler.
func web(mode v1alpha1.UpdateMode, change ...func(*corev1.Pod)) []client.Object {
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web"}}
	one := int32(1)
	d.Spec.Replicas = &one
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Resources: requests("1", "1Gi")}}
	d.Status = appsv1.DeploymentStatus{Replicas: 1, UpdatedReplicas: 1, AvailableReplicas: 1}
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "web-1", OwnerReferences: owned("Deployment", "web")}}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1-a", UID: "a", OwnerReferences: owned("ReplicaSet", "web-1")}}
	p.Spec.Containers = []corev1.Container{{Name: "app", Resources: requests("1", "1Gi")}, {Name: "injected", Resources: requests("10m", "10Mi")}}
	p.Status.Phase = corev1.PodRunning
	for _, c := range change {
		c(p)
	}
	s := &v1alpha1.WorkloadScaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Generation: 1}}
	s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	s.Spec.Resources.UpdatePolicy.UpdateMode = mode
	return []client.Object{d, rs, p, s}
}

func (b *bench) expect(s *v1alpha1.WorkloadScaler, kind string, status metav1.ConditionStatus, reason string) {
	b.t.Helper()
	c := meta.FindStatusCondition(s.Status.Conditions, kind)
	if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != s.Generation {
		b.t.Errorf("condition %s is %+v, want %s %s", kind, c, status, reason)
	}
}

func TestAScalerIsRecommendedScoredAndPricedAndOnlyWrittenWhenItChanges(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModePreview)...)
	s := b.reconcile()
	b.expect(s, v1alpha1.ConditionTargetFound, metav1.ConditionTrue, "Found")
	b.expect(s, v1alpha1.ConditionRecommended, metav1.ConditionFalse, "NoUsage")
	b.expect(s, v1alpha1.ConditionUsageFresh, metav1.ConditionFalse, "NeverSeen")
	b.use(4 * 24 * time.Hour)
	s = b.reconcile()
	b.expect(s, v1alpha1.ConditionRecommended, metav1.ConditionTrue, "Computed")
	b.expect(s, v1alpha1.ConditionUsageFresh, metav1.ConditionTrue, "Fresh")
	b.expect(s, v1alpha1.ConditionApplied, metav1.ConditionFalse, "Preview")
	rec := s.Status.Recommendation
	if len(rec.Containers) != 1 || rec.Containers[0].Name != "app" {
		t.Fatalf("containers %+v, want app without the injected one", rec.Containers)
	}
	if cpu := rec.Containers[0].Requests.Cpu().MilliValue(); cpu < 105 || cpu > 120 {
		t.Errorf("cpu %dm", cpu)
	}
	if st := s.Status; st.Score == nil || st.EfficiencyPercent == nil || *st.EfficiencyPercent < 8 || *st.EfficiencyPercent > 14 ||
		st.CostImpact == nil || st.CostImpact.Reinvestment != "0.00" || st.Applied.Pods != 1 || st.Applied.UpToDate != 0 {
		t.Errorf("status %+v", st)
	}
	before := b.patches
	b.reconcile()
	if b.patches != before {
		t.Error("the status was written though nothing had changed")
	}
}

func TestAnOOMKillIsCountedOnceAndRaisesMemoryAtOnce(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"when it was": 0, "by a node whose clock is a month ahead": 30 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) { countedOnce(t, ahead) })
	}
}

func countedOnce(t *testing.T, ahead time.Duration) {
	objects := web(v1alpha1.UpdateModePreview)
	b := newBench(t, objects...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	before := b.reconcile().Status.Recommendation
	p := &corev1.Pod{}
	if err := b.Client.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "web-1-a"}, p); err != nil {
		t.Fatal(err)
	}
	p.Annotations = map[string]string{v1alpha1.RecommendationAnnotation: before.Hash}
	if err := b.Client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: "OOMKilled", ExitCode: 137, ContainerID: "containerd://1", FinishedAt: metav1.NewTime(b.clock.Now().Add(ahead)),
	}}}}
	if err := b.Client.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	b.clock.Step(time.Second)
	after := b.reconcile().Status.Recommendation
	if was, is := before.Containers[0].Requests.Memory().Value(), after.Containers[0].Requests.Memory().Value(); float64(is) < 1.15*float64(was) {
		t.Errorf("memory %d after a kill at %d", is, was)
	}
	if i := slices.IndexFunc(after.Containers[0].Explanation, func(s v1alpha1.ExplanationStep) bool { return s.Step == "Max" }); i < 0 {
		t.Errorf("the usage of before no longer counts: %v", after.Containers[0].Explanation)
	}
	b.clock.Step(time.Hour)
	b.use(5 * time.Minute)
	if again := b.reconcile().Status.Recommendation; again.Containers[0].Requests.Memory().Cmp(*after.Containers[0].Requests.Memory()) > 0 {
		t.Errorf("the same kill was counted twice: %s after %s", again.Containers[0].Requests.Memory(), after.Containers[0].Requests.Memory())
	}
}

func TestTargetsThatCannotBeServedSayWhy(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*v1alpha1.WorkloadScaler)
		more   []client.Object
		reason string
	}{
		{"the workload is gone", func(s *v1alpha1.WorkloadScaler) { s.Spec.TargetRef.Name = "gone" }, nil, "NotFound"},
		{"the reference names another namespace", func(s *v1alpha1.WorkloadScaler) { s.Spec.TargetRef.Namespace = "else" }, nil, "OtherNamespace"},
		{"the pod selector is empty", func(s *v1alpha1.WorkloadScaler) { s.Spec.PodSelector = &metav1.LabelSelector{} }, nil, "InvalidPodSelector"},
		{
			"an older scaler binds the same workload", func(s *v1alpha1.WorkloadScaler) { s.CreationTimestamp = metav1.NewTime(start) },
			[]client.Object{&v1alpha1.WorkloadScaler{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "older", CreationTimestamp: metav1.NewTime(start.Add(-time.Hour))},
				Spec:       v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}},
			}},
			"Duplicate",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := web(v1alpha1.UpdateModeAuto)
			tc.change(objects[3].(*v1alpha1.WorkloadScaler))
			b := newBench(t, append(objects, tc.more...)...)
			s := b.reconcile()
			b.expect(s, v1alpha1.ConditionTargetFound, metav1.ConditionFalse, tc.reason)
			if len(b.applied) > 0 || s.Status.Policy != nil {
				t.Errorf("applied %d times, policy %+v", len(b.applied), s.Status.Policy)
			}
		})
	}
}

func TestWhatAnHPAScalesOnIsLeftAlone(t *testing.T) {
	h := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	h.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web"}
	h.Spec.Metrics = []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{
		Name: corev1.ResourceCPU, Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType},
	}}}
	b := newBench(t, append(web(v1alpha1.UpdateModeInPlace), h)...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	s := b.reconcile()
	r := s.Status.Recommendation.Containers[0]
	if r.Requests.Cpu().String() != "1" || r.Requests.Memory().Cmp(resource.MustParse("1Gi")) >= 0 {
		t.Errorf("requests %v, want cpu as it is and memory lower", r.Requests)
	}
	if got := b.applied[len(b.applied)-1].Rules.Resources; fmt.Sprint(got) != "[memory]" {
		t.Errorf("managed resources %v", got)
	}
}

func TestProtectedNamespacesAndPolicies(t *testing.T) {
	objects := web(v1alpha1.UpdateModePreview)
	p := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "nights", Generation: 1}}
	p.Spec.RecommendationPolicyName = "nobody"
	p.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{
		{Name: "always", Mode: v1alpha1.UpdateModeOnCreate},
		{Name: "night", Mode: v1alpha1.UpdateModeInPlace, Schedule: "0 22 * * *", Duration: &metav1.Duration{Duration: 4 * time.Hour}},
	}
	b := newBench(t, append(objects, p)...)
	s := b.reconcile() // at midnight
	if got := s.Status.Policy; got.AutoscalingPolicy != "nights" || got.Schedule != "night" || got.Mode != v1alpha1.UpdateModeInPlace {
		t.Errorf("policy %+v", got)
	}
	b.expect(s, v1alpha1.ConditionRecommended, metav1.ConditionFalse, "RecommendationPolicyNotFound")
	b.clock.Step(3 * time.Hour)
	if got := b.reconcile().Status.Policy; got.Schedule != "always" || got.Mode != v1alpha1.UpdateModeOnCreate {
		t.Errorf("policy %+v", got)
	}
}

func TestOutcomesBecomeCountsAndConditions(t *testing.T) {
	b := newBench(t, web(v1alpha1.UpdateModeInPlace)...)
	b.reconcile()
	b.use(4 * 24 * time.Hour)
	b.outcome = resize.Outcome{Resized: 1, Verdict: policy.Verdict{Reason: "RateLimited", Message: "later", Stop: true}}
	s := b.reconcile()
	b.expect(s, v1alpha1.ConditionApplied, metav1.ConditionFalse, "RateLimited")
	if a := s.Status.Applied; a.Resized != 1 || a.LastAppliedAt == nil {
		t.Errorf("applied %+v", a)
	}
}
