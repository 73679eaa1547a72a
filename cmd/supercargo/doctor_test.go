package main

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestWhoLeadsIsReadFromTheLease(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(ago time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: now.Add(-ago)} }
	for name, tc := range map[string]struct {
		lease   coordinationv1.LeaseSpec
		verdict verdict
		message string
	}{
		"a lease that is renewed": {
			coordinationv1.LeaseSpec{HolderIdentity: new("a"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: at(5 * time.Second), AcquireTime: at(time.Hour)},
			verdictOK, "a, for 1h0m0s",
		},
		"a holder that is gone": {
			coordinationv1.LeaseSpec{HolderIdentity: new("a"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: at(time.Minute), AcquireTime: at(time.Hour)},
			verdictFailed, `last renewed 1m0s ago by "a"`,
		},
		"a lease that was given up": {
			coordinationv1.LeaseSpec{HolderIdentity: new(""), LeaseDurationSeconds: ptr.To[int32](1), RenewTime: at(0), AcquireTime: at(0)},
			verdictFailed, "nobody holds the lease",
		},
		"a lease that nobody ever renewed": {
			coordinationv1.LeaseSpec{HolderIdentity: new("a"), LeaseDurationSeconds: ptr.To[int32](15)}, verdictFailed, "nobody holds the lease",
		},
		"an empty lease": {coordinationv1.LeaseSpec{}, verdictFailed, "nobody holds the lease"},
	} {
		t.Run(name, func(t *testing.T) {
			got := (&examination{now: now}).led(&tc.lease)
			if got.Verdict != tc.verdict || !strings.Contains(got.Message, tc.message) {
				t.Errorf("got %+v, want %s with %q", got, tc.verdict, tc.message)
			}
		})
	}
}
