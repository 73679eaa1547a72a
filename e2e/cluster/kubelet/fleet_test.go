package kubelet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"supercargo.dev/e2e/cluster"
	"supercargo.dev/e2e/cluster/kubelet"
)

// TestFleet has its cases on one real control plane: a process can have no second beside it.
func TestFleet(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	e := newEnv(t, c.Config(), kubelet.Options{
		PodStartDelay: 50 * time.Millisecond, ContainerStartDelay: 10 * time.Millisecond, InitRunFor: 50 * time.Millisecond,
		StopAfter: 50 * time.Millisecond, Housekeeping: 200 * time.Millisecond, LeaseRenewal: 500 * time.Millisecond,
		Log: t.Output(),
	})
	t.Run("a machine registers and becomes ready", e.testRegistration)
	t.Run("a pod runs with its init containers before it", e.testRunning)
	t.Run("a job's pod succeeds when its time is over", e.testRunFor)
	t.Run("a pod that does not fit is rejected", e.testRejection)
	t.Run("a pod is resized in place without a restart", e.testResize)
	t.Run("a resize without room waits until another pod goes", e.testDeferred)
	t.Run("a resize beyond the node is refused by the API server", e.testInfeasible)
	t.Run("a memory limit below usage is an error until it is taken back", e.testLimitDecrease)
	t.Run("a leaking container is killed and backs off", e.testOOM)
	t.Run("a pod is evicted when the node is short of memory", e.testEviction)
	t.Run("a deleted pod stops and goes", e.testDeletion)
	t.Run("usage is served through the API server", e.testMetrics)
	t.Run("a wrong usage annotation is an event", e.testBadAnnotation)
	t.Run("a machine that is shut down falls silent", e.testShutdown)
	t.Run("resizes", e.testResizeCases)
}

type env struct {
	client kubernetes.Interface
	fleet  *kubelet.Fleet
}

// newEnv runs a fleet until the test ends.
func newEnv(t testing.TB, config *rest.Config, o kubelet.Options) *env {
	t.Helper()
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	fleet := kubelet.NewFleet(config, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &env{client: client, fleet: fleet}
}

func quantities(amounts ...string) corev1.ResourceList {
	names := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods}
	list := corev1.ResourceList{}
	for i, amount := range amounts {
		list[names[i]] = resource.MustParse(amount)
	}
	return list
}

func eventually(t *testing.T, what string, condition func(ctx context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, condition); err != nil {
		t.Fatalf("waiting until %s: %v", what, err)
	}
}

// boot starts a machine that only the case's pods run on, and waits until it is ready.
func (e *env) boot(t *testing.T, spec kubelet.NodeSpec) {
	t.Helper()
	if spec.Capacity == nil {
		spec.Capacity = quantities("4", "8Gi")
	}
	spec.Taints = append(spec.Taints, corev1.Taint{Key: "case", Value: spec.Name, Effect: corev1.TaintEffectNoSchedule})
	spec.Labels = map[string]string{"case": spec.Name}
	if err := e.fleet.Boot(spec); err != nil {
		t.Fatal(err)
	}
	eventually(t, spec.Name+" is ready", func(ctx context.Context) (bool, error) {
		node, err := e.client.CoreV1().Nodes().Get(ctx, spec.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && ready(node), err
	})
}

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// pod makes a pod for the machine, with one container "main".
func pod(name, node, requests, limits string) *corev1.Pod {
	split := func(s string) corev1.ResourceList {
		if s == "" {
			return nil
		}
		return quantities(strings.Split(s, " ")...)
	}
	grace := int64(5)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Annotations: map[string]string{}},
		Spec: corev1.PodSpec{
			NodeSelector:                  map[string]string{"case": node},
			Tolerations:                   []corev1.Toleration{{Key: "case", Operator: corev1.TolerationOpExists}},
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "main", Image: "web",
				Resources: corev1.ResourceRequirements{Requests: split(requests), Limits: split(limits)},
			}},
		},
	}
}

func (e *env) create(t *testing.T, p *corev1.Pod) {
	t.Helper()
	eventually(t, "pod "+p.Name+" is created", func(ctx context.Context) (bool, error) {
		_, err := e.client.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
		return err == nil, err
	})
}

// until waits for a state of the pod and returns the pod then.
func (e *env) until(t *testing.T, name, what string, condition func(p *corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var last *corev1.Pod
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		p, err := e.client.CoreV1().Pods(metav1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = p
		return condition(p), nil
	})
	if err != nil {
		t.Fatalf("waiting until pod %s %s: %v; its status is %+v", name, what, err, last.Status)
	}
	return last
}

func (e *env) run(t *testing.T, p *corev1.Pod) *corev1.Pod {
	t.Helper()
	e.create(t, p)
	return e.until(t, p.Name, "is ready", func(p *corev1.Pod) bool { return condition(p, corev1.PodReady) == "True" })
}

// condition is the status of the pod's condition, followed by its reason if it has one; empty when it has no such condition.
func condition(p *corev1.Pod, kind corev1.PodConditionType) string {
	for _, c := range p.Status.Conditions {
		if c.Type == kind {
			return strings.TrimSuffix(string(c.Status)+" "+c.Reason, " ")
		}
	}
	return ""
}

func (e *env) resize(t *testing.T, name, patch string) error {
	t.Helper()
	_, err := e.client.CoreV1().Pods(metav1.NamespaceDefault).Patch(t.Context(), name, types.StrategicMergePatchType,
		[]byte(`{"spec":{"containers":[{"name":"main","resources":`+patch+`}]}}`), metav1.PatchOptions{}, "resize")
	return err
}
