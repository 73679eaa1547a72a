package resize

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

// boosted makes a pod run with three times the 100m that it is recommended, Ready for so long.
func boosted(ready time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		p.Annotations = map[string]string{
			v1alpha1.StartupBoostAnnotation:       v1alpha1.BoostActive,
			v1alpha1.UnboostedResourcesAnnotation: `{"app":{"requests":{"cpu":"100m","memory":"128Mi"}}}`,
			v1alpha1.OriginalResourcesAnnotation:  `{"app":{"requests":{"cpu":"1","memory":"1Gi"}}}`,
		}
		p.Spec.Containers[0].Resources = requests("300m", "128Mi")
		at := metav1.NewTime(now.Add(-ready))
		p.Status.StartTime = &at
		if ready > 0 {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: at})
		}
	}
}

func boostRules(fallback v1alpha1.FallbackPolicy) policy.Rules {
	return policy.Rules{
		Boost:    &policy.Boost{MinBoost: time.Minute, MinReady: 30 * time.Second, CPU: 3, Memory: 1},
		Fallback: v1alpha1.InPlaceFallback{DefaultPolicy: fallback},
	}
}

func TestBoostsEndInPlaceWhateverTheModeAndTheWorkloadsReadiness(t *testing.T) {
	failedBefore := func(r *Request) {
		r.Scaler.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStartupBoost, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(r.Situation.Now)}}
	}
	infeasible := withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible})
	ended := func(p *corev1.Pod) {
		boosted(time.Hour)(p)
		text, err := Record{At: time.Date(2026, 3, 1, 11, 59, 0, 0, time.UTC), Hash: "x", Boost: true, Before: `{"app":{"requests":{"cpu":"300m","memory":"128Mi"}}}`}.encode()
		if err != nil {
			panic(err)
		}
		p.Annotations[v1alpha1.StartupBoostAnnotation], p.Annotations[RecordAnnotation] = v1alpha1.BoostReverted, text
		p.Spec.Containers[0].Resources = requests("100m", "128Mi")
	}
	for _, tc := range []struct {
		name          string
		mode          v1alpha1.UpdateMode
		rules         policy.Rules
		pod           []func(*corev1.Pod)
		change        func(*Request)
		refuse        error
		wantResizes   []string
		wantEvictions []string
		wantBoost     string // annotation afterwards
		wantFailed    bool
	}{
		{
			name: "inside the window nothing happens to the pod, drifted or not", mode: v1alpha1.UpdateModeInPlace, rules: boostRules(""),
			pod: []func(*corev1.Pod){boosted(40 * time.Second)}, wantBoost: v1alpha1.BoostActive,
		},
		{
			name: "a pod that is not Ready keeps its boost", mode: v1alpha1.UpdateModeInPlace, rules: boostRules(""),
			pod: []func(*corev1.Pod){boosted(0)}, wantBoost: v1alpha1.BoostActive,
		},
		{
			name: "the boost ends when both times are over", mode: v1alpha1.UpdateModeInPlace, rules: boostRules(""),
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, wantResizes: []string{"a 100m/128Mi"}, wantBoost: v1alpha1.BoostReverted,
		},
		{
			name: "also in mode Off", mode: v1alpha1.UpdateModeOff, rules: boostRules(""),
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, wantResizes: []string{"a 100m/128Mi"}, wantBoost: v1alpha1.BoostReverted,
		},
		{
			name: "also during a rollout", mode: v1alpha1.UpdateModeInPlace, rules: boostRules(""), change: func(r *Request) { r.Situation.WorkloadReady = false },
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, wantResizes: []string{"a 100m/128Mi"}, wantBoost: v1alpha1.BoostReverted,
		},
		{
			name: "at once where the policy boosts no more", mode: v1alpha1.UpdateModeOff,
			pod: []func(*corev1.Pod){boosted(0)}, wantResizes: []string{"a 100m/128Mi"}, wantBoost: v1alpha1.BoostReverted,
		},
		{
			name: "not while everything is paused", mode: v1alpha1.UpdateModeInPlace, rules: boostRules(""), change: func(r *Request) { r.Situation.Paused = true },
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, wantBoost: v1alpha1.BoostActive,
		},
		{
			name: "a death after the resize costs only the annotation", mode: v1alpha1.UpdateModeOff, rules: boostRules(""), wantBoost: v1alpha1.BoostReverted,
			pod: []func(*corev1.Pod){boosted(2 * time.Minute), func(p *corev1.Pod) { p.Spec.Containers[0].Resources = requests("100m", "128Mi") }},
		},
		{
			name: "a refusal is first told, so that the successor is not boosted", mode: v1alpha1.UpdateModeOff, rules: boostRules(v1alpha1.FallbackRecreate),
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, refuse: invalid("Pod QOS Class may not change as a result of resizing"),
			wantBoost: v1alpha1.BoostActive, wantFailed: true,
		},
		{
			name: "and then falls back to a new pod", mode: v1alpha1.UpdateModeOff, rules: boostRules(v1alpha1.FallbackRecreate), change: failedBefore,
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, refuse: invalid("Pod QOS Class may not change as a result of resizing"),
			wantEvictions: []string{"a"}, wantBoost: v1alpha1.BoostActive, wantFailed: true,
		},
		{
			name: "or holds where the policy says so", mode: v1alpha1.UpdateModeOff, rules: boostRules(v1alpha1.FallbackHold), change: failedBefore,
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, refuse: invalid("Pod QOS Class may not change as a result of resizing"),
			wantBoost: v1alpha1.BoostActive, wantFailed: true,
		},
		{
			name: "a conflict is tried again", mode: v1alpha1.UpdateModeOff, rules: boostRules(""), refuse: apierrors.NewConflict(podResource, "a", errors.New("changed")),
			pod: []func(*corev1.Pod){boosted(2 * time.Minute)}, wantBoost: v1alpha1.BoostActive,
		},
		{
			name: "what the node cannot give is put back and falls back", mode: v1alpha1.UpdateModeOff, rules: boostRules(v1alpha1.FallbackHold),
			pod: []func(*corev1.Pod){ended, infeasible}, wantResizes: []string{"a 300m/128Mi"}, wantBoost: v1alpha1.BoostActive,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pod("a", 1, tc.pod...)
			b := newBench(t, p.DeepCopy())
			b.refuse = tc.refuse
			other := pod("b", 2, func(p *corev1.Pod) { p.Spec.Containers[0].Resources = requests("100m", "128Mi") })
			r := request(t, tc.mode, tc.rules, p, other)
			if tc.change != nil {
				tc.change(&r)
			}
			out, err := b.Applier.Apply(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			got := &corev1.Pod{}
			if err := b.Get(t.Context(), client.ObjectKeyFromObject(p), got); err != nil {
				t.Fatal(err)
			}
			want := []any{tc.wantResizes, tc.wantEvictions, tc.wantBoost, tc.wantFailed}
			if diff := cmp.Diff(want, []any{b.resizes, b.evictions, got.Annotations[v1alpha1.StartupBoostAnnotation], out.BoostFailed != ""}); diff != "" {
				t.Errorf("(-want +got)\n%s\nverdict %+v", diff, out.Verdict)
			}
		})
	}
}

func TestAFailedBoostHoldsBoostsBackForADay(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := &v1alpha1.WorkloadScaler{}
	if !MayBoost(s, at) {
		t.Error("a workload that was never boosted may not be")
	}
	s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStartupBoost, Status: metav1.ConditionFalse, LastTransitionTime: metav1.NewTime(at)}}
	if MayBoost(s, at.Add(23*time.Hour)) || !MayBoost(s, at.Add(24*time.Hour)) {
		t.Error("a failure holds for another time than a day")
	}
}
