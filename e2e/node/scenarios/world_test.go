//go:build linux

// Package scenarios runs the recommender on a real kubelet with real containers.
package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/node"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/recommender/usage"
)

// wanted names the environment variable with which `make e2e-node` says that this machine may be used: these tests install packages
// and run containers as root, which nobody expects of `go test ./...`.
const wanted = "SUPERCARGO_E2E_NODE"

const (
	// patience bounds each wait; it is far above what any takes, because the machine may be busy.
	patience = 2 * time.Minute
	// look is between two looks at the world.
	look = 100 * time.Millisecond
	// nodeName is the name of the one node.
	nodeName = "real"
)

// TestMain ends the node whatever becomes of the tests: containers outlive the process that started them.
func TestMain(m *testing.M) {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-interrupted
		fmt.Fprintf(os.Stderr, "%s: stopping the node\n", s)
		fmt.Fprintln(os.Stderr, errors.Join(errors.New("interrupted"), the.stop()))
		os.Exit(1)
	}()
	log.SetLogger(logr.Discard()) // controller-runtime complains where there is none; what matters is in the components' logs
	code := m.Run()
	if err := the.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stopping the node: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

// shared is the one sandbox and the one node of all tests.
type shared struct {
	start   sync.Once
	err     error
	mu      sync.Mutex // serializes start and stop
	sandbox *sandbox.Sandbox
	node    *node.Node
}

// the is global because TestMain is what ends it.
var the shared

func (s *shared) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := context.Background()
	if s.sandbox, s.err = sandbox.Start(ctx, sandbox.Options{Seed: 1}); s.err != nil {
		return
	}
	bin, err := sandbox.BinDir()
	if err != nil {
		s.err = err
		return
	}
	// Another checkout's run on this machine may take its time.
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	s.node, s.err = node.Start(ctx, node.Options{
		Config: s.sandbox.Config(), Kubelet: filepath.Join(bin, "node", "kubelet"), Workload: filepath.Join(bin, "node", "workload"),
		Name: nodeName, Settings: usual(), Out: os.Stderr,
	})
}

func (s *shared) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.node != nil {
		errs = append(errs, s.node.Stop())
		s.node = nil
	}
	if s.sandbox != nil {
		errs = append(errs, s.sandbox.Stop())
		s.sandbox = nil
	}
	return errors.Join(errs...)
}

// usual is what resizecases asks for: 2 CPUs and 2 GiB.
func usual() node.Settings { return node.Settings{MilliCPU: 2000, Memory: 2 << 30} }

// world is the shared sandbox and node, with nothing on them, for one test.
type world struct {
	*sandbox.Sandbox
	client.Client
	node  *node.Node
	t     testing.TB
	began time.Time
	nodes rest.Interface // for the API server's proxy to the kubelet
}

