package scenarios

import (
	"context"
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
)

// TestASecondRecommenderGoesOnWhenTheLeaderIsKilledAmongResizes is B2: the second replica takes over in the middle of a rollout of
// resizes, and no pod is resized twice.
func TestASecondRecommenderGoesOnWhenTheLeaderIsKilledAmongResizes(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	const pods = 3
	w.create(greedy("web", pods))
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, pods))
	slow := []string{"--resize-every=2s", "--resize-burst=1"}
	leader := w.withRecommender([]string{"web"}, slow...)
	w.create(scaler("web", v1alpha1.UpdateModePreview))
	w.eventually("web is recommended", w.recommended("web"))
	recommended := time.Now()
	w.withRecommender(nil, slow...)
	w.eventually("a checkpoint is written", w.checkpointed(recommended))
	update(w, w.scaler(t.Context(), "web"), func(s *v1alpha1.WorkloadScaler) {
		s.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModeInPlace
	})
	resized := func() (n int) {
		for _, p := range w.pods("web") {
			if p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() <= 120 {
				n++
			}
		}
		return n
	}
	w.eventually("the leader resizes", func(context.Context) string {
		if n := resized(); n == 0 {
			return "no pod is resized"
		}
		return ""
	})
	if err := leader.Kill(); err != nil {
		t.Fatal(err)
	}
	if n := resized(); n == pods {
		t.Fatal("the leader was killed after it was done")
	}
	w.eventually("the second replica resizes the others", w.requests("web", pods, "120m"))
	for _, p := range w.pods("web") {
		if p.Generation != 2 {
			t.Errorf("pod %s was changed %d times", p.Name, p.Generation-1)
		}
	}
	w.eventually("every pod says what it was given", func(ctx context.Context) string {
		s := w.scaler(ctx, "web")
		for _, p := range w.pods("web") {
			if p.Annotations[v1alpha1.RecommendationAnnotation] == "" || p.Annotations[v1alpha1.OriginalResourcesAnnotation] == "" {
				return fmt.Sprintf("pod %s: %v; %s", p.Name, p.Annotations, conditions(s.Status.Conditions))
			}
		}
		return ""
	})
}

// TestFieldsOfANewerVersionAreNeitherDroppedNorFatal: the CRDs are those of a newer version, with fields and modes that this recommender
// has never heard of. What it cannot read does not govern and says so; everything else goes on, and nothing unknown is dropped.
func TestFieldsOfANewerVersionAreNeitherDroppedNorFatal(t *testing.T) {
	w := newWorld(t)
	for _, plural := range []string{"autoscalingpolicies", "workloadscalers"} {
		crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
		crd.SetName(plural + "." + v1alpha1.GroupName)
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
			t.Fatal(err)
		}
		versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
		if err != nil {
			t.Fatal(err)
		}
		version, ok := versions[0].(map[string]any)
		if !ok {
			t.Fatalf("version %T", versions[0])
		}
		version["schema"] = map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
		if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
			t.Fatal(err)
		}
		if err := w.Update(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
	}
	newer := func(kind, name string, spec map[string]any) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": v1alpha1.GroupVersion.String(), "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec}}
		if kind == "WorkloadScaler" {
			o.SetNamespace(metav1.NamespaceDefault)
		}
		return o
	}
	future := newer("AutoscalingPolicy", "future", map[string]any{
		"priority": int64(100), "updateSchedule": []any{map[string]any{"name": "always", "mode": "Teleport"}}, "wormholes": int64(3),
	})
	bound := newer("WorkloadScaler", "web", map[string]any{
		"targetRef": map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "wormholes": int64(3),
	})
	w.create(greedy("web", 1), future, bound, autoscaling("known", v1alpha1.UpdateModeOnCreate, "web"))
	bound.Object["status"] = map[string]any{"entropy": "low"}
	if err := w.Status().Update(t.Context(), bound); err != nil {
		t.Fatal(err)
	}
	w.withRecommender(nil)
	w.eventually("the policy that is known governs", func(ctx context.Context) string {
		if p := w.scaler(ctx, "web").Status.Policy; p == nil || p.AutoscalingPolicy != "known" {
			return fmt.Sprintf("%+v", p)
		}
		return ""
	})
	w.eventually("the policy of the future says what is wrong", func(ctx context.Context) string {
		p := &v1alpha1.AutoscalingPolicy{}
		if err := w.Get(ctx, client.ObjectKey{Name: "future"}, p); err != nil {
			return err.Error()
		}
		if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Reason != "InvalidSchedule" {
			return conditions(p.Status.Conditions)
		}
		return ""
	})
	for _, o := range []*unstructured.Unstructured{future, bound} {
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		if n, _, err := unstructured.NestedInt64(o.Object, "spec", "wormholes"); err != nil || n != 3 {
			t.Errorf("%s lost spec.wormholes: %v", o.GetKind(), o.Object["spec"])
		}
	}
	if is, _, err := unstructured.NestedString(bound.Object, "status", "entropy"); err != nil || is != "low" {
		t.Errorf("the scaler lost status.entropy: %v", bound.Object["status"])
	}
}
