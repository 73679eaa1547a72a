package resize

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
	"supercargo.dev/recommender/workload"
)

var podResource = schema.GroupResource{Resource: "pods"}

// bench is an applier on a fake API server that records what it is asked.
type bench struct {
	*Applier
	client.Client
	clock     *testclock.FakeClock
	resizes   []string // pod and what it is to have
	evictions []string
	// refuse answers a resize, evict an eviction; nil: it succeeds.
	refuse, evict error
	proven        bool
}

func (b *bench) Proven(context.Context) (bool, error) { return b.proven, nil }

func newBench(t *testing.T, objects ...client.Object) *bench {
	t.Helper()
	b := &bench{clock: testclock.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), proven: true}
	b.Client = fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			if sub != subresource { // the API server takes metadata through pods/status; the fake one does not
				return c.Patch(ctx, o, patch)
			}
			data, err := patch.Data(o)
			if err != nil {
				return err
			}
			if b.refuse != nil {
				return b.refuse
			}
			b.resizes = append(b.resizes, o.GetName()+" "+short(t, data))
			return c.Patch(ctx, o, patch)
		},
		SubResourceCreate: func(_ context.Context, _ client.Client, sub string, o, body client.Object, _ ...client.SubResourceCreateOption) error {
			eviction, ok := body.(*policyv1.Eviction)
			if sub != "eviction" || !ok {
				t.Fatalf("create of subresource %s, %T", sub, body)
			}
			if b.evict != nil {
				return b.evict
			}
			if len(eviction.DeleteOptions.DryRun) > 0 {
				return nil
			}
			b.evictions = append(b.evictions, o.GetName())
			return nil
		},
	}).Build()
	b.Applier = NewApplier(b.Client, b.limiterOf(), b, events.NewFakeRecorder(100), b.clock,
		Options{Predict: policy.PredictOptions{MemoryLimitDecrease: true}})
	return b
}

func (b *bench) limiterOf() *Limiter {
	return &Limiter{Client: b.Client, Direct: b.Client, Namespace: "supercargo-system", Clock: b.clock, Rates: DefaultRates()}
}

// short is the resources of a resize patch, as "cpu/memory".
func short(t *testing.T, patch []byte) string {
	t.Helper()
	var p resizePatch
	if err := json.Unmarshal(patch, &p); err != nil {
		t.Fatal(err)
	}
	r := p.Spec.Containers[0].Resources.Requests
	return r.Cpu().String() + "/" + r.Memory().String()
}

// pod runs and asks for 1 CPU and 1Gi; age in minutes orders pods.
func pod(name string, age int, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID(name),
		CreationTimestamp: metav1.NewTime(time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC).Add(-time.Duration(age) * time.Minute)),
	}}
	p.Spec.NodeName = "node"
	p.Spec.Containers = []corev1.Container{{Name: "app", Image: "app", Resources: requests("1", "1Gi")}}
	p.Status.Phase = corev1.PodRunning
	p.Status.QOSClass = corev1.PodQOSBurstable
	for _, c := range change {
		c(p)
	}
	return p
}

func requests(cpu, memory string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{Requests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
	}}
}

func resized(r Record, cpu, memory string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		r.Before = `{"app":{"requests":{"cpu":"1","memory":"1Gi"}}}`
		text, err := r.encode()
		if err != nil {
			panic(err)
		}
		p.Annotations = map[string]string{RecordAnnotation: text, v1alpha1.OriginalResourcesAnnotation: r.Before, v1alpha1.RecommendationAnnotation: r.Hash}
		p.Spec.Containers[0].Resources = requests(cpu, memory)
	}
}

func withCondition(c corev1.PodCondition) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c.Status = corev1.ConditionTrue
		p.Status.Conditions = append(p.Status.Conditions, c)
	}
}

// request asks for 100m and 128Mi for all pods of a Deployment.
func request(t *testing.T, mode v1alpha1.UpdateMode, rules policy.Rules, pods ...*corev1.Pod) Request {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "web"}}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Resources: requests("1", "1Gi")}}
	w := &workload.Workload{
		Object: d, GVK: appsv1.SchemeGroupVersion.WithKind("Deployment"), Template: &d.Spec.Template,
		Replicas: int32(len(pods)), Ready: true, Pods: pods,
	} //nolint:gosec // a handful
	rec := &v1alpha1.Recommendation{Hash: "h", Containers: []v1alpha1.ContainerRecommendation{{Name: "app", Requests: requests("100m", "128Mi").Requests}}}
	changes, err := Changes(w, rec.Containers, rules)
	if err != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.WorkloadScaler{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	return Request{Scaler: s, Workload: w, Rules: rules, Changes: changes, Situation: policy.Situation{
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Target: policy.Target{Kind: "Deployment", Namespace: "shop", Name: "web"},
		WorkloadReady: true, Active: policy.Active{Mode: mode}, Recommendation: rec,
	}}
}

