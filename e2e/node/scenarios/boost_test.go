//go:build linux

package scenarios

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// TestAStartupBoostEndsInTheCgroupWithoutARestart: a new pod starts with twice its CPU, and loses the surplus in place once it was
// ready for a while.
func TestAStartupBoostEndsInTheCgroupWithoutARestart(t *testing.T) {
	w := newWorld(t)
	w.recommender(w.history(used{"starting", 200, 64}))
	objects := inPlace("starting", "2", v1alpha1.FallbackHold)
	policy, ok := objects[0].(*v1alpha1.AutoscalingPolicy)
	if !ok {
		t.Fatalf("%T", objects[0])
	}
	policy.Spec.StartupBoost = &v1alpha1.StartupBoost{
		Enabled: true, MinReady: &metav1.Duration{Duration: 8 * time.Second}, CPUMultiplier: "2", MemoryMultiplier: "1",
	}
	// It asks for what is recommended, so that the boost is all that changes. The webhook works before the first pod is made.
	none := deployment("starting", 0, "220m 71Mi", "440m 142Mi", "--memory-mib=20")
	w.create(append(objects, none)...)
	w.eventually("the webhook works", w.admits())
	w.scale("starting", 1)
	pod := w.running("starting", 1)[0]
	w.eventually("the pod starts with twice the CPU", w.enforced(&pod, 440, 880, 142))
	w.eventually("the boost ends in place", w.enforced(&pod, 220, 440, 142))
}

// scale sets the replicas of a Deployment.
func (w *world) scale(name string, replicas int32) {
	w.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault}}
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas))
	if err := w.Patch(w.t.Context(), d, patch); err != nil {
		w.t.Fatal(err)
	}
}
