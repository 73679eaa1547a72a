//go:build linux

package scenarios

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/e2e/cluster/kubeconfig"
	"supercargo.dev/e2e/node"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/recommender/usage"
)

// TestUsageReadThroughTheAPIServerIsWhatTheKernelCounted: the recommender's own collector, with the recommender's own rights, against
// the cgroup of a container that burns CPU and holds memory; before and after it changes what it uses.
func TestUsageReadThroughTheAPIServerIsWhatTheKernelCounted(t *testing.T) {
	w := newWorld(t)
	w.create(deployment("burning", 1, "100m 64Mi", "", "--milli-cpu=200", "--memory-mib=64"))
	pod := w.running("burning", 1)[0]
	seen := w.collect()
	for _, phase := range []struct{ milliCPU, mebibytes int64 }{{200, 64}, {500, 160}} {
		w.use(pod.Name, "milliCPU", phase.milliCPU)
		w.use(pod.Name, "memoryMiB", phase.mebibytes)
		w.eventually("the kubelet has measured the change", w.measured(pod.Name, phase.mebibytes))
		begin := time.Now()
		var counted []counter
		var got []usage.Usage
		w.eventually("six seconds of usage are collected", func(context.Context) string {
			c, err := w.node.Cgroup(&pod, "main")
			if err != nil {
				return err.Error()
			}
			counted = append(counted, counter{time.Now(), c.CPUSeconds, c.WorkingSet})
			if got = seen.of(pod.Name, begin); len(got) < 3 || got[len(got)-1].At.Sub(got[0].At) < 6*time.Second {
				return fmt.Sprintf("%d samples", len(got))
			}
			return ""
		})
		first, last := got[0], got[len(got)-1]
		want := 1000 * (at(counted, last.At) - at(counted, first.At)) / last.At.Sub(first.At).Seconds()
		if mean := meanMilliCPU(got); mean < 0.9*want || mean > 1.1*want || want == 0 {
			t.Errorf("collected %.0fm CPU, the kernel counted %.0fm (the container was told to burn %dm)", mean, want, phase.milliCPU)
		}
		held := counted[len(counted)-1].workingSet
		if is := int64(last.MemoryBytes); is < held-4<<20 || is > held+4<<20 || is < phase.mebibytes<<20 {
			t.Errorf("collected %d MiB, the kernel counts %d MiB (the container was told to hold %d MiB)", is>>20, held>>20, phase.mebibytes)
		}
	}
}

// counter is what a cgroup said at a time.
type counter struct {
	at         time.Time
	cpuSeconds float64
	workingSet int64
}

// at interpolates a series of counters of CPU at a time.
func at(series []counter, when time.Time) float64 {
	i := sort.Search(len(series), func(i int) bool { return series[i].at.After(when) })
	if i == 0 || i == len(series) {
		return series[min(i, len(series)-1)].cpuSeconds
	}
	a, b := series[i-1], series[i]
	share := float64(when.Sub(a.at)) / float64(b.at.Sub(a.at))
	return a.cpuSeconds + share*(b.cpuSeconds-a.cpuSeconds)
}

// meanMilliCPU is the mean over the time from the first usage to the last: each is the mean since the one before.
func meanMilliCPU(all []usage.Usage) float64 {
	sum := 0.0
	for i := 1; i < len(all); i++ {
		sum += all[i].MilliCPU * all[i].At.Sub(all[i-1].At).Seconds()
	}
	return sum / all[len(all)-1].At.Sub(all[0].At).Seconds()
}

// collected usage, as it comes.
type collected struct {
	mu  sync.Mutex
	all []usage.Usage
}

// of a pod since a time.
func (c *collected) of(pod string, since time.Time) (out []usage.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.all {
		if u.Pod == pod && u.At.After(since) {
			out = append(out, u)
		}
	}
	return out
}