func hold() policy.Rules {
	return policy.Rules{Fallback: v1alpha1.InPlaceFallback{DefaultPolicy: v1alpha1.FallbackHold}}
}

func TestApply(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	capacity := apierrors.NewForbidden(podResource, "a", errors.New("node didn't have enough allocatable resources"))
	capacity.ErrStatus.Details.Causes = append(capacity.ErrStatus.Details.Causes, metav1.StatusCause{Type: causeNodeCapacity})
	for _, tc := range []struct {
		name          string
		mode          v1alpha1.UpdateMode
		rules         policy.Rules
		pods          []*corev1.Pod
		change        func(*Request)
		refuse, evict error
		unproven      bool
		wantResizes   []string
		wantEvictions []string
		wantReason    string
		wantErr       bool
	}{
		{
			name: "the newest drifted pod is resized first, one of four at a time", mode: v1alpha1.UpdateModeInPlace,
			pods:        []*corev1.Pod{pod("old", 30), pod("new", 10), pod("middle", 20), pod("oldest", 40)},
			wantResizes: []string{"new 100m/128Mi"}, wantReason: "ResizeUnderWay",
		},
		{name: "nothing happens in Preview", mode: v1alpha1.UpdateModePreview, pods: []*corev1.Pod{pod("a", 1)}, wantReason: "ModeOff"},
		{name: "nothing happens to running pods in OnCreate", mode: v1alpha1.UpdateModeOnCreate, pods: []*corev1.Pod{pod("a", 1)}, wantReason: "ModeOnCreate"},
		{
			name: "nothing happens while paused", mode: v1alpha1.UpdateModeAuto, pods: []*corev1.Pod{pod("a", 1)},
			change: func(r *Request) { r.Situation.Paused = true }, wantReason: "Paused",
		},
		{
			name: "nothing happens during a rollout", mode: v1alpha1.UpdateModeAuto, pods: []*corev1.Pod{pod("a", 1)},
			change: func(r *Request) { r.Situation.WorkloadReady = false }, wantReason: "NotReady",
		},
		{
			name: "a pod that is up to date is left", mode: v1alpha1.UpdateModeInPlace,
			pods: []*corev1.Pod{pod("a", 1, func(p *corev1.Pod) { p.Spec.Containers[0].Resources = requests("102m", "128Mi") })}, wantReason: policy.ReasonPassed,
		},
		{
			name: "a conflict is no error: the next event tries again", mode: v1alpha1.UpdateModeInPlace, pods: []*corev1.Pod{pod("a", 1)},
			refuse: apierrors.NewConflict(podResource, "a", errors.New("changed")), wantReason: policy.ReasonPassed,
		},
		{
			name: "a timeout is an error to be tried again", mode: v1alpha1.UpdateModeInPlace, pods: []*corev1.Pod{pod("a", 1)},
			refuse: context.DeadlineExceeded, wantErr: true, wantReason: policy.ReasonPassed,
		},
		{
			name: "a 403 of quota stops the workload and evicts nobody", mode: v1alpha1.UpdateModeAuto, pods: []*corev1.Pod{pod("a", 1), pod("b", 2)},
			refuse: apierrors.NewForbidden(podResource, "a", errors.New("exceeded quota: team")), wantReason: "ResizeForbidden",
		},
		{
			name: "a node that is too small falls back to a new pod", mode: v1alpha1.UpdateModeInPlace, pods: []*corev1.Pod{pod("a", 1), pod("b", 2)},
			refuse: capacity, wantEvictions: []string{"a"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "with fallback hold the pod stays", mode: v1alpha1.UpdateModeInPlace, rules: hold(), pods: []*corev1.Pod{pod("a", 1), pod("b", 2)},
			refuse: capacity, wantReason: "PodResizePending",
		},
		{
			name: "a 422 is classified by its message", mode: v1alpha1.UpdateModeInPlace, rules: hold(), pods: []*corev1.Pod{pod("a", 1)},
			refuse: invalid("Pod QOS Class may not change as a result of resizing"), wantReason: "QoSChangeForbidden",
		},
		{
			name: "an eviction that the budget forbids waits", mode: v1alpha1.UpdateModeReCreate, pods: []*corev1.Pod{pod("a", 1), pod("b", 2)},
			evict: apierrors.NewTooManyRequests("violates the budget", 10), wantReason: "DisruptionBudget",
		},
		{
			name: "pods are evicted one by one", mode: v1alpha1.UpdateModeReCreate, pods: []*corev1.Pod{pod("a", 2), pod("b", 1)},
			wantEvictions: []string{"b"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "nobody is evicted while the webhook is not proven", mode: v1alpha1.UpdateModeReCreate, pods: []*corev1.Pod{pod("a", 1), pod("b", 2)},
			unproven: true, wantReason: "AdmissionNotProven",
		},
		{
			name: "nobody is evicted after a successor came up unchanged", mode: v1alpha1.UpdateModeReCreate, pods: []*corev1.Pod{pod("a", 1), pod("b", 90)},
			change: func(r *Request) {
				r.Scaler.Status.Applied = v1alpha1.AppliedStatus{Recreated: 1, LastAppliedAt: &metav1.Time{Time: now.Add(-62 * time.Minute)}}
			}, wantReason: "AdmissionNotEffective",
		},
		{
			name: "a pod that came long after the last change stands in nobody's way: nothing was to be applied to it then", mode: v1alpha1.UpdateModeReCreate,
			pods: []*corev1.Pod{pod("a", 1), pod("b", 600)},
			change: func(r *Request) {
				r.Scaler.Status.Applied = v1alpha1.AppliedStatus{Recreated: 1, LastAppliedAt: &metav1.Time{Time: now.Add(-8 * time.Hour)}}
			}, wantEvictions: []string{"a"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "a pod that opted out is left", mode: v1alpha1.UpdateModeInPlace,
			pods: []*corev1.Pod{pod("a", 1, func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"} })}, wantReason: "Disabled",
		},
		{
			name: "an infeasible resize is taken back after the window in which it was asked for", mode: v1alpha1.UpdateModeOff,
			pods: []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-time.Second), Hash: "h"}, "100m", "128Mi"),
				withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}))},
			wantResizes: []string{"a 1/1Gi"}, wantReason: "ModeOff",
		},
		{
			name: "an OOM kill after a shrink is reverted after the window, too", mode: v1alpha1.UpdateModeOff,
			pods:        []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-time.Hour), Hash: "h"}, "100m", "128Mi"), killed(now.Add(-time.Minute)))},
			wantResizes: []string{"a 1/1Gi"}, wantReason: "ModeOff",
		},
		{
			name: "a deferred resize waits until its deadline", mode: v1alpha1.UpdateModeInPlace,
			pods: []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-9 * time.Minute), Hash: "h"}, "100m", "128Mi"),
				withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonDeferred}))}, wantReason: policy.ReasonPassed,
		},
		{
			name: "a deferred resize is taken back after its deadline", mode: v1alpha1.UpdateModeInPlace, rules: hold(),
			pods: []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-11 * time.Minute), Hash: "h"}, "100m", "128Mi"),
				withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonDeferred}))},
			wantResizes: []string{"a 1/1Gi"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "an infeasible resize is taken back at once", mode: v1alpha1.UpdateModeInPlace, rules: hold(),
			pods: []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-time.Second), Hash: "h"}, "100m", "128Mi"),
				withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}))},
			wantResizes: []string{"a 1/1Gi"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "somebody else's resize is not taken back", mode: v1alpha1.UpdateModeInPlace,
			pods:       []*corev1.Pod{pod("a", 1, withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}))},
			wantReason: policy.ReasonPassed,
		},
		{
			name: "an OOM kill after a shrink is reverted at once", mode: v1alpha1.UpdateModeInPlace,
			pods:        []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-time.Hour), Hash: "h"}, "100m", "128Mi"), killed(now.Add(-time.Minute)))},
			wantResizes: []string{"a 1/1Gi"}, wantReason: policy.ReasonPassed,
		},
		{
			name: "an OOM kill from before the shrink is not its fault", mode: v1alpha1.UpdateModeInPlace,
			pods:       []*corev1.Pod{pod("a", 1, resized(Record{At: now.Add(-time.Hour), Hash: "h"}, "100m", "128Mi"), killed(now.Add(-2*time.Hour)))},
			wantReason: policy.ReasonPassed,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := make([]client.Object, 0, len(tc.pods))
			for _, p := range tc.pods {
				objects = append(objects, p.DeepCopy())
			}
			b := newBench(t, objects...)
			b.refuse, b.evict, b.proven = tc.refuse, tc.evict, !tc.unproven
			r := request(t, tc.mode, tc.rules, tc.pods...)
			if tc.change != nil {
				tc.change(&r)
			}
			out, err := b.Applier.Apply(t.Context(), r)
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %t", err, tc.wantErr)
			}
			reason := out.Verdict.Reason
			if reason == "" {
				reason = policy.ReasonPassed
			}
			if diff := cmp.Diff([]any{tc.wantResizes, tc.wantEvictions, tc.wantReason}, []any{b.resizes, b.evictions, reason}); diff != "" {
				t.Errorf("(-want +got)\n%s\nverdict %+v", diff, out.Verdict)
			}
		})
	}
}

