package discovery

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"supercargo.dev/api/v1alpha1"
)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

func object[T client.Object](o T, name string, change ...func(T)) T {
	o.SetNamespace("shop")
	o.SetName(name)
	o.SetUID(types.UID(name))
	for _, c := range change {
		c(o)
	}
	return o
}

func rule(name string, selectors ...v1alpha1.ResourceSelector) *v1alpha1.WorkloadScalerRule {
	r := &v1alpha1.WorkloadScalerRule{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1}}
	r.Spec.ResourceSelectors = selectors
	return r
}

func existing(name, kind, target, rule string, age time.Duration) *v1alpha1.WorkloadScaler {
	return object(&v1alpha1.WorkloadScaler{}, name, func(s *v1alpha1.WorkloadScaler) {
		s.CreationTimestamp = metav1.NewTime(time.Unix(1e9, 0).Add(-age))
		s.Spec.TargetRef = v1alpha1.TargetRef{APIVersion: "apps/v1", Kind: kind, Name: target}
		if rule != "" {
			s.Labels = map[string]string{v1alpha1.RuleLabel: rule}
		}
	})
}

func TestReconcile(t *testing.T) {
	deployments := v1alpha1.ResourceSelector{Kind: "Deployment"}
	owned := func(o client.Object) {
		yes := true
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "web", Controller: &yes}})
	}
	for _, tc := range []struct {
		name    string
		rules   []*v1alpha1.WorkloadScalerRule // the first is reconciled
		objects []client.Object
		want    []string // "name kind/target rule"
		reason  string
	}{
		{
			name: "every kind that is selected gets a scaler of its own",
			rules: []*v1alpha1.WorkloadScalerRule{rule("all", deployments, v1alpha1.ResourceSelector{Kind: "StatefulSet"}, v1alpha1.ResourceSelector{Kind: "DaemonSet"},
				v1alpha1.ResourceSelector{Kind: "ReplicaSet"}, v1alpha1.ResourceSelector{Kind: "Job"}, v1alpha1.ResourceSelector{Kind: "CronJob"})},
			objects: []client.Object{
				object(&appsv1.Deployment{}, "web"), object(&appsv1.StatefulSet{}, "web"), object(&appsv1.DaemonSet{}, "agent"),
				object(&appsv1.ReplicaSet{}, "alone"), object(&appsv1.ReplicaSet{}, "web-1", func(r *appsv1.ReplicaSet) { owned(r) }),
				object(&batchv1.Job{}, "once"), object(&batchv1.Job{}, "night-1", func(j *batchv1.Job) { owned(j) }),
				object(&batchv1.Job{}, "over", func(j *batchv1.Job) {
					j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
				}),
				object(&batchv1.CronJob{}, "night"),
			},
			want: []string{
				"agent-daemonset DaemonSet/agent all", "alone-replicaset ReplicaSet/alone all", "night-cronjob CronJob/night all",
				"once-job Job/once all", "web-deployment Deployment/web all", "web-statefulset StatefulSet/web all",
			}, reason: "Discovered",
		},
		{
			name:  "a workload that opted out, or is not selected, gets none",
			rules: []*v1alpha1.WorkloadScalerRule{rule("all", v1alpha1.ResourceSelector{Kind: "Deployment", Name: "w[a-e]b*", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}})},
			objects: []client.Object{
				object(&appsv1.Deployment{}, "web", func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }),
				object(&appsv1.Deployment{}, "web2"), object(&appsv1.Deployment{}, "api", func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }),
				object(&appsv1.Deployment{}, "web3", func(d *appsv1.Deployment) {
					d.Labels, d.Annotations = map[string]string{"a": "b"}, map[string]string{v1alpha1.DisabledAnnotation: "true"}
				}),
			},
			want: []string{"web-deployment Deployment/web all"}, reason: "Discovered",
		},
		{
			name:    "a person's scaler is respected, and ours goes",
			rules:   []*v1alpha1.WorkloadScalerRule{rule("all", deployments)},
			objects: []client.Object{object(&appsv1.Deployment{}, "web"), existing("mine", "Deployment", "web", "", 0), existing("web-deployment", "Deployment", "web", "all", time.Hour)},
			want:    []string{"mine Deployment/web "}, reason: "Discovered",
		},
		{
			name:    "a scaler whose workload is no longer selected goes, others stay",
			rules:   []*v1alpha1.WorkloadScalerRule{rule("all", deployments)},
			objects: []client.Object{existing("old-deployment", "Deployment", "old", "all", 0), existing("mine", "Deployment", "gone", "", 0), existing("theirs", "Deployment", "gone2", "other", 0)},
			want:    []string{"mine Deployment/gone ", "theirs Deployment/gone2 other"}, reason: "Discovered",
		},
		{
			name:    "of two rules the one that came first keeps its scaler",
			rules:   []*v1alpha1.WorkloadScalerRule{rule("all", deployments), rule("other", deployments)},
			objects: []client.Object{object(&appsv1.Deployment{}, "web"), existing("web-deployment", "Deployment", "web", "other", 0)},
			want:    []string{"web-deployment Deployment/web other"}, reason: "Discovered",
		},
		{
			name:    "a name that is taken by another workload's scaler is told apart by a hash",
			rules:   []*v1alpha1.WorkloadScalerRule{rule("all", deployments)},
			objects: []client.Object{object(&appsv1.Deployment{}, "web"), existing("web-deployment", "Deployment", "else", "", 0)},
			want:    []string{"web-deployment Deployment/else ", "web-deployment-" + digest("Deployment.apps/shop/web") + " Deployment/web all"}, reason: "Discovered",
		},
		{
			name:    "a malformed rule keeps what it discovered",
			rules:   []*v1alpha1.WorkloadScalerRule{rule("all", v1alpha1.ResourceSelector{Kind: "Deployment", Name: "web["})},
			objects: []client.Object{existing("web-deployment", "Deployment", "web", "all", 0)},
			want:    []string{"web-deployment Deployment/web all"}, reason: "InvalidPattern",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := fake.NewClientBuilder().WithScheme(newScheme(t)).WithStatusSubresource(&v1alpha1.WorkloadScalerRule{}).WithObjects(tc.objects...)
			for _, r := range tc.rules {
				b = b.WithObjects(r)
			}
			c := b.Build()
			r := &Reconciler{Client: c, Direct: c}
			req := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(tc.rules[0])}
			for range 2 { // the second changes nothing
				if _, err := r.Reconcile(t.Context(), req); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tc.want, scalers(t, c)); diff != "" {
					t.Fatalf("(-want +got)\n%s", diff)
				}
			}
			got := &v1alpha1.WorkloadScalerRule{}
			if err := c.Get(t.Context(), req.NamespacedName, got); err != nil {
				t.Fatal(err)
			}
			if ready := meta.FindStatusCondition(got.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != tc.reason {
				t.Errorf("conditions %v, want reason %s", got.Status.Conditions, tc.reason)
			}
		})
	}
}

