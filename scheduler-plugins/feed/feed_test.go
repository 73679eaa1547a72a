package feed

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	promtest "github.com/prometheus/client_golang/prometheus/testutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2/ktesting"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	st "k8s.io/kubernetes/pkg/scheduler/testing"
	"k8s.io/utils/clock"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/demand"
	"supercargo.dev/scheduler-plugins/departure"
	"supercargo.dev/scheduler-plugins/metrics"
	"supercargo.dev/scheduler-plugins/offering"
	"supercargo.dev/scheduler-plugins/placement"
)

func newFeed(t *testing.T) *Feed {
	t.Helper()
	m, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return New(m, clock.RealClock{})
}

func web(name, node string) *st.PodWrapper {
	return st.MakePod().Namespace("shop").Name(name).UID(name).Node(node).Label("pod-template-hash", "abc").
		OwnerReference("web-abc", appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
}

func TestStartCountsReplicasWhereTheyAre(t *testing.T) {
	_, ctx := ktesting.NewTestContext(t)
	ctx, cancel := context.WithCancel(ctx)
	spot := st.MakeNode().Name("spot").Label(offering.CapacityTypeLabel, "spot").Obj()
	factory := informers.NewSharedInformerFactory(fake.NewClientset(
		spot, st.MakeNode().Name("plain").Obj(),
		web("a", "spot").Obj(), web("b", "plain").Obj(), web("c", "").Obj(),
		web("going", "spot").Terminating().Obj(), web("done", "spot").Phase(corev1.PodSucceeded).Obj(), web("refused", "spot").Phase(corev1.PodFailed).Obj(),
		st.MakePod().Namespace("shop").Name("alone").UID("alone").Node("spot").Obj(),
	), 0)
	handle, err := frameworkruntime.NewFramework(ctx, nil, nil, frameworkruntime.WithInformerFactory(factory))
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(t)
	for range 2 { // two plugins, or two profiles
		if err := f.Start(ctx, handle); err != nil {
			t.Fatal(err)
		}
	}
	if !f.PoliciesKnown() {
		t.Error("without an API server policies are not known to be absent")
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	owner := demand.Owner{Namespace: "shop", Group: "apps", Kind: "Deployment", Name: "web"}
	want := placement.Replicas{Total: 3, Spot: 1, OnDemand: 1}
	deadline := time.Now().Add(10 * time.Second)
	for f.Replicas.Of(owner, "c") != want && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond) // handlers run after caches are filled, and there is no signal for it
	}
	if got := f.Replicas.Of(owner, "c"); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	cancel()
	factory.Shutdown()
	f.Wait()
}

func TestSourceStates(t *testing.T) {
	_, ctx := ktesting.NewTestContext(t)
	resource := schema.GroupResource{Group: v1alpha1.GroupName, Resource: "placementpolicies"}
	for name, tc := range map[string]struct {
		err   error
		known bool
	}{
		"not installed is an answer": {err: apierrors.NewNotFound(resource, ""), known: true},
		"forbidden is not":           {err: apierrors.NewForbidden(resource, "", errors.New("no"))},
		"a broken connection is not": {err: errors.New("connection refused")},
		"an expired watch is not":    {err: apierrors.NewResourceExpired("too old")},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t)
			for range 3 {
				f.policies.failed(ctx, tc.err)
			}
			if got := f.PoliciesKnown(); got != tc.known {
				t.Errorf("got %v, want %v", got, tc.known)
			}
			f.policies.set(synced)
			if f.policies.failed(ctx, tc.err) || !f.PoliciesKnown() {
				t.Error("an error after everything was read makes policies unknown")
			}
			if got := promtest.ToFloat64(f.Metrics.SourceSynced.WithLabelValues("placementpolicies")); got != 1 {
				t.Errorf("metric is %v", got)
			}
		})
	}
}

func TestPolicyEventsRequeue(t *testing.T) {
	_, ctx := ktesting.NewTestContext(t)
	f := newFeed(t)
	requeued := func() bool {
		select {
		case <-f.requeue:
			return true
		default:
			return false
		}
	}
	h := f.policyHandler(ctx)
	policy := &v1alpha1.PlacementPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Generation: 1}, Spec: v1alpha1.PlacementPolicySpec{Spot: v1alpha1.SpotNever}}
	h.OnAdd(policy, true)
	if !requeued() || len(f.Policies.Policies()) != 1 {
		t.Error("a new policy changes nothing")
	}
	h.OnUpdate(policy, policy)
	if requeued() {
		t.Error("a status update has pods tried again")
	}
	h.OnDelete(cache.DeletedFinalStateUnknown{Obj: policy})
	if !requeued() || len(f.Policies.Policies()) != 0 {
		t.Error("a deleted policy still holds")
	}
	f.Requeue()
	f.Requeue()
	if !requeued() || requeued() {
		t.Error("requests to requeue are not merged")
	}
}

func TestClaimOf(t *testing.T) {
	condition := func(kind, status string) map[string]any {
		return map[string]any{"status": map[string]any{"nodeName": "n", "conditions": []any{map[string]any{"type": kind, "status": status}}}}
	}
	for name, tc := range map[string]struct {
		object map[string]any
		want   departure.Claim
	}{
		"in flight":                   {object: map[string]any{}},
		"a claim that is well":        {object: condition("Ready", "True"), want: departure.Claim{Node: "n"}},
		"one that drifted":            {object: condition("Drifted", "True"), want: departure.Claim{Node: "n", Going: true}},
		"one that did not":            {object: condition("Drifted", "False"), want: departure.Claim{Node: "n"}},
		"one chosen for disruption":   {object: condition("DisruptionReason", "True"), want: departure.Claim{Node: "n", Going: true}},
		"one that is being deleted":   {object: map[string]any{"metadata": map[string]any{"deletionTimestamp": "2026-01-01T00:00:00Z"}}, want: departure.Claim{Going: true}},
		"one that expires":            {object: map[string]any{"metadata": map[string]any{"creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": map[string]any{"expireAfter": "720h"}}, want: departure.Claim{Expires: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}},
		"one that never does":         {object: map[string]any{"spec": map[string]any{"expireAfter": "Never"}}},
		"one of an unexpected shape":  {object: map[string]any{"status": map[string]any{"conditions": []any{"Drifted"}}}},
		"one of an unexpected status": {object: map[string]any{"status": "gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := claimOf(&unstructured.Unstructured{Object: tc.object})
			got.Expires = got.Expires.UTC()
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("claim (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSlimKeepsWhatDecides(t *testing.T) {
	scaler := &v1alpha1.WorkloadScaler{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{"a": "b"}},
		Status: v1alpha1.WorkloadScalerStatus{
			Policy: &v1alpha1.MatchedPolicy{Mode: v1alpha1.UpdateModeAuto},
			Recommendation: &v1alpha1.Recommendation{Containers: []v1alpha1.ContainerRecommendation{
				{Name: "app", Explanation: []v1alpha1.ExplanationStep{{Step: "Percentile"}}},
			}},
		},
	}
	got, err := slim(scaler.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	want := scaler.DeepCopy()
	want.Annotations, want.Status.Recommendation.Containers[0].Explanation = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scaler (-want +got):\n%s", diff)
	}
}
