package workload

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"supercargo.dev/api/v1alpha1"
)

func named(name string, owners ...string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)}
	for i := 0; i+2 < len(owners); i += 3 {
		m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: owners[i], Kind: owners[i+1], Name: owners[i+2], UID: types.UID(owners[i+2]), Controller: ptr.To(true)})
	}
	return m
}

func resolver(t *testing.T, objects ...client.Object) *Resolver {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	b := fake.NewClientBuilder().WithScheme(s).WithObjects(objects...).
		WithIndex(&v1alpha1.WorkloadScaler{}, TargetField, TargetIndex).WithIndex(&v1alpha1.WorkloadScaler{}, SelectorField, SelectorIndex)
	for _, o := range []client.Object{&corev1.Pod{}, &appsv1.ReplicaSet{}, &batchv1.Job{}} {
		b = b.WithIndex(o, ControllerField, ControllerUID)
	}
	c := b.Build()
	return &Resolver{Reader: c, Direct: c}
}

func scaler(apiVersion, kind, name string) *v1alpha1.WorkloadScaler {
	return &v1alpha1.WorkloadScaler{ObjectMeta: named(name), Spec: v1alpha1.WorkloadScalerSpec{TargetRef: v1alpha1.TargetRef{APIVersion: apiVersion, Kind: kind, Name: name}}}
}

func TestPodsAreFoundThroughTheirOwners(t *testing.T) {
	rollout := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"namespace": "shop", "name": "roll", "uid": "roll"},
		"spec":     map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "app"}}}}},
	}}
	gone := &corev1.Pod{ObjectMeta: named("web-1-gone", "apps/v1", "ReplicaSet", "web-1")}
	gone.Status.Phase = corev1.PodFailed
	r := resolver(t, rollout, gone,
		&appsv1.Deployment{ObjectMeta: named("web")}, &appsv1.ReplicaSet{ObjectMeta: named("web-1", "apps/v1", "Deployment", "web")},
		&corev1.Pod{ObjectMeta: named("web-1-a", "apps/v1", "ReplicaSet", "web-1")},
		&appsv1.StatefulSet{ObjectMeta: named("db")}, &corev1.Pod{ObjectMeta: named("db-0", "apps/v1", "StatefulSet", "db")},
		&batchv1.CronJob{ObjectMeta: named("night")}, &batchv1.Job{ObjectMeta: named("night-1", "batch/v1", "CronJob", "night")},
		&corev1.Pod{ObjectMeta: named("night-1-a", "batch/v1", "Job", "night-1")},
		&appsv1.ReplicaSet{ObjectMeta: named("roll-1", "argoproj.io/v1alpha1", "Rollout", "roll")},
		&corev1.Pod{ObjectMeta: named("roll-1-a", "apps/v1", "ReplicaSet", "roll-1")},
	)
	for _, tc := range []struct{ apiVersion, kind, name, want string }{
		{"apps/v1", "Deployment", "web", "web-1-a"},
		{"apps/v1", "StatefulSet", "db", "db-0"},
		{"batch/v1", "CronJob", "night", "night-1-a"},
		{"argoproj.io/v1alpha1", "Rollout", "roll", "roll-1-a"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			w, err := r.Resolve(t.Context(), scaler(tc.apiVersion, tc.kind, tc.name))
			if err != nil {
				t.Fatal(err)
			}
			if len(w.Pods) != 1 || w.Pods[0].Name != tc.want || w.Template == nil {
				t.Errorf("pods %v, template %v", w.Pods, w.Template)
			}
		})
	}
}

func TestTheScalerOfAPodIsThatOfItsTopmostOwnerAndTheOldest(t *testing.T) {
	young, old := scaler("apps/v1", "Deployment", "web"), scaler("apps/v1", "Deployment", "web")
	young.Name, young.CreationTimestamp = "young", metav1.NewTime(time.Unix(2e9, 0))
	old.Name, old.CreationTimestamp = "old", metav1.NewTime(time.Unix(1e9, 0))
	selecting := scaler("example.org/v1", "Widget", "w")
	selecting.Spec.PodSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"widget": "w"}}
	r := resolver(t, young, old, selecting, &appsv1.ReplicaSet{ObjectMeta: named("web-1", "apps/v1", "Deployment", "web")})
	owned := &corev1.Pod{ObjectMeta: named("web-1-a", "apps/v1", "ReplicaSet", "web-1")}
	labelled := &corev1.Pod{ObjectMeta: named("widget")}
	labelled.Labels = map[string]string{"widget": "w"}
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want string
	}{"owned": {owned, "old"}, "selected": {labelled, "w"}, "nobody's": {&corev1.Pod{ObjectMeta: named("bare")}, ""}} {
		s, err := r.ScalerOf(t.Context(), "shop", tc.pod)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if s != nil {
			got = s.Name
		}
		if got != tc.want {
			t.Errorf("the scaler of the %s pod is %q, want %q", name, got, tc.want)
		}
	}
}

