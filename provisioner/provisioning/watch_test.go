package provisioning

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

func TestOnlyAPodWithoutAPlaceKeepsABatchOpen(t *testing.T) {
	closed := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	for name, tc := range map[string]struct {
		planned        bool
		node           *corev1.Node  // that the claim became
		since          time.Duration // the last round
		trigger, retry int
	}{
		"one that has no place":                        {since: time.Second, trigger: 1},
		"one whose claim was made":                     {planned: true, since: time.Second},
		"one whose claim was made, after the reminder": {planned: true, since: reminder, retry: 1},
		"one whose node is closed":                     {planned: true, node: node("n", closed), since: time.Second},
		"one whose node is open, and has no room":      {planned: true, node: node("n"), since: time.Second, retry: 1},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID("1")}}
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
			clk := clocktesting.NewFakeClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
			objects := []client.Object{pod}
			if tc.node != nil {
				objects = append(objects, tc.node)
			}
			c := New(Config{Client: fake.NewClientBuilder().WithObjects(objects...).WithStatusSubresource(pod).Build(), Clock: clk, Window: Window{Idle: time.Second, Max: time.Minute}})
			c.began.Store(clk.Now().Add(-tc.since).UnixNano())
			if tc.planned {
				c.nominations.planned("claim", []*corev1.Pod{pod})
			}
			if tc.node != nil {
				c.nominations.registered(t.Context(), "claim", tc.node.Name)
			}
			result, err := c.reconcilePod(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(pod)})
			if err != nil || result.RequeueAfter != reminder {
				t.Fatalf("%v, %v, want another look after %s", result, err, reminder)
			}
			if trigger, retry := len(c.batcher.trigger), len(c.batcher.retry); trigger != tc.trigger || retry != tc.retry {
				t.Errorf("%d triggers and %d retries, want %d and %d", trigger, retry, tc.trigger, tc.retry)
			}
		})
	}
}
