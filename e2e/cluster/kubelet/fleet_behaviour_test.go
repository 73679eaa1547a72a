package kubelet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/e2e/cluster/kubelet"
)

func (e *env) testRegistration(t *testing.T) {
	begin := time.Now()
	e.boot(t, kubelet.NodeSpec{
		Name: "registered", ProviderID: "sim:///a/registered", Capacity: quantities("4", "8Gi", "30"), Allocatable: quantities("3900m", "7Gi"),
		Taints:            []corev1.Taint{{Key: "karpenter.sh/unregistered", Effect: corev1.TaintEffectNoExecute}},
		RegistrationDelay: 100 * time.Millisecond, StartDelay: 100 * time.Millisecond,
	})
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("ready after %s, before its delays were over", took)
	}
	node, err := e.client.CoreV1().Nodes().Get(t.Context(), "registered", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := corev1.ResourceList{
		"cpu": resource.MustParse("3900m"), "memory": resource.MustParse("7Gi"), "pods": resource.MustParse("30"),
		"ephemeral-storage": resource.MustParse("20Gi"),
	}
	if diff := cmp.Diff(want, node.Status.Allocatable); diff != "" {
		t.Errorf("allocatable (-want +got):\n%s", diff)
	}
	if got, want := node.Status.NodeInfo.KubeletVersion, kubelet.Version; got != want {
		t.Errorf("version %s, want %s", got, want)
	}
	if got, want := node.Spec.ProviderID, "sim:///a/registered"; got != want {
		t.Errorf("provider ID %s, want %s", got, want)
	}
	var renewed time.Time
	eventually(t, "the lease is renewed", func(ctx context.Context) (bool, error) {
		lease, err := e.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, "registered", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		first := renewed.IsZero()
		if first {
			renewed = lease.Spec.RenewTime.Time
		}
		return lease.Spec.RenewTime.After(renewed), nil
	})
	if err := e.fleet.Boot(kubelet.NodeSpec{Name: "registered"}); err == nil {
		t.Error("a second machine of the name was booted")
	}
}

func (e *env) testRunning(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "running"})
	p := pod("run", "running", "100m 64Mi", "")
	always := corev1.ContainerRestartPolicyAlways
	p.Spec.InitContainers = []corev1.Container{
		{Name: "prepare", Image: "init"},
		{Name: "proxy", Image: "sidecar", RestartPolicy: &always},
	}
	got := e.run(t, p)
	if got.Status.Phase != corev1.PodRunning || got.Status.PodIP == "" || got.Status.StartTime == nil {
		t.Errorf("phase %s, IP %q, start %v", got.Status.Phase, got.Status.PodIP, got.Status.StartTime)
	}
	if s := got.Status.InitContainerStatuses; s[0].State.Terminated == nil || s[1].State.Running == nil {
		t.Errorf("init containers %+v", s)
	}
	if diff := cmp.Diff(p.Spec.Containers[0].Resources.Requests, got.Status.ContainerStatuses[0].AllocatedResources); diff != "" {
		t.Errorf("allocated (-want +got):\n%s", diff)
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReadyToStartContainers} {
		if c := condition(got, kind); c != "True" {
			t.Errorf("condition %s is %q", kind, c)
		}
	}
}

func (e *env) testRunFor(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "jobs"})
	for name, want := range map[string]struct {
		code  string
		phase corev1.PodPhase
	}{"succeeds": {"0", corev1.PodSucceeded}, "fails": {"3", corev1.PodFailed}} {
		p := pod(name, "jobs", "100m 64Mi", "")
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Annotations[kubelet.AnnotationRunFor], p.Annotations[kubelet.AnnotationExitCode] = "300ms", want.code
		e.create(t, p)
		e.until(t, name, "is over", func(p *corev1.Pod) bool { return p.Status.Phase == want.phase })
	}
}

func (e *env) testRejection(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "full", Capacity: quantities("1", "8Gi")})
	p := pod("toobig", "full", "2 64Mi", "")
	p.Spec.NodeName = "full" // past the scheduler
	e.create(t, p)
	got := e.until(t, p.Name, "fails", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if got.Status.Reason != "OutOfcpu" || got.Status.Message != "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 0, capacity: 1000" {
		t.Errorf("%s: %s", got.Status.Reason, got.Status.Message)
	}
}

func (e *env) testOOM(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "leaking"})
	p := pod("leaks", "leaking", "100m 64Mi", "1 128Mi")
	p.Annotations[kubelet.AnnotationUsage] = `{"main": {"cpu": "10m", "memory": "64Mi", "leak": "50Mi/s"}}`
	e.create(t, p)
	got := e.until(t, p.Name, "backs off", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	s := got.Status.ContainerStatuses[0]
	if last := s.LastTerminationState.Terminated; last == nil || last.Reason != "OOMKilled" || last.ExitCode != 137 || s.RestartCount != 1 {
		t.Errorf("restarts %d, last %+v", s.RestartCount, last)
	}
}

