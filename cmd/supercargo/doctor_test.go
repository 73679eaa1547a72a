package main

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/recommender/governance"
)

func examine(objects ...client.Object) *examination {
	return &examination{
		client:    fake.NewClientBuilder().WithScheme(scheme.Scheme).WithObjects(objects...).Build(),
		namespace: "supercargo-system", timeout: time.Second, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestDoctorReadsThePauseSwitchAsTheRecommenderDoes(t *testing.T) {
	for value, want := range map[string]verdict{"true": verdictWarning, "True\n": verdictWarning, "false": verdictOK, "": verdictOK} {
		cm := &corev1.ConfigMap{Data: map[string]string{governance.PausedKey: value}}
		cm.Namespace, cm.Name = "supercargo-system", governance.SwitchName
		if got := examine(cm).switches(t.Context()); got.Verdict != want {
			t.Errorf("%q: %+v, want %s", value, got, want)
		}
	}
	if got := examine().switches(t.Context()); got.Verdict != verdictOK {
		t.Errorf("without a switch: %+v", got)
	}
}

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
		"a lease that says not since when": {
			coordinationv1.LeaseSpec{HolderIdentity: new("a"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: at(0)}, verdictOK, "a",
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
