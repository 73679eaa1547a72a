package scenarios

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubelet"
)

// event is a condition: there is an event of a reason whose message has a text.
func (w *world) event(reason, text string) func(context.Context) string {
	return func(context.Context) string {
		var seen []string
		for _, e := range list(w, &corev1.EventList{}, client.InNamespace(metav1.NamespaceDefault)).Items {
			if e.Reason == reason && strings.Contains(e.Message, text) {
				return ""
			}
			seen = append(seen, e.Reason)
		}
		return fmt.Sprintf("events %v", seen)
	}
}

// uses makes a running pod use something else from now on.
func (w *world) uses(p *corev1.Pod, usage string) {
	w.t.Helper()
	base := p.DeepCopy()
	p.Annotations[kubelet.AnnotationUsage] = usage
	if err := w.Patch(w.t.Context(), p, client.MergeFrom(base)); err != nil {
		w.t.Fatal(err)
	}
}

// TestAnEvictedPodIsRecommendedWhatItUsed is B35: a kubelet under memory pressure evicts the pod that caused it, and memory is at
// least what it used, plus overhead.
func TestAnEvictedPodIsRecommendedWhatItUsed(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(greedy("web", 2))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	w.uses(&w.pods("web")[0], `{"app": {"cpu": "100m", "memory": "40Gi"}}`) // more than the machine has
	w.eventually("the eviction is recorded", w.event("EvictedUnderMemoryPressure", "used 40Gi when it was evicted"))
	w.eventually("memory follows", func(ctx context.Context) string {
		rec := w.scaler(ctx, "web").Status.Recommendation.Containers[0]
		if rec.Requests.Memory().Value() < 44<<30 {
			return fmt.Sprintf("memory is %s", rec.Requests.Memory())
		}
		return ""
	})
	w.nothingWasForbidden()
}

// TestASurgeIsRecorded is B37 and B43: usage far above the recommendation begins a surge where the policy asks for it.
func TestASurgeIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	follow := &v1alpha1.RecommendationPolicy{ObjectMeta: metav1.ObjectMeta{Name: "follow"}}
	follow.Spec.Surge = &v1alpha1.SurgePolicy{Enabled: true}
	all := &v1alpha1.AutoscalingPolicy{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	all.Spec.RecommendationPolicyName = "follow"
	all.Spec.UpdateSchedule = []v1alpha1.ScheduleItem{{Name: "always", Mode: v1alpha1.UpdateModeOnCreate}}
	w.create(greedy("web", 2), follow, all)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 2))
	w.withRecommender([]string{"web"})
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	for _, p := range w.pods("web") {
		w.uses(&p, `{"app": {"cpu": "900m", "memory": "128Mi"}}`)
	}
	w.eventually("the surge is recorded", w.event("UsageSurged", "of cpu where 111m is recommended"))
}
