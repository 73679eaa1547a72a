package main

import (
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

func TestDoctorReadsALeaseThatNobodySaysSinceWhen(t *testing.T) {
	e := examine()
	lease := &coordinationv1.Lease{}
	lease.Namespace, lease.Name = e.namespace, "supercargo-recommender"
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = ptr.To("a"), ptr.To[int32](15)
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(e.now))
	if err := e.client.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	if got := e.leader(t.Context(), "recommender"); got.Verdict != verdictOK || got.Message != "a" {
		t.Errorf("%+v", got)
	}
}
