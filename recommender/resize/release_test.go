package resize

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

func TestReleaseGivesPodsBackWhatTheyAskedFor(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	shrunk := resized(Record{At: now.Add(-time.Hour), Hash: "h"}, "100m", "128Mi")
	original := map[string]corev1.ResourceRequirements{"app": requests("1", "1Gi")}
	released := func(at time.Time, outcome string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			r := Record{At: at, Hash: policy.Hash(original), Outcome: outcome, Before: `{"app":{"requests":{"cpu":"100m","memory":"128Mi"}}}`}
			if outcome != "" {
				r.Reason = v1alpha1.ReasonPodResizePending
			}
			text, err := r.encode()
			if err != nil {
				panic(err)
			}
			p.Annotations[RecordAnnotation] = text
			if outcome == "" {
				p.Spec.Containers[0].Resources = requests("1", "1Gi")
			}
		}
	}
	deferred := withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonDeferred})
	limited := func(p *corev1.Pod) { // the limit was added with the recommendation, and cannot be taken away in place
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
	}
	for _, tc := range []struct {
		name          string
		how           v1alpha1.RemovalPolicy
		rules         policy.Rules
		pods          []*corev1.Pod
		change        func(*Request)
		wantResizes   []string
		wantEvictions []string
		wantLeft      int
		wantReason    string
		wantForgotten bool // annotations of the first pod are gone
	}{
		{
			name: "in place, the newest first", how: v1alpha1.RemovalInPlace, pods: []*corev1.Pod{pod("old", 20, shrunk), pod("new", 10, shrunk)},
			wantResizes: []string{"new 1/1Gi", "old 1/1Gi"}, wantLeft: 2,
		},
		{name: "a pod that was never changed is left", how: v1alpha1.RemovalInPlace, pods: []*corev1.Pod{pod("a", 1)}, wantForgotten: true},
		{
			name: "a pod that has it is forgotten", how: v1alpha1.RemovalInPlace, wantForgotten: true,
			pods: []*corev1.Pod{pod("a", 1, shrunk, released(now.Add(-time.Minute), ""))},
		},
		{
			name: "a resize under way is waited for", how: v1alpha1.RemovalInPlace, wantLeft: 1, wantReason: "ResizeUnderWay",
			pods: []*corev1.Pod{pod("a", 1, shrunk, released(now.Add(-time.Minute), ""), deferred)},
		},
		{
			name: "one that waited too long is taken back", how: v1alpha1.RemovalInPlace, wantLeft: 1, wantResizes: []string{"a 100m/128Mi"},
			pods: []*corev1.Pod{pod("a", 1, shrunk, released(now.Add(-time.Hour), ""), deferred)},
		},
		{
			name: "and falls back to a new pod", how: v1alpha1.RemovalInPlace, wantLeft: 2, wantEvictions: []string{"a"},
			pods: []*corev1.Pod{pod("a", 1, shrunk, released(now.Add(-time.Minute), outcomeRestored)), pod("b", 2, shrunk)},
		},
		{
			name: "or holds where the policy said so", how: v1alpha1.RemovalInPlace, rules: hold(), wantLeft: 1, wantReason: "PodResizePending",
			pods: []*corev1.Pod{pod("a", 1, shrunk, released(now.Add(-time.Minute), outcomeRestored))},
		},
		{
			name: "what cannot work in place is not tried", how: v1alpha1.RemovalInPlace, rules: hold(), wantLeft: 1, wantReason: "ResourceLimitsRemoveForbidden",
			pods: []*corev1.Pod{pod("a", 1, shrunk, limited)},
		},
		{
			name: "by new pods, one by one", how: v1alpha1.RemovalReCreate, pods: []*corev1.Pod{pod("a", 1, shrunk), pod("b", 2, shrunk)},
			wantEvictions: []string{"a"}, wantLeft: 2,
		},
		{
			name: "no pod is replaced while the workload is not ready", how: v1alpha1.RemovalReCreate, pods: []*corev1.Pod{pod("a", 1, shrunk), pod("b", 2, shrunk)},
			change: func(r *Request) { r.Situation.WorkloadReady = false }, wantLeft: 2, wantReason: "NotReady",
		},
		{
			name: "nothing moves while everything is paused", how: v1alpha1.RemovalInPlace, pods: []*corev1.Pod{pod("a", 1, shrunk)},
			change: func(r *Request) { r.Situation.Paused = true }, wantLeft: 1, wantReason: "Paused",
		},
		{
			name: "a workload that opted out keeps what it has", how: v1alpha1.RemovalInPlace, pods: []*corev1.Pod{pod("a", 1, shrunk)},
			change: func(r *Request) {
				r.Situation.Target.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"}
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			objects := make([]client.Object, 0, len(tc.pods))
			for _, p := range tc.pods {
				objects = append(objects, p.DeepCopy())
			}
			b := newBench(t, objects...)
			b.proven = false // no webhook is needed to come up as the template says
			r := request(t, v1alpha1.UpdateModeOff, tc.rules, tc.pods...)
			if tc.change != nil {
				tc.change(&r)
			}
			out, err := b.Applier.Release(t.Context(), r, tc.how)
			if err != nil {
				t.Fatal(err)
			}
			first := &corev1.Pod{}
			if err := b.Get(t.Context(), client.ObjectKeyFromObject(tc.pods[0]), first); err != nil {
				t.Fatal(err)
			}
			want := []any{tc.wantResizes, tc.wantEvictions, tc.wantLeft, tc.wantReason, tc.wantForgotten}
			if diff := cmp.Diff(want, []any{b.resizes, b.evictions, out.Left, out.Verdict.Reason, len(first.Annotations) == 0}); diff != "" {
				t.Errorf("(-want +got)\n%s\nverdict %+v", diff, out.Verdict)
			}
		})
	}
}
