package scenarios

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/manifests"
)

const (
	throughputNodes, throughputPods = 5000, 10_000
	// writers create objects side by side.
	writers = 32
)

// BenchmarkSchedulerThroughput schedules the same pods onto the same nodes with our profile and with the default one, by the same
// binary against the same API server, and reports pods per second of each. All pods exist before a scheduler starts, and the
// time taken is from its first binding to its last.
func BenchmarkSchedulerThroughput(b *testing.B) {
	w := &world{Sandbox: sandbox.ForTest(b, sandbox.Options{Seed: 1}), t: b}
	clients, err := kubernetes.NewForConfig(w.Config())
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	parallel(b, throughputNodes, func(i int) error {
		_, err := clients.CoreV1().Nodes().Create(ctx, throughputNode(i), metav1.CreateOptions{})
		return err
	})
	profiles := map[string]string{}
	for name, change := range map[string]func(string) string{
		"ours": func(c string) string { return c },
		"default": func(c string) string {
			head, _, _ := strings.Cut(c, "\n  plugins:")
			return head + "\n"
		},
	} {
		// No limit of requests per second: it is the scheduler that is measured.
		config := strings.NewReplacer("qps: 500", "qps: 10000", "burst: 1000", "burst: 10000").Replace(change(string(manifests.SchedulerConfig)))
		profiles[name] = filepath.Join(b.TempDir(), name+".yaml")
		if err := os.WriteFile(profiles[name], []byte(config), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	took := map[string]time.Duration{}
	for b.Loop() {
		for _, name := range []string{"default", "ours"} {
			parallel(b, throughputPods, func(i int) error {
				_, err := clients.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, throughputPod(i), metav1.CreateOptions{})
				return err
			})
			p := w.component(sandbox.Scheduler, "--config="+profiles[name], "--log-level=error", "--leader-elect=false")
			took[name] += w.untilScheduled(p, throughputPods)
			if err := p.Stop(); err != nil {
				b.Logf("stopping the scheduler: %v", err)
			}
			parallel(b, throughputPods, func(i int) error {
				return clients.CoreV1().Pods(metav1.NamespaceDefault).Delete(ctx, throughputPod(i).Name, *metav1.NewDeleteOptions(0))
			})
		}
	}
	rate := func(name string) float64 { return throughputPods * float64(b.N) / took[name].Seconds() }
	b.ReportMetric(rate("ours"), "ours-pods/s")
	b.ReportMetric(rate("default"), "default-pods/s")
	b.ReportMetric(100*rate("ours")/rate("default"), "percent-of-default")
	b.ReportMetric(0, "ns/op")
}

// untilScheduled returns the time from the first pod that a scheduler binds to the last.
func (w *world) untilScheduled(p *sandbox.Process, pods int) time.Duration {
	w.t.Helper()
	var first time.Time
	for {
		bound := w.metric(p, "scheduler_schedule_attempts_total", map[string]string{"result": "scheduled"})
		now := time.Now()
		if bound > 0 && first.IsZero() {
			first = now
		}
		if int(bound) >= pods {
			return now.Sub(first)
		}
		select {
		case <-w.t.Context().Done():
			w.t.Fatalf("%v of %d pods are bound", bound, pods)
		case <-time.After(look):
		}
	}
}

func throughputNode(i int) *corev1.Node {
	capacityType, price := "on-demand", "0.192"
	if i%2 == 0 {
		capacityType, price = "spot", "0.061"
	}
	name := fmt.Sprintf("node-%d", i)
	capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("110")}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%3), corev1.LabelInstanceTypeStable: "m6i.xlarge",
				"karpenter.sh/capacity-type": capacityType,
			},
			Annotations: map[string]string{v1alpha1.PriceAnnotation: price},
		},
		Status: corev1.NodeStatus{
			Capacity: capacity, Allocatable: capacity,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
		},
	}
}

// throughputPod tolerates that nobody keeps the nodes alive.
func throughputPod(i int) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("pod-%d", i), Namespace: metav1.NamespaceDefault, Labels: map[string]string{"app": fmt.Sprintf("app-%d", i%50)}},
		Spec: corev1.PodSpec{
			SchedulerName: sandbox.Scheduler,
			Tolerations:   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{Name: "app", Image: "app", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: *resource.NewMilliQuantity(int64(100+100*(i%5)), resource.DecimalSI), corev1.ResourceMemory: resource.MustParse("512Mi"),
			}}}},
		},
	}
}

func parallel(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	errs := make([]error, n)
	workqueue.ParallelizeUntil(context.WithoutCancel(b.Context()), writers, n, func(i int) { errs[i] = do(i) })
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
}