func TestReadinessWaitsForRollouts(t *testing.T) {
	three := int32(3)
	for _, tc := range []struct {
		name   string
		status appsv1.DeploymentStatus
		want   bool
	}{
		{"all updated and available", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}, true},
		{"a new generation was not seen", appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 3}, false},
		{"an old pod is left", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 4, UpdatedReplicas: 3, AvailableReplicas: 4}, false},
		{"one is not available", appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, AvailableReplicas: 2}, false},
	} {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &three}, Status: tc.status}
		if _, notReady := deploymentReadiness(d); (notReady == "") != tc.want {
			t.Errorf("%s: %q", tc.name, notReady)
		}
	}
}

// scales answers for the scale subresource.
type scales struct {
	client.SubResourceReader
	selector string
	replicas int64
	err      error
}

func (s scales) Get(_ context.Context, _, into client.Object, _ ...client.SubResourceGetOption) error {
	if s.err != nil {
		return s.err
	}
	into.(*unstructured.Unstructured).Object = map[string]any{
		"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": map[string]any{"replicas": s.replicas}, "status": map[string]any{"selector": s.selector},
	}
	return nil
}

func TestPodsOfACustomKindThatOwnsNoneAreFoundByItsScaleSubresource(t *testing.T) {
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.com/v1", "kind": "Widget", "metadata": map[string]any{"namespace": "shop", "name": "w", "uid": "w"},
	}}
	pod := func(name string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: named(name)}
		p.Labels = map[string]string{"widget": "w"}
		p.Spec.Containers = []corev1.Container{{Name: "app"}}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return p
	}
	resource := schema.GroupResource{Group: "example.com", Resource: "widgets"}
	for _, tc := range []struct {
		name     string
		scales   scales
		pattern  string
		pods     int
		notReady string
		note     string
	}{
		{name: "by its selector", scales: scales{selector: "widget=w", replicas: 2}, pods: 2},
		{name: "and its replicas say when it is settled", scales: scales{selector: "widget=w", replicas: 3}, pods: 2, notReady: "2 pods, 3 wanted"},
		{name: "a name pattern comes first", scales: scales{err: errors.New("must not be asked")}, pattern: "{name}-a", pods: 1},
		{name: "a subresource that may not be read is told", scales: scales{err: apierrors.NewForbidden(resource, "w", errors.New("no"))}, note: "may not be read"},
		{name: "a kind without one is told", scales: scales{err: apierrors.NewNotFound(resource, "w")}, note: "no scale subresource"},
		{name: "an empty selector binds nothing", scales: scales{replicas: 2}, notReady: "0 pods, 2 wanted", note: "states no selector"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := resolver(t, widget.DeepCopy(), pod("w-a"), pod("w-b"))
			r.Scales = tc.scales
			s := scaler("example.com/v1", "Widget", "w")
			s.Spec.PodNamePattern = tc.pattern
			w, err := r.Resolve(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if len(w.Pods) != tc.pods || w.NotReady != tc.notReady || !strings.Contains(w.Note, tc.note) {
				t.Errorf("%d pods, not ready %q, note %q", len(w.Pods), w.NotReady, w.Note)
			}
		})
	}
}

func TestWithoutATemplateContainersAreThoseOfTheNewestPodBeforeItWasChanged(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: named("w-a")}
	p.Annotations = map[string]string{v1alpha1.OriginalResourcesAnnotation: `{"app":{"requests":{"cpu":"1"}}}`}
	p.Spec.Containers = []corev1.Container{{Name: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}}}}
	w := &Workload{Pods: []*corev1.Pod{p}}
	if got := w.Containers()[0].Resources.Requests.Cpu().String(); got != "1" {
		t.Errorf("container app asks for %s, want 1", got)
	}
}
