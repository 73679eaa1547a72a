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

func TestAPodWhoseNodeIsOnItsWayKeepsNoBatchOpen(t *testing.T) {
	for name, tc := range map[string]struct {
		planned bool
		node    *corev1.Node  // that the claim became
		since   time.Duration // the last round
		want    bool
	}{
		"a pod that nobody has planned":                {since: time.Second, want: true},
		"one whose claim was made":                     {planned: true, since: time.Second},
		"one whose claim was made, after the reminder": {planned: true, since: reminder, want: true},
		"one whose node is closed":                     {planned: true, node: node("n", corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}), since: time.Second},
		"one whose node is open, and has no room":      {planned: true, node: node("n"), since: time.Second, want: true},
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
			if got := len(c.batcher.trigger) == 1; got != tc.want {
				t.Errorf("a round was asked for: %t, want %t", got, tc.want)
			}
		})
	}
}
