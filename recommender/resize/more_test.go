package resize

import (
	"context"
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/recommender/policy"
)

func fieldErrors(message string) field.ErrorList {
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), message)}
}

func TestRateLimitsSurviveARestart(t *testing.T) {
	clock := testclock.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).Build()
	start := func() *Limiter {
		return &Limiter{Client: c, Direct: c, Namespace: "supercargo-system", Clock: clock, Rates: map[Kind]Rates{
			KindRecreate: {Global: policy.Rate{Every: time.Minute, Burst: 2}, Workload: policy.Rate{Every: time.Second, Burst: 1}},
		}}
	}
	take := func(l *Limiter, workload string, want bool) {
		t.Helper()
		wait, ok, err := l.Take(t.Context(), KindRecreate, workload)
		if err != nil || ok != want {
			t.Fatalf("taking for %s: %t after %s, %v; want %t", workload, ok, wait, err, want)
		}
	}
	first := start()
	take(first, "a", true)
	take(first, "a", false) // its own rate
	take(first, "b", true)
	second := start() // a restart
	take(second, "c", false)
	clock.Step(time.Minute)
	take(second, "c", true)
	take(first, "d", false) // the former leader sees what the new one has spent
}

func TestARateLimitThatCannotBeWrittenLetsNothingPass(t *testing.T) {
	c := fake.NewClientBuilder().WithScheme(scheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return errors.New("etcd is down")
		},
	}).Build()
	l := &Limiter{Client: c, Direct: c, Namespace: "supercargo-system", Clock: testclock.NewFakeClock(time.Unix(1e9, 0)), Rates: DefaultRates()}
	if _, ok, err := l.Take(t.Context(), KindResize, "a"); ok || err == nil {
		t.Errorf("passed %t, error %v", ok, err)
	}
}

func TestPending(t *testing.T) {
	target := map[string]corev1.ResourceRequirements{"app": requests("100m", "128Mi")}
	pending := func(p *corev1.Pod) { p.Spec.NodeName, p.Status.Phase = "", corev1.PodPending }
	for _, tc := range []struct {
		name        string
		pod         *corev1.Pod
		target      map[string]corev1.ResourceRequirements
		refuse      error
		want        bool
		wantRefused bool
		wantErr     bool
	}{
		{name: "a pod without a node is resized", pod: pod("a", 1, pending), target: target, want: true},
		{name: "a pod with a node is left", pod: pod("a", 1), target: target},
		{
			name: "a pod that opted out is left", target: target,
			pod: pod("a", 1, pending, func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.DisabledAnnotation: "true"} }),
		},
		{name: "a pod that has the target is left", pod: pod("a", 1, pending), target: map[string]corev1.ResourceRequirements{"app": requests("1", "1Gi")}},
		{name: "a container that the target does not name is left", pod: pod("a", 1, pending), target: map[string]corev1.ResourceRequirements{"other": requests("1m", "1Mi")}},
		{name: "a resize refused for good says so", pod: pod("a", 1, pending), target: target, refuse: invalid("Pod QOS Class may not change"), wantRefused: true, wantErr: true},
		{name: "a pod that is gone meanwhile is an error", pod: pod("a", 1, pending), target: target, refuse: apierrors.NewNotFound(podResource, "a"), wantErr: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, tc.pod.DeepCopy())
			b.refuse = tc.refuse
			got, err := Pending(t.Context(), b.Client, tc.pod, tc.target)
			var refused *RefusedError
			if got != tc.want || (err != nil) != tc.wantErr || errors.As(err, &refused) != tc.wantRefused {
				t.Fatalf("changed %t, error %v", got, err)
			}
			after := &corev1.Pod{}
			if err := b.Get(t.Context(), client.ObjectKeyFromObject(tc.pod), after); err != nil {
				t.Fatal(err)
			}
			if has := after.Annotations[v1alpha1.RecommendationAnnotation] != ""; has != tc.want {
				t.Errorf("annotations %v", after.Annotations)
			}
		})
	}
}

func TestPendingNeverExceedsALimitNorTakesOneAway(t *testing.T) {
	current := map[string]corev1.ResourceRequirements{"app": requests("1", "1Gi")}
	current["app"] = corev1.ResourceRequirements{Requests: current["app"].Requests, Limits: requests("2", "1Gi").Requests}
	got, changed := merge(current, map[string]corev1.ResourceRequirements{"app": requests("3", "2Gi")})
	if !changed {
		t.Fatal("nothing changed")
	}
	if r := got["app"]; r.Requests.Cpu().String() != "2" || r.Requests.Memory().String() != "1Gi" || r.Limits.Cpu().String() != "2" || r.Limits.Memory().String() != "1Gi" {
		t.Errorf("%+v", r)
	}
}
