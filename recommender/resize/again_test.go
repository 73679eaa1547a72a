package resize

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestAResizeThatWasTakenBackIsFollowedUpSoon(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // the bench's
	for _, tc := range []struct {
		name   string
		record Record
	}{
		{name: "in the pass that takes it back", record: Record{At: now.Add(-time.Second), Hash: "h"}},
		{name: "while the node has not noticed", record: Record{At: now.Add(-time.Second), Hash: "h", Outcome: outcomeRestored}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := pod("a", 1, resized(tc.record, "100m", "128Mi"),
				withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}))
			b := newBench(t, p.DeepCopy())
			out, err := b.Applier.Apply(t.Context(), request(t, v1alpha1.UpdateModeInPlace, hold(), p))
			if err != nil {
				t.Fatal(err)
			}
			if out.Again != settle {
				t.Errorf("looks again after %s, want %s: no event may ask for the fallback", out.Again, settle)
			}
		})
	}
}
