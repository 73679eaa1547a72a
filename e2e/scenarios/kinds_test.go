package scenarios

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
)

// customKind makes a CRD of any shape with status and scale, as a platform's own kinds and Argo's Rollout have them.
func customKind(group, version, kind, plural string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": plural + "." + group},
		"spec": map[string]any{
			"group": group, "scope": "Namespaced", "names": map[string]any{"kind": kind, "plural": plural},
			"versions": []any{map[string]any{
				"name": version, "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
				"subresources": map[string]any{"status": map[string]any{}, "scale": map[string]any{
					"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector",
				}},
			}},
		},
	}}
}

// custom makes an object of such a kind in the default namespace.
func custom(apiVersion, kind, name string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"namespace": metav1.NamespaceDefault, "name": name}, "spec": spec,
	}}
}

// createdOnceServed creates an object of a kind whose definition was created a moment ago.
func (w *world) createdOnceServed(o *unstructured.Unstructured) {
	w.t.Helper()
	w.eventually(o.GetKind()+" is served", func(ctx context.Context) string {
		if err := w.Create(ctx, o); err != nil {
			return err.Error()
		}
		return ""
	})
}

// TestCustomKindsAreRightsizedAndRolloutsRestartOnlyWhenAsked is A3, A8, B1 and B23: pods of a kind of the platform's own are found by the
// kind's scale subresource, or by name; those of an Argo Rollout through its ReplicaSets, and replaced only where the policy says so.
func TestCustomKindsAreRightsizedAndRolloutsRestartOnlyWhenAsked(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1)
	w.create(customKind("example.com", "v1", "Widget", "widgets"), customKind("argoproj.io", "v1alpha1", "Rollout", "rollouts"))
	scaled := custom("example.com/v1", "Widget", "scaled", map[string]any{"replicas": int64(2)})
	w.createdOnceServed(scaled)
	scaled.Object["status"] = map[string]any{"replicas": int64(2), "selector": "app=scaled"}
	if err := w.Status().Update(t.Context(), scaled); err != nil {
		t.Fatal(err)
	}
	w.create(custom("example.com/v1", "Widget", "named", nil))
	template := greedy("rolled", 2).Spec.Template
	rollout := custom("argoproj.io/v1alpha1", "Rollout", "rolled", map[string]any{"replicas": int64(2), "template": map[string]any{"spec": map[string]any{
		"containers": []any{map[string]any{"name": "app", "image": "app", "resources": map[string]any{"requests": map[string]any{"cpu": "1", "memory": "1Gi"}}}},
	}}})
	w.createdOnceServed(rollout)
	rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "rolled-5f7", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Name: "rolled", UID: rollout.GetUID(), Controller: ptr.To(true),
	}}}}
	rs.Spec.Replicas, rs.Spec.Template, rs.Spec.Selector = ptr.To[int32](2), template, &metav1.LabelSelector{MatchLabels: template.Labels}
	w.create(rs)
	for _, name := range []string{"scaled-0", "scaled-1", "named-worker-0", "named-worker-1"} {
		owner := name[:len("named")]
		if name[0] == 's' {
			owner = "scaled"
		}
		spec := greedy(owner, 1).Spec.Template
		w.create(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: spec.Labels, Annotations: spec.Annotations}, Spec: spec.Spec,
		})
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "recommender-widgets"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"example.com"}, Resources: []string{"widgets", "widgets/scale"}, Verbs: []string{"get", "list"}},
	}}
	w.create(role, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: sandbox.Namespace, Name: sandbox.Recommender}},
	})
	policy := func(name, kind string, mode v1alpha1.UpdateMode) *v1alpha1.AutoscalingPolicy {
		return autoscaling(name, mode, "", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.TargetRefs[0].Kind, s.TargetRefs[0].Name, s.RecommendationPolicyName = kind, "", "quick"
		})
	}
	rollouts := policy("rollouts", "Rollout", v1alpha1.UpdateModeReCreate)
	w.create(quick(), policy("widgets", "Widget", v1alpha1.UpdateModeInPlace), rollouts)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 6))
	w.withRecommender(nil, "--workload-recreate-every=500ms")
	bind := func(name, apiVersion, kind string) *v1alpha1.WorkloadScaler {
		s := scaler(name, v1alpha1.UpdateModePreview)
		s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: apiVersion, Kind: kind, Name: name}
		return s
	}
	named := rule(v1alpha1.UpdateModePreview)
	named.Spec.ResourceSelectors = []v1alpha1.ResourceSelector{{APIVersion: "example.com/v1", Kind: "Widget", Name: "named", PodNamePattern: "{name}-worker-*"}}
	w.create(bind("scaled", "example.com/v1", "Widget"), bind("rolled", "argoproj.io/v1alpha1", "Rollout"), named)

	w.eventually("pods found by the scale subresource are resized", w.requests("scaled", 2, "120m"))
	w.eventually("pods found by name are resized", w.requests("named", 2, "120m"))
	w.eventually("a Rollout's pods wait for their own restart", func(ctx context.Context) string {
		s := w.scaler(ctx, "rolled")
		if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "Deferred" {
			return conditions(s.Status.Conditions)
		}
		return ""
	})
	if a := w.scaler(t.Context(), "rolled").Status.Applied; a.Recreated != 0 {
		t.Errorf("%d pods of the Rollout were replaced", a.Recreated)
	}
	natural := w.pods("rolled")[0]
	if err := w.Delete(t.Context(), &natural); err != nil {
		t.Fatal(err)
	}
	w.eventually("a pod that restarts by itself takes it up", func(context.Context) string {
		small := 0
		for _, p := range w.pods("rolled") {
			if p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() <= 120 {
				small++
			}
		}
		if small != 1 {
			return fmt.Sprintf("%d pods with the recommendation", small)
		}
		return ""
	})
	update(w, rollouts, func(p *v1alpha1.AutoscalingPolicy) { p.Spec.RestartRollouts = true })
	w.eventually("the others are replaced where the policy says so", func(ctx context.Context) string {
		if waiting := w.requests("rolled", 2, "120m")(ctx); waiting != "" {
			return waiting + "; " + conditions(w.scaler(ctx, "rolled").Status.Conditions)
		}
		return ""
	})
	if err := w.Get(t.Context(), client.ObjectKeyFromObject(rollout), rollout); err != nil || rollout.GetGeneration() != 1 {
		t.Errorf("the Rollout was changed: generation %d, %v", rollout.GetGeneration(), err)
	}
	w.nothingWasForbidden()
}

