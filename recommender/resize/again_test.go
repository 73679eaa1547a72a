package resize

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

func TestAResizeThatWasTakenBackIsFollowedUpSoon(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) // the bench's
	p := pod("a", 1, resized(Record{At: now.Add(-time.Second), Hash: "h"}, "100m", "128Mi"),
		withCondition(corev1.PodCondition{Type: corev1.PodResizePending, Reason: corev1.PodReasonInfeasible}))
	b := newBench(t, p.DeepCopy())
	out, err := b.Applier.Apply(t.Context(), request(t, v1alpha1.UpdateModeInPlace, hold(), p))
	if err != nil {
		t.Fatal(err)
	}
	if out.Again != settle {
		t.Errorf("looks again after %s, want %s: no event asks for the fallback", out.Again, settle)
	}
}