func invalid(message string) error {
	return apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "a", fieldErrors(message))
}

func killed(at time.Time) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", RestartCount: 1, LastTerminationState: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137, FinishedAt: metav1.NewTime(at)},
		}}}
	}
}

func TestAResizedPodRemembersWhatItAskedForAndWhatItWasGiven(t *testing.T) {
	p := pod("a", 1)
	b := newBench(t, p.DeepCopy())
	r := request(t, v1alpha1.UpdateModeInPlace, policy.Rules{}, p)
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Resized != 1 {
		t.Fatalf("outcome %+v, error %v", out, err)
	}
	got := &corev1.Pod{}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(p), got); err != nil {
		t.Fatal(err)
	}
	if original := got.Annotations[v1alpha1.OriginalResourcesAnnotation]; !strings.Contains(original, "1Gi") {
		t.Errorf("original resources %q", original)
	}
	if got.Annotations[v1alpha1.RecommendationAnnotation] != r.Changes[0].Hash {
		t.Errorf("recommendation %q, want %q", got.Annotations[v1alpha1.RecommendationAnnotation], r.Changes[0].Hash)
	}
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Resized != 0 {
		t.Errorf("a cache that lags behind led to %+v, %v", out, err)
	}
}

func TestTheOnlyReplicaIsRolledOutOnce(t *testing.T) {
	p := pod("a", 1)
	r := request(t, v1alpha1.UpdateModeReCreate, policy.Rules{}, p)
	b := newBench(t, p.DeepCopy(), r.Workload.Object.(*appsv1.Deployment).DeepCopy())
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Recreated != 1 || len(b.evictions) != 0 {
		t.Fatalf("outcome %+v, evictions %v, error %v", out, b.evictions, err)
	}
	d := &appsv1.Deployment{}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(r.Workload.Object), d); err != nil {
		t.Fatal(err)
	}
	if d.Spec.Template.Annotations[RolloutAnnotation] != r.Changes[0].Hash {
		t.Errorf("template annotations %v", d.Spec.Template.Annotations)
	}
	r.Workload.Object = d
	b.clock.Step(time.Hour)
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Recreated != 0 || out.Verdict.Reason != "AdmissionNotEffective" {
		t.Errorf("a rollout without effect was repeated: %+v, %v", out, err)
	}
}

