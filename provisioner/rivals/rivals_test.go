package rivals

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func lease(namespace, name, holder string, renewed time.Time) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: ptr.To[int32](15), RenewTime: &metav1.MicroTime{Time: renewed},
		},
	}
}

func TestRunning(t *testing.T) {
	for name, tc := range map[string]struct {
		lease *coordinationv1.Lease
		want  []string
	}{
		"Cluster Autoscaler that renews its lease runs":    {lease("kube-system", "cluster-autoscaler", "a", now.Add(-5*time.Second)), []string{"Cluster Autoscaler"}},
		"Karpenter that renews its lease runs":             {lease("kube-system", "karpenter-leader-election", "a", now), []string{"Karpenter"}},
		"a lease that ran out is what an uninstall leaves": {lease("kube-system", "cluster-autoscaler", "a", now.Add(-time.Minute)), nil},
		"a lease that was released holds nobody":           {lease("kube-system", "cluster-autoscaler", "", now), nil},
		"a lease of that name elsewhere is another's":      {lease("default", "cluster-autoscaler", "a", now), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Running(t.Context(), fake.NewClientBuilder().WithObjects(tc.lease).Build(), now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManaged(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "ours", Labels: map[string]string{karpv1.NodePoolLabelKey: "default"}}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "base"}},
	).Build()
	for node, want := range map[string]bool{"ours": true, "base": false, "gone": false, "": false} {
		got, err := Managed(t.Context(), c, node)
		if err != nil || got != want {
			t.Errorf("node %q: managed is %t (%v), want %t", node, got, err, want)
		}
	}
}