// collect runs the recommender's collector as the recommender's ServiceAccount until the end of the test.
func (w *world) collect() *collected {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "kubeconfig")
	if err := kubeconfig.ForServiceAccount(w.t.Context(), w.Config(), sandbox.Namespace, sandbox.Recommender, file); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		w.t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	out := &collected{}
	collector, err := usage.NewCollector(usage.CollectorOptions{
		Source: usage.NewKubelet(clientset.CoreV1().RESTClient()), Nodes: func() []string { return []string{nodeName} }, Interval: time.Second,
		Sink: func(u usage.Usage) {
			out.mu.Lock()
			defer out.mu.Unlock()
			out.all = append(out.all, u)
		},
		OnError: func(_ string, err error) { w.t.Error(err) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := collector.Start(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
	return out
}

// TestRequestsAndLimitsChangeInTheCgroupWithoutARestart: up and down, in place, on the same containers.
func TestRequestsAndLimitsChangeInTheCgroupWithoutARestart(t *testing.T) {
	w := newWorld(t)
	w.create(deployment("greedy", 2, "400m 300Mi", "800m 600Mi", "--milli-cpu=50", "--memory-mib=40"),
		deployment("starved", 1, "50m 40Mi", "100m 80Mi", "--milli-cpu=50", "--memory-mib=40"))
	greedy, starved := w.running("greedy", 2), w.running("starved", 1)
	w.recommender(w.history(used{"greedy", 100, 100}, used{"starved", 200, 150}))
	w.create(append(inPlace("greedy", "2", v1alpha1.FallbackHold), inPlace("starved", "2", v1alpha1.FallbackHold)...)...)
	for i := range greedy {
		w.eventually("a greedy pod is shrunk", w.enforced(&greedy[i], 110, 220, 220))
	}
	w.eventually("the starved pod grows", w.enforced(&starved[0], 220, 440, 330))
	for _, name := range []string{"greedy", "starved"} {
		w.eventually("the scaler of "+name+" says that it is done", w.applied(name, "UpToDate"))
	}
	w.nothingWasForbidden()
}

// TestADeferredResizeIsTakenUpWhenThereIsRoom: the node has room for the pod as it is, and not as it is to be.
func TestADeferredResizeIsTakenUpWhenThereIsRoom(t *testing.T) {
	w := newWorld(t)
	w.create(bare("neighbour", "1500m 64Mi"), deployment("patient", 1, "200m 64Mi", "", "--memory-mib=20"))
	pod := w.running("patient", 1)[0]
	w.recommender(w.history(used{"patient", 600, 100}))
	w.create(inPlace("patient", "", v1alpha1.FallbackRecreate)...)
	w.eventually("the node defers the resize", w.resizeCondition(pod.Name, corev1.PodResizePending, corev1.PodReasonDeferred))
	w.eventually("the pod keeps what it has", w.enforced(&pod, 200, 0, 0))
	if err := w.Delete(t.Context(), w.pod("neighbour")); err != nil {
		t.Fatal(err)
	}
	w.eventually("the pod has what it needs", w.enforced(&pod, 660, 0, 0))
	w.eventually("the scaler says that it is done", w.applied("patient", "UpToDate"))
}

// TestAResizeDeferredForTooLongIsTakenBack: the spec tells the truth again, and the pod is left alone.
func TestAResizeDeferredForTooLongIsTakenBack(t *testing.T) {
	w := newWorld(t)
	w.create(bare("neighbour", "1500m 64Mi"), deployment("hopeless", 1, "200m 64Mi", "", "--memory-mib=20"),
		deployment("oversized", 1, "100m 64Mi", "", "--memory-mib=20"))
	pod, oversized := w.running("hopeless", 1)[0], w.running("oversized", 1)[0]
	w.recommender(w.history(used{"hopeless", 600, 100}, used{"oversized", 2500, 100}), "--resize-deferred-deadline=5s")
	w.create(append(inPlace("hopeless", "", v1alpha1.FallbackHold), inPlace("oversized", "", v1alpha1.FallbackHold)...)...)
	w.eventually("the resize is taken back", w.event("Pod", pod.Name, "ResizeRestored", "deferred"))
	w.eventually("the spec is as it was", w.asks(pod.Name, "200m 64Mi", "- -"))
	w.eventually("the scaler says so", w.applied("hopeless", "Restored"))
	w.eventually("the kubelet has forgotten it", func(context.Context) string {
		for _, c := range w.pod(pod.Name).Status.Conditions {
			if c.Type == corev1.PodResizePending {
				return c.Message
			}
		}
		return ""
	})
	w.eventually("the pod still runs with what it had", w.enforced(&pod, 200, 0, 0))
	// What no pod could have on its node is refused by the API server before the kubelet sees it.
	w.eventually("more than the node has is refused", w.event("Pod", oversized.Name, "ResizeRefused", "cpu"))
	w.eventually("the spec stays as it is", w.asks(oversized.Name, "100m 64Mi", "- -"))
}

// TestAShrinkBelowUsageIsRefusedByTheKubeletAndRolledBack: what the container holds is not what its history says.
func TestAShrinkBelowUsageIsRefusedByTheKubeletAndRolledBack(t *testing.T) {
	w := newWorld(t)
	w.create(deployment("holding", 1, "100m 300Mi", "200m 300Mi", "--memory-mib=200"))
	pod := w.running("holding", 1)[0]
	w.eventually("the kubelet knows what it holds", w.measured(pod.Name, 200))
	// Usage of now is not asked for: it would keep the recommender from shrinking.
	w.recommender(w.history(used{"holding", 100, 64}), "--scrape-interval=1h", "--resize-deferred-deadline=5s")
	w.create(inPlace("holding", "1.2", v1alpha1.FallbackHold)...)
	w.eventually("the kubelet refuses", w.resizeCondition(pod.Name, corev1.PodResizeInProgress, corev1.PodReasonError))
	w.eventually("the resize is rolled back", w.event("Pod", pod.Name, "ResizeRestored", "kubelet has failed", "below current usage"))
	w.eventually("the spec is as it was", w.asks(pod.Name, "100m 300Mi", "200m 300Mi"))
	w.eventually("the scaler says so", w.applied("holding", "Restored"))
	w.eventually("the kernel still gives what it gave", w.enforced(&pod, 100, 200, 300))
}

// TestAnOOMKillRaisesMemoryOnceAcrossARestart: of a container that had been given what was recommended.
func TestAnOOMKillRaisesMemoryOnceAcrossARestart(t *testing.T) {
	w := newWorld(t)
	w.create(deployment("leaking", 1, "50m 40Mi", "500m 100Mi", "--memory-mib=20"))
	pod := w.running("leaking", 1)[0]
	first := w.recommender(w.history(used{"leaking", 100, 64}))
	objects := inPlace("leaking", "", v1alpha1.FallbackHold)
	policy, ok := objects[0].(*v1alpha1.AutoscalingPolicy)
	if !ok {
		t.Fatalf("%T", objects[0])
	}
	policy.Spec.LimitPolicies = map[corev1.ResourceName]v1alpha1.LimitPolicy{corev1.ResourceMemory: {Policy: v1alpha1.LimitAuto, Multiplier: "1.2"}}
	w.create(objects...)
	w.eventually("the pod has what was recommended, and its limit as it was", w.enforced(&pod, 110, 500, 100))
	w.eventually("the scaler says that it is done", w.applied("leaking", "UpToDate"))
	before := w.scaler("leaking").Status.Recommendation
	w.leak(pod.Name, 150)
	w.eventually("the kernel kills the container", func(context.Context) string {
		s := w.pod(pod.Name).Status.ContainerStatuses[0]
		if last := s.LastTerminationState.Terminated; s.RestartCount != 1 || last == nil || last.Reason != "OOMKilled" {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	// It was known to use its limit: 100Mi, plus 10%, times 1.2 for the kill.
	w.eventually("memory is raised in place", w.asksNear(pod.Name, 110, 132))
	killed := w.pod(pod.Name)
	w.eventually("the kernel gives it", w.enforced(killed, 110, 500, 158))
	raised := w.scaler("leaking").Status.Recommendation
	if raised.Hash == before.Hash {
		t.Errorf("the recommendation is still %s", raised.Hash)
	}
	w.eventually("the kill is told once", func(context.Context) string { return w.count("leaking", "OOMKilled", 1) })
	w.checkpointed()
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	second := w.recommender("")
	changed := w.scaler("leaking")
	changed.Spec.Interval = "1h" // asks for another computation
	if err := w.Update(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	w.eventually("the recommendation is computed anew", func(context.Context) string {
		s := w.scaler("leaking")
		if s.Status.ObservedGeneration < s.Generation || !s.Status.Recommendation.ComputedAt.After(raised.ComputedAt.Time) {
			return fmt.Sprintf("observed %d of %d", s.Status.ObservedGeneration, s.Generation)
		}
		return ""
	})
	if after := w.scaler("leaking").Status.Recommendation.Containers[0].Requests.Memory().Value() >> 20; !near(after, 132) {
		t.Errorf("after the restart %d MiB are recommended", after)
	}
	if broken := w.count("leaking", "OOMKilled", 1); broken != "" {
		t.Error(broken)
	}
	if n := metric(t, second.Metrics(), "supercargo_oom_kills_total"); n != 0 {
		t.Errorf("the new process counts %g kills", n)
	}
}

// TestAnOOMKillAfterAShrinkGivesTheMemoryBack: at once, and the shrink is not tried again.
func TestAnOOMKillAfterAShrinkGivesTheMemoryBack(t *testing.T) {
	w := newWorld(t)
	w.create(deployment("shrunk", 1, "100m 300Mi", "200m 300Mi", "--memory-mib=20"))
	pod := w.running("shrunk", 1)[0]
	w.recommender(w.history(used{"shrunk", 100, 64}))
	w.create(inPlace("shrunk", "1.2", v1alpha1.FallbackHold)...)
	w.eventually("the pod is shrunk", w.enforced(&pod, 110, 132, 85))
	w.leak(pod.Name, 150)
	w.eventually("the shrink is reverted", w.event("Pod", pod.Name, "ResizeReverted", "main"))
	w.eventually("the spec is as it was", w.asks(pod.Name, "100m 300Mi", "200m 300Mi"))
	killed := w.pod(pod.Name)
	w.eventually("the kernel gives it back", w.enforced(killed, 100, 200, 300))
	if n := killed.Status.ContainerStatuses[0].RestartCount; n != 1 {
		t.Errorf("%d restarts", n)
	}
}

// TestAnInfeasibleResizeFallsBackToANewPod: the static CPU manager gives a guaranteed pod its CPUs for life.
func TestAnInfeasibleResizeFallsBackToANewPod(t *testing.T) {
	w := newWorld(t)
	w.reconfigure(staticCPUs())
	w.create(deployment("pinned", 1, "1 128Mi", "1 128Mi", "--memory-mib=20"))
	old := w.running("pinned", 1)[0]
	if old.Status.QOSClass != corev1.PodQOSGuaranteed {
		t.Fatalf("QoS class %s", old.Status.QOSClass)
	}
	w.recommender(w.history(used{"pinned", 300, 64}))
	w.eventually("the webhook works", w.admits())
	w.create(inPlace("pinned", "1", v1alpha1.FallbackRecreate)...)
	w.eventually("the kubelet's word is heard and the spec put back", w.event("WorkloadScaler", "pinned", "ResizeRestored", "static"))
	w.eventually("the only replica is rolled out", func(context.Context) string {
		d := &appsv1.Deployment{}
		if err := w.Get(t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "pinned"}, d); err != nil {
			return err.Error()
		}
		pods := w.pods("pinned")
		if d.Spec.Template.Annotations["supercargo.dev/rollout"] == "" || len(pods) != 1 || pods[0].UID == old.UID {
			return fmt.Sprintf("%d pods; %s", len(pods), w.applied("pinned", "UpToDate")(t.Context()))
		}
		return ""
	})
	fresh := w.running("pinned", 1)[0]
	w.eventually("the new pod has what was recommended", w.enforced(&fresh, 330, 330, 71))
}

// staticCPUs is a node with the static CPU manager, which keeps a CPU for the machine.
func staticCPUs() node.Settings {
	return node.Settings{MilliCPU: 1900, Memory: 2 << 30, StaticCPUManager: true}
}
