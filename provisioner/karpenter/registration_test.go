package karpenter

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

func TestPodsAreNominatedWhenTheirNodeIsReadyAndStillClosed(t *testing.T) {
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for name, tc := range map[string]struct {
		status corev1.ConditionStatus
		taints []corev1.Taint
		age    time.Duration
		want   bool
	}{
		"its kubelet starts":                           {status: corev1.ConditionFalse, taints: []corev1.Taint{notReady}},
		"its kubelet is ready, and the taint says not": {status: corev1.ConditionTrue, taints: []corev1.Taint{notReady}},
		"it is ready":                                  {status: corev1.ConditionTrue, want: true},
		"it has started for as long as it may":         {status: corev1.ConditionFalse, taints: []corev1.Taint{notReady}, age: awaitReady, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			node := &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: "n", CreationTimestamp: metav1.NewTime(noon.Add(-tc.age))},
				Spec:       corev1.NodeSpec{ProviderID: "sim:///n", Taints: append([]corev1.Taint{karpv1.UnregisteredNoExecuteTaint}, tc.taints...)},
				Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: tc.status}}},
			}
			kube := fake.NewClientBuilder().WithScheme(schemeWith(t)).WithObjects(node).
				WithIndex(&corev1.Node{}, "spec.providerID", func(o client.Object) []string { return []string{o.(*corev1.Node).Spec.ProviderID} }).Build()
			m := &Machinery{cfg: Config{Client: kube, Clock: clocktesting.NewFakeClock(noon)}}
			var got []string
			hook := m.RegistrationHook(func(_ context.Context, claim, node string) { got = append(got, claim+" "+node) })
			result, err := hook.Registered(t.Context(), claim("c", func(nc *karpv1.NodeClaim) { nc.Status.ProviderID = "sim:///n" }))
			if err != nil {
				t.Fatal(err)
			}
			if waits := result.RequeueAfter > 0; waits == tc.want {
				t.Errorf("the node stays closed: %t, want %t", waits, !tc.want)
			}
			if called := len(got) == 1 && got[0] == "c n"; called != tc.want {
				t.Errorf("called with %v, want a call: %t", got, tc.want)
			}
		})
	}
}
