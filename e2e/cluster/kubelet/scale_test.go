package kubelet_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"

	"supercargo.dev/e2e/cluster"
	"supercargo.dev/e2e/cluster/kubelet"
)

// BenchmarkFleet starts nodes and pods on a control plane in this process and reports how long each takes, the memory
// of everything together, and what the idle fleet costs. Pods are bound when they are created: the scheduler's time is not
// measured.
func BenchmarkFleet(b *testing.B) {
	for _, scale := range []struct{ nodes, pods int }{{100, 1000}, {1000, 10000}} {
		b.Run(fmt.Sprintf("%d-nodes-%d-pods", scale.nodes, scale.pods), func(b *testing.B) {
			for b.Loop() {
				benchmarkScale(b, scale.nodes, scale.pods)
			}
		})
	}
}

func benchmarkScale(b *testing.B, nodes, pods int) {
	c, err := cluster.Start(b.Context(), cluster.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			b.Error(err)
		}
	}()
	without := resident(b, "VmRSS:")
	b.Run("fleet", func(b *testing.B) {
		e := newEnv(b, c.Config(), kubelet.Options{Log: b.Output()})
		counter := countReady(b, c.Config())
		begin := time.Now()
		for i := range nodes {
			if err := e.fleet.Boot(kubelet.NodeSpec{Name: nodeName(i), Capacity: quantities("16", "64Gi")}); err != nil {
				b.Fatal(err)
			}
		}
		await(b, func() int { return counter.count(counter.nodes) }, nodes)
		b.ReportMetric(time.Since(begin).Seconds(), "s-until-nodes-ready")

		begin = time.Now()
		var failed atomic.Pointer[error]
		workqueue.ParallelizeUntil(b.Context(), 16, pods, func(i int) {
			p := pod(fmt.Sprintf("pod-%05d", i), "", "100m 128Mi", "1 256Mi")
			p.Spec.NodeSelector, p.Spec.NodeName = nil, nodeName(i%nodes)
			if err := retry(b.Context(), func() error {
				_, err := e.client.CoreV1().Pods(p.Namespace).Create(b.Context(), p, metav1.CreateOptions{})
				return err
			}); err != nil {
				failed.Store(&err)
			}
		})
		if err := failed.Load(); err != nil {
			b.Fatal(*err)
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s-until-pods-created")
		await(b, func() int { return counter.count(counter.pods) }, pods)
		b.ReportMetric(time.Since(begin).Seconds(), "s-until-pods-ready")
		b.ReportMetric(resident(b, "VmHWM:"), "MB-peak")
		debug.FreeOSMemory()
		b.ReportMetric(resident(b, "VmRSS:"), "MB-resident")
		b.ReportMetric(without, "MB-before-fleet")

		const idle = 20 * time.Second
		before := processorTime(b)
		select {
		case <-time.After(idle):
		case <-b.Context().Done():
		}
		b.ReportMetric((processorTime(b)-before)/idle.Seconds(), "cores-idle")

		begin = time.Now()
		workqueue.ParallelizeUntil(b.Context(), 8, nodes, func(i int) {
			if _, err := e.proxy(b.Context(), nodeName(i), "/metrics/resource"); err != nil {
				failed.Store(&err)
			}
		})
		if err := failed.Load(); err != nil {
			b.Fatal(*err)
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s-to-scrape-all")
	})
}

func nodeName(i int) string { return fmt.Sprintf("node-%04d", i) }

// retry repeats what fails for the ServiceAccount that the controller manager has yet to make.
func retry(ctx context.Context, f func() error) error {
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		err := f()
		if apierrors.IsForbidden(err) {
			return false, nil
		}
		return err == nil, err
	})
}

// readiness says which objects are ready, without keeping them: a benchmark of memory had better use little itself.
type readiness struct {
	mu          sync.Mutex
	nodes, pods map[string]bool
}

func countReady(b *testing.B, config *rest.Config) *readiness {
	b.Helper()
	config.ContentType = runtime.ContentTypeProtobuf
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		b.Fatal(err)
	}
	r := &readiness{nodes: map[string]bool{}, pods: map[string]bool{}}
	note := func(object any) (any, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		switch o := object.(type) {
		case *corev1.Node:
			r.nodes[o.Name] = ready(o)
			return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: o.Name, ResourceVersion: o.ResourceVersion}}, nil
		case *corev1.Pod:
			r.pods[o.Name] = condition(o, corev1.PodReady) == "True"
			return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: o.Name, Namespace: o.Namespace, ResourceVersion: o.ResourceVersion}}, nil
		}
		return object, nil
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(note))
	factory.Core().V1().Nodes().Informer()
	factory.Core().V1().Pods().Informer()
	ctx, cancel := context.WithCancel(context.Background())
	factory.StartWithContext(ctx)
	b.Cleanup(func() { cancel(); factory.Shutdown() })
	return r
}

func await(b *testing.B, of func() int, want int) {
	b.Helper()
	if err := wait.PollUntilContextTimeout(b.Context(), 100*time.Millisecond, 10*time.Minute, true, func(context.Context) (bool, error) {
		return of() >= want, nil
	}); err != nil {
		b.Fatalf("%d of %d ready: %v", of(), want, err)
	}
}

func (r *readiness) count(of map[string]bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, isReady := range of {
		if isReady {
			n++
		}
	}
	return n
}

// resident is this process's resident memory in MB, now (VmRSS:) or at most (VmHWM:).
func resident(b *testing.B, which string) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); fields[0] == which {
			kilobytes, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kilobytes / 1024
		}
	}
	b.Fatal("no " + which)
	return 0
}

// processorTime is what this process has used, in seconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks float64
	for _, field := range fields[11:13] { // utime and stime, the 14th and 15th of all
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100 // USER_HZ
}