func TestAnEvictionThatABudgetBlocksSpendsNoneOfTheRate(t *testing.T) {
	pods := []*corev1.Pod{pod("a", 1), pod("b", 2)}
	b := newBench(t, pods[0].DeepCopy(), pods[1].DeepCopy())
	b.evict = apierrors.NewTooManyRequests("violates the budget", 10)
	r := request(t, v1alpha1.UpdateModeReCreate, policy.Rules{}, pods...)
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Verdict.Reason != "DisruptionBudget" {
		t.Fatalf("%+v, %v", out.Verdict, err)
	}
	b.evict = nil
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Recreated != 1 {
		t.Errorf("once the budget has room: %+v, %v", out, err)
	}
}

func TestTheOnlyReplicaWithAVolumeIsEvicted(t *testing.T) {
	p := pod("a", 1, func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}}}
	})
	r := request(t, v1alpha1.UpdateModeReCreate, policy.Rules{}, p)
	b := newBench(t, p.DeepCopy(), r.Workload.Object.(*appsv1.Deployment).DeepCopy())
	if out, err := b.Applier.Apply(t.Context(), r); err != nil || out.Recreated != 1 {
		t.Fatalf("outcome %+v, error %v", out, err)
	}
	d := &appsv1.Deployment{}
	if err := b.Get(t.Context(), client.ObjectKeyFromObject(r.Workload.Object), d); err != nil {
		t.Fatal(err)
	}
	// Two pods may not be able to hold the volume at once, so a rolling update could wait for ever.
	if diff := cmp.Diff([]string{"a"}, b.evictions); diff != "" || d.Spec.Template.Annotations[RolloutAnnotation] != "" {
		t.Errorf("template annotations %v, evictions %s", d.Spec.Template.Annotations, diff)
	}
}

func TestWhatIsNotManagedIsComparedWithWhatThePodAskedFor(t *testing.T) {
	p := pod("a", 1, resized(Record{Hash: "h"}, "100m", "2Gi")) // somebody else changed its memory
	changes := request(t, v1alpha1.UpdateModeInPlace, policy.Rules{Resources: []corev1.ResourceName{corev1.ResourceCPU}}, p).Changes
	want := []policy.Deviation{{Container: "app", Resource: corev1.ResourceMemory, Field: "requests", Current: "2Gi", Desired: "1Gi"}}
	if d := cmp.Diff(want, changes[0].Deviations); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