func TestAModeSetByHandStandsOverThatOfTheRule(t *testing.T) {
	for _, tc := range []struct {
		name, annotation string
		want             v1alpha1.UpdateMode
		reason           string
	}{
		{"set", "InPlace", v1alpha1.UpdateModeInPlace, "Discovered"},
		{"set to what no mode is called", "inplace", v1alpha1.UpdateModeOnCreate, "InvalidUpdateMode"},
		{"taken off again", "", v1alpha1.UpdateModeOnCreate, "Discovered"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := existing("web-deployment", "Deployment", "web", "all", 0)
			s.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModeAuto
			if tc.annotation != "" {
				s.Annotations = map[string]string{v1alpha1.UpdateModeAnnotation: tc.annotation}
			}
			r := rule("all", v1alpha1.ResourceSelector{Kind: "Deployment"})
			r.Spec.Resources.UpdatePolicy.UpdateMode = v1alpha1.UpdateModeOnCreate
			c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(object(&appsv1.Deployment{}, "web"), s, r).WithStatusSubresource(r).Build()
			if _, err := (&Reconciler{Client: c, Direct: c}).Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.Get(t.Context(), client.ObjectKeyFromObject(s), s), c.Get(t.Context(), client.ObjectKeyFromObject(r), r)); err != nil {
				t.Fatal(err)
			}
			if mode := s.Spec.Resources.UpdatePolicy.UpdateMode; mode != tc.want {
				t.Errorf("mode %s, want %s", mode, tc.want)
			}
			if ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Reason != tc.reason {
				t.Errorf("conditions %v, want reason %s", r.Status.Conditions, tc.reason)
			}
		})
	}
}

func TestScalersOfAKindThatCannotBeReadStay(t *testing.T) {
	gone := rule("all", v1alpha1.ResourceSelector{APIVersion: "example.com/v1", Kind: "Widget"}, v1alpha1.ResourceSelector{Kind: "Deployment"})
	widget := existing("w-widget", "Widget", "w", "all", 0)
	widget.Spec.TargetRef.APIVersion = "example.com/v1"
	for name, refused := range map[string]error{
		"not served":        &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}},
		"may not be listed": apierrors.NewForbidden(schema.GroupResource{Group: "example.com", Resource: "widgets"}, "", nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithStatusSubresource(gone).
				WithObjects(gone.DeepCopy(), widget.DeepCopy(), existing("old-deployment", "Deployment", "old", "all", 0)).
				WithInterceptorFuncs(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
					if _, custom := into.(*unstructured.UnstructuredList); custom {
						return refused
					}
					return c.List(ctx, into, opts...)
				}}).Build()
			if _, err := (&Reconciler{Client: c, Direct: c}).Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(gone)}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"w-widget Widget/w all"}, scalers(t, c)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAPodNamePatternReachesTheScalersOfACustomKind(t *testing.T) {
	spark := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "sparkoperator.k8s.io/v1beta2", "kind": "SparkApplication", "metadata": map[string]any{"namespace": "shop", "name": "etl"},
	}}
	r := rule("all", v1alpha1.ResourceSelector{APIVersion: "sparkoperator.k8s.io/v1beta2", Kind: "SparkApplication", PodNamePattern: "{name}-*-exec-*"})
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(r, spark).WithStatusSubresource(&v1alpha1.WorkloadScalerRule{}).Build()
	d := &Reconciler{Client: c, Direct: c}
	if _, err := d.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(r)}); err != nil {
		t.Fatal(err)
	}
	var list v1alpha1.WorkloadScalerList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != 1 || list.Items[0].Spec.PodNamePattern != "{name}-*-exec-*" || list.Items[0].Spec.TargetRef.Name != "etl" {
		t.Errorf("scalers %+v", list.Items)
	}
}