// TestEachKindIsRightsizedAndAcceleratorsOnlyByHand is A3, A19, B1 and B15: StatefulSets and ReplicaSets by a policy; a Job that a person
// turned on at once, however little is known of it; a workload with a GPU not by its rule, only by hand, and then not its GPU.
func TestEachKindIsRightsizedAndAcceleratorsOnlyByHand(t *testing.T) {
	w := newWorld(t)
	w.bareNodes(1, sim.Alternative{InstanceType: "g4dn.xlarge", Zone: "us-east-1a", CapacityType: "on-demand"})
	gpu := corev1.ResourceName("nvidia.com/gpu")
	train := greedy("train", 1, func(p *corev1.PodTemplateSpec) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{gpu: resource.MustParse("1")}
	})
	orders, alone, batch := greedy("orders", 2).Spec, greedy("alone", 2).Spec, greedy("batch", 2, func(p *corev1.PodTemplateSpec) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }).Spec
	w.create(
		train,
		&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "orders"}, Spec: appsv1.StatefulSetSpec{Replicas: orders.Replicas, Selector: orders.Selector, Template: orders.Template}},
		&appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "alone"}, Spec: appsv1.ReplicaSetSpec{Replicas: alone.Replicas, Selector: alone.Selector, Template: alone.Template}},
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "batch"}, Spec: batchv1.JobSpec{Parallelism: batch.Replicas, Completions: batch.Replicas, Template: batch.Template}},
	)
	w.eventually("pods run", w.allRun(metav1.NamespaceDefault, 7))
	for _, kind := range []string{"StatefulSet", "ReplicaSet"} {
		w.create(autoscaling(strings.ToLower(kind), v1alpha1.UpdateModeInPlace, "", func(s *v1alpha1.AutoscalingPolicySpec) {
			s.TargetRefs[0].Kind, s.TargetRefs[0].Name, s.RecommendationPolicyName = kind, "", "quick"
		}))
	}
	w.create(quick())
	w.withRecommender([]string{"train"})
	everything := rule(v1alpha1.UpdateModeInPlace)
	everything.Spec.ResourceSelectors = []v1alpha1.ResourceSelector{{Kind: "Deployment", Namespace: "default"}, {Kind: "StatefulSet", Namespace: "default"}, {Kind: "ReplicaSet", Namespace: "default"}}
	job := scaler("batch", v1alpha1.UpdateModeInPlace)
	job.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "batch/v1", Kind: "Job", Name: "batch"}
	w.create(everything, job)

	w.eventually("a StatefulSet's pods are resized", w.requests("orders", 2, "150m"))
	w.eventually("a ReplicaSet's pods are resized", w.requests("alone", 2, "150m"))
	w.eventually("a Job's pods are resized at once", w.requests("batch", 2, "150m"))
	if c := w.scaler(t.Context(), "batch").Status.Recommendation.Confidence; c.Level != v1alpha1.ConfidenceLow {
		t.Errorf("confidence %+v; nothing shows that a person's decision needs none", c)
	}
	w.eventually("train is recommended", w.recommended("train-deployment"))
	w.eventually("train is for review only", func(ctx context.Context) string {
		s := w.scaler(ctx, "train-deployment")
		if c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionApplied); c == nil || c.Reason != "ReviewOnly" {
			return conditions(s.Status.Conditions)
		}
		return ""
	})
	if cpu := w.pods("train")[0].Spec.Containers[0].Resources.Requests.Cpu().String(); cpu != "1" {
		t.Errorf("a rule changed a workload with a GPU: cpu %s", cpu)
	}
	w.cli(0, "apply", "-n", "default", "--kind", "Deployment", "--mode", "InPlace", "--yes") // it is selected, not named
	if s := w.scaler(t.Context(), "train-deployment"); s.Annotations[v1alpha1.UpdateModeAnnotation] != "" {
		t.Error("a workload with a GPU was turned on without being named")
	}
	w.cli(0, "apply", "train", "-n", "default", "--mode", "InPlace", "--yes")
	w.eventually("train is resized once a person names it", w.requests("train", 1, "150m"))
	r := w.pods("train")[0].Spec.Containers[0].Resources
	if n := r.Limits[gpu]; n.Value() != 1 || len(r.Limits) != 1 {
		t.Errorf("limits %v, want the one GPU as before", r.Limits)
	}
	w.nothingWasForbidden()
}