func (e *env) testEviction(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "short", Capacity: quantities("4", "1Gi"), Allocatable: quantities("4", "900Mi")})
	modest, greedy := pod("modest", "short", "100m 600Mi", ""), pod("greedy", "short", "100m 100Mi", "")
	modest.Annotations[kubelet.AnnotationUsage] = `{"main": {"memory": "500Mi"}}`
	greedy.Annotations[kubelet.AnnotationUsage] = `{"main": {"memory": "100Mi", "leak": "100Mi/s"}}`
	greedy.Annotations[kubelet.AnnotationStopAfter] = "5s" // longer than an evicted pod is given
	e.run(t, modest)
	e.create(t, greedy)
	got := e.until(t, "greedy", "is evicted", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if got.Status.Reason != "Evicted" || condition(got, corev1.DisruptionTarget) != "True TerminationByKubelet" {
		t.Errorf("%s: %s, %s", got.Status.Reason, got.Status.Message, condition(got, corev1.DisruptionTarget))
	}
	eventually(t, "the node reports pressure", func(ctx context.Context) (bool, error) {
		node, err := e.client.CoreV1().Nodes().Get(ctx, "short", metav1.GetOptions{})
		return err == nil && node.Status.Conditions[0].Status == corev1.ConditionTrue, err
	})
	e.until(t, "modest", "still runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
}

func (e *env) testDeletion(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "deleting"})
	p := pod("stops", "deleting", "100m 64Mi", "")
	p.Annotations[kubelet.AnnotationStopAfter] = "700ms"
	e.run(t, p)
	begin := time.Now()
	if err := e.client.CoreV1().Pods(p.Namespace).Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the pod is gone", func(ctx context.Context) (bool, error) {
		_, err := e.client.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if took := time.Since(begin); took < 700*time.Millisecond {
		t.Errorf("gone after %s, before its container stopped", took)
	}
}

func (e *env) proxy(ctx context.Context, node, path string) (string, error) {
	body, err := e.client.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + node + "/proxy" + path).DoRaw(ctx)
	return string(body), err
}

func (e *env) testMetrics(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "measured"})
	p := pod("used", "measured", "100m 64Mi", "1 128Mi")
	p.Annotations[kubelet.AnnotationUsage] = `{"main": {"cpu": "500m", "memory": "100Mi"}}`
	e.run(t, p)
	got, err := e.proxy(t.Context(), "measured", "/metrics/resource")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`container_memory_working_set_bytes{container="main",namespace="default",pod="used"} 1.048576e+08 `,
		`container_cpu_usage_seconds_total{container="main",namespace="default",pod="used"} `,
		`container_start_time_seconds{container="main",namespace="default",pod="used"} `,
		"\nresource_scrape_error 0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got, err = e.proxy(t.Context(), "measured", "/stats/summary"); err != nil || !strings.Contains(got, `"workingSetBytes":104857600`) {
		t.Errorf("%v, %s", err, got)
	}
}

func (e *env) testBadAnnotation(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "wrong"})
	p := pod("wrong", "wrong", "100m 64Mi", "")
	p.Annotations[kubelet.AnnotationUsage] = `{"main": {"daily": 7}}`
	e.run(t, p)
	eventually(t, "there is an event", func(ctx context.Context) (bool, error) {
		events, err := e.client.CoreV1().Events(p.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=wrong,reason=InvalidUsage"})
		return err == nil && len(events.Items) == 1 && strings.Contains(events.Items[0].Message, `container "main": daily is 7`), err
	})
}

func (e *env) testShutdown(t *testing.T) {
	e.boot(t, kubelet.NodeSpec{Name: "dark"})
	e.run(t, pod("indark", "dark", "100m 64Mi", ""))
	if _, err := e.proxy(t.Context(), "dark", "/healthz"); err != nil {
		t.Fatal(err)
	}
	e.fleet.Shutdown("dark")
	e.fleet.Shutdown("dark") // again does nothing
	if _, err := e.proxy(t.Context(), "dark", "/healthz"); err == nil {
		t.Error("the endpoint still answers")
	}
	if _, err := e.client.CoreV1().Nodes().Get(t.Context(), "dark", metav1.GetOptions{}); err != nil {
		t.Errorf("the Node object is gone: %v", err)
	}
	p, err := e.client.CoreV1().Pods(metav1.NamespaceDefault).Get(t.Context(), "indark", metav1.GetOptions{})
	if err != nil || p.Status.Phase != corev1.PodRunning {
		t.Error(errors.Join(err, errors.New("the pod did not stay as it was")))
	}
}

// testResizeCases runs the table that the machine's own test runs, through the API server.