func TestCustomKindsAreListedPageByPage(t *testing.T) {
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	var asked []string
	pages := interceptor.NewClient(fake.NewClientBuilder().WithScheme(newScheme(t)).Build(), interceptor.Funcs{
		List: func(_ context.Context, _ client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
			o := (&client.ListOptions{}).ApplyOptions(opts)
			asked = append(asked, fmt.Sprintf("%d %s", o.Limit, o.Continue))
			list, ok := into.(*unstructured.UnstructuredList)
			if !ok {
				return fmt.Errorf("list of %T", into)
			}
			item := unstructured.Unstructured{}
			item.SetName(fmt.Sprintf("w%d", len(asked)))
			list.Items = []unstructured.Unstructured{item}
			if len(asked) < 3 {
				list.SetContinue(fmt.Sprintf("token%d", len(asked)))
			}
			return nil
		},
	})
	found, err := (&Reconciler{Direct: pages}).list(t.Context(), kind)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"500 ", "500 token1", "500 token2"}, asked); diff != "" || len(found) != 3 {
		t.Errorf("%d found (-want +got)\n%s", len(found), diff)
	}
}

func scalers(t *testing.T, c client.Client) []string {
	t.Helper()
	var list v1alpha1.WorkloadScalerList
	if err := c.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list.Items {
		out = append(out, s.Name+" "+s.Spec.TargetRef.Kind+"/"+s.Spec.TargetRef.Name+" "+s.Labels[v1alpha1.RuleLabel])
	}
	sort.Strings(out)
	return out
}

func TestADeletedRuleTakesItsScalersAlong(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(
		existing("ours", "Deployment", "a", "gone", 0), existing("mine", "Deployment", "b", "", 0)).Build()
	r := &Reconciler{Client: c, Direct: c}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "gone"}}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mine Deployment/b "}, scalers(t, c)); diff != "" {
		t.Error(diff)
	}
}

func TestAScalerGoesWithItsWorkloadAndStartsInPreview(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(object(&appsv1.Deployment{}, "web"), rule("all", v1alpha1.ResourceSelector{Kind: "Deployment"})).Build()
	r := &Reconciler{Client: c, Direct: c}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "all"}}); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	s := &v1alpha1.WorkloadScaler{}
	if err := c.Get(t.Context(), types.NamespacedName{Namespace: "shop", Name: "web-deployment"}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.OwnerReferences) != 1 || s.OwnerReferences[0].UID != "web" || s.Spec.Resources.UpdatePolicy.UpdateMode != v1alpha1.UpdateModePreview {
		t.Errorf("owners %v, spec %+v", s.OwnerReferences, s.Spec)
	}
}

func TestOneFailureDoesNotKeepOthersFromBeingWritten(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(newScheme(t)).WithStatusSubresource(&v1alpha1.WorkloadScalerRule{}).
		WithObjects(object(&appsv1.Deployment{}, "a"), object(&appsv1.Deployment{}, "b"), rule("all", v1alpha1.ResourceSelector{Kind: "Deployment"})).
		WithInterceptorFuncs(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if o.GetName() == "a-deployment" {
				return context.DeadlineExceeded
			}
			return c.Create(ctx, o, opts...)
		}}).Build()
	r := &Reconciler{Client: c, Direct: c}
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "all"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff([]string{"b-deployment Deployment/b all"}, scalers(t, c)); diff != "" {
		t.Error(diff)
	}
}

func TestNamesAreValidHoweverLong(t *testing.T) {
	long := strings.Repeat("a", 260)
	if n := scalerName(long, "Deployment"); len(n) > 253 || n != scalerName(long, "Deployment") || n == scalerName(long+"b", "Deployment") {
		t.Errorf("name of %d characters", len(n))
	}
	if v := RuleLabelValue(long); len(v) > 63 {
		t.Errorf("label of %d characters", len(v))
	}
}