// newWorld starts sandbox and node with the first test. When the test ends it removes what the test has made.
func newWorld(t *testing.T) *world {
	t.Helper()
	if os.Getenv(wanted) == "" {
		t.Skipf("this test installs packages and runs containers on this machine: run `make e2e-node` (or set %s)", wanted)
	}
	if reason := node.Unsupported(); reason != "" {
		t.Skip(reason)
	}
	the.start.Do(the.begin)
	if the.err != nil {
		t.Fatalf("starting the node: %v", the.err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(the.sandbox.Config(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(the.sandbox.Config())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Sandbox: the.sandbox, Client: c, node: the.node, t: t, began: time.Now(), nodes: clientset.CoreV1().RESTClient()}
	t.Cleanup(w.clear)
	t.Cleanup(w.tell)
	return w
}

// tell prints what one would look at first, of a test that failed.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	events := &corev1.EventList{}
	if err := w.List(context.Background(), events); err == nil {
		for _, e := range events.Items {
			if e.CreationTimestamp.Time.Before(w.began.Truncate(time.Second)) { // another test's
				continue
			}
			w.t.Logf("event %s %s/%s %s: %s", e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
		}
	}
	for _, path := range w.node.Logs() {
		w.t.Logf("%s ends:\n%s", path, sandbox.Tail(path, 30))
	}
}

// eventually waits until the condition returns an empty string; else it is what is still awaited.
func (w *world) eventually(what string, condition func(ctx context.Context) string) {
	w.t.Helper()
	var last string
	err := wait.PollUntilContextTimeout(w.t.Context(), look, patience, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == "", nil
	})
	if err != nil {
		w.t.Fatalf("%s: %s (%v)", what, last, err)
	}
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.Create(w.t.Context(), o); err != nil {
			w.t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
		}
	}
}

func (w *world) pod(name string) *corev1.Pod {
	w.t.Helper()
	p := &corev1.Pod{}
	if err := w.Get(w.t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, p); err != nil {
		w.t.Fatalf("reading pod %s: %v", name, err)
	}
	return p
}

// ready is a condition: the pod runs and is ready.
func (w *world) ready(name string) func(context.Context) string {
	return func(context.Context) string {
		p := w.pod(name)
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return ""
			}
		}
		return fmt.Sprintf("%s: %+v", p.Status.Phase, p.Status.ContainerStatuses)
	}
}

// measured is a condition: the kubelet has seen every container of the pod use at least so many MiB.
func (w *world) measured(pod string, mebibytes int64) func(context.Context) string {
	return func(ctx context.Context) string {
		samples, err := usage.NewKubelet(w.nodes).Scrape(ctx, nodeName)
		if err != nil {
			return err.Error()
		}
		for _, s := range samples {
			if s.Pod == pod && s.MemoryAt.After(w.began) {
				if used := int64(s.MemoryBytes) >> 20; used < mebibytes {
					return fmt.Sprintf("%d MiB", used)
				}
				return ""
			}
		}
		return fmt.Sprintf("no sample among %d", len(samples))
	}
}

// use makes a pod use so much of one thing, milliCPU or memoryMiB, from now on.
func (w *world) use(pod, what string, amount int64) {
	w.t.Helper()
	status, err := w.post(w.t.Context(), pod, what, amount)
	if err != nil || status != http.StatusNoContent {
		w.t.Fatalf("telling pod %s to use %s=%d: status %d, %v", pod, what, amount, status, err)
	}
}

// post tells the workload in a pod what to use.
func (w *world) post(ctx context.Context, pod, what string, amount int64) (status int, err error) {
	target := "http://" + net.JoinHostPort(w.pod(pod).Status.PodIP, "8080") + "/use?" + url.Values{what: {strconv.FormatInt(amount, 10)}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// reconfigure restarts the kubelet with other settings until the end of the test.
func (w *world) reconfigure(s node.Settings) {
	w.t.Helper()
	if err := w.node.Reconfigure(w.t.Context(), s); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.node.Reconfigure(context.Background(), usual()); err != nil {
			w.t.Error(err)
		}
	})
}

// clear deletes everything that a test has made in the default namespace and waits until the pods are gone.
func (w *world) clear() {
	ctx := context.Background()
	in := client.InNamespace(metav1.NamespaceDefault)
	var errs []error
	for _, o := range []client.Object{&v1alpha1.WorkloadScaler{}, &appsv1.Deployment{}, &corev1.Pod{}} {
		errs = append(errs, w.DeleteAllOf(ctx, o, in))
	}
	errs = append(errs, w.DeleteAllOf(ctx, &v1alpha1.AutoscalingPolicy{}))
	err := wait.PollUntilContextTimeout(ctx, look, patience, true, func(ctx context.Context) (bool, error) {
		pods := &corev1.PodList{}
		return w.List(ctx, pods, in) == nil && len(pods.Items) == 0, nil
	})
	if err := errors.Join(append(errs, err)...); err != nil {
		w.t.Errorf("clearing the cluster: %v", err)
	}
}
