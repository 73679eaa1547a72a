package kubelet

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func (m *testMachine) delete(name string, grace int64) {
	gone := m.api[name].DeepCopy()
	at := metav1.NewTime(m.now.Add(time.Duration(grace) * time.Second))
	gone.DeletionTimestamp, gone.DeletionGracePeriodSeconds = &at, &grace
	m.put(gone)
}

func (m *testMachine) main(name string) corev1.ContainerStatus {
	return m.api[name].Status.ContainerStatuses[0]
}

func reasons(notes []note) (all []string) {
	for _, n := range notes {
		all = append(all, n.reason)
	}
	return all
}

func TestPodStartsInOrder(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
	m.put(makePod("p", "100m 64Mi", "").with(func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{
			{Name: "first"}, {Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}, {Name: "second"},
		}
	}).obj())
	var got []string
	record := func() {
		var line []string
		status := m.api["p"].Status
		for _, c := range append(append([]corev1.ContainerStatus{}, status.InitContainerStatuses...), status.ContainerStatuses...) {
			switch {
			case c.State.Running != nil:
				line = append(line, "running")
			case c.State.Terminated != nil:
				line = append(line, "over")
			default:
				line = append(line, c.State.Waiting.Reason)
			}
		}
		if now := string(status.Phase) + ": " + strings.Join(line, " "); len(got) == 0 || got[len(got)-1] != now {
			got = append(got, now)
		}
	}
	for range 100 {
		record()
		m.pass(50 * time.Millisecond)
	}
	want := []string{
		"Pending: PodInitializing PodInitializing PodInitializing PodInitializing",
		"Pending: running PodInitializing PodInitializing PodInitializing",
		"Pending: over PodInitializing PodInitializing PodInitializing",
		"Pending: over running PodInitializing PodInitializing",
		"Pending: over running running PodInitializing",
		"Pending: over running over PodInitializing",
		"Running: over running over running",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPodEnds(t *testing.T) {
	for _, tc := range []struct {
		name     string
		policy   corev1.RestartPolicy
		code     string
		want     corev1.PodPhase
		restarts bool
	}{
		{name: "a job's pod succeeds", policy: corev1.RestartPolicyNever, want: corev1.PodSucceeded},
		{name: "a job's pod fails", policy: corev1.RestartPolicyNever, code: "1", want: corev1.PodFailed},
		{name: "a success is not repeated on failure only", policy: corev1.RestartPolicyOnFailure, want: corev1.PodSucceeded},
		{name: "a failure is repeated on failure", policy: corev1.RestartPolicyOnFailure, code: "1", want: corev1.PodRunning, restarts: true},
		{name: "a service's pod is restarted always", policy: corev1.RestartPolicyAlways, want: corev1.PodRunning, restarts: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
			p := makePod("p", "100m 64Mi", "").annotated(AnnotationRunFor, "45s")
			if tc.code != "" {
				p.annotated(AnnotationExitCode, tc.code)
			}
			p.Spec.RestartPolicy = tc.policy
			p.Spec.InitContainers = []corev1.Container{{Name: "proxy", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)}}
			m.put(p.obj())
			m.pass(30 * time.Second)
			if got := m.api["p"].Status.Phase; got != corev1.PodRunning {
				t.Fatalf("phase %s before its time", got)
			}
			m.pass(20 * time.Second)
			if got := m.api["p"].Status.Phase; got != tc.want {
				t.Errorf("phase %s, want %s", got, tc.want)
			}
			if got := m.main("p").RestartCount > 0; got != tc.restarts {
				t.Errorf("restarts %d", m.main("p").RestartCount)
			}
			if over := m.api["p"].Status.InitContainerStatuses[0].State.Terminated != nil; over == tc.restarts {
				t.Errorf("sidecar is over: %t", over)
			}
		})
	}
}

func TestDeletion(t *testing.T) {
	for _, tc := range []struct {
		name, stopAfter string
		grace           int64
		after           time.Duration // gone then, and not a tenth of a second before
	}{
		{name: "a container takes the time it needs", stopAfter: "3s", grace: 30, after: 3 * time.Second},
		{name: "a container that needs longer is killed when its grace period is over", stopAfter: "1m", grace: 5, after: 5 * time.Second},
		{name: "the default is quick", grace: 30, after: DefaultStopAfter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
			p := makePod("p", "100m 64Mi", "")
			if tc.stopAfter != "" {
				p.annotated(AnnotationStopAfter, tc.stopAfter)
			}
			m.put(p.obj())
			m.pass(10 * time.Second)
			m.delete("p", tc.grace)
			m.pass(tc.after - 100*time.Millisecond)
			if _, ok := m.api["p"]; !ok {
				t.Error("gone too early")
			}
			m.pass(100 * time.Millisecond)
			if _, ok := m.api["p"]; ok {
				t.Error("still there")
			}
		})
	}
	t.Run("a pod that has not started goes at once", func(t *testing.T) {
		m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
		m.put(makePod("p", "100m 64Mi", "").obj())
		m.delete("p", 30)
		if _, ok := m.api["p"]; ok {
			t.Error("still there")
		}
	})
	t.Run("a pod with a finalizer is deleted once", func(t *testing.T) {
		m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
		gone := makePod("p", "100m 64Mi", "").obj()
		gone.DeletionTimestamp, gone.DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(begin)), ptr.To(int64(0))
		if out := m.sync(gone, begin); out.remove {
			t.Error("deleted again")
		}
	})
}

func TestOutOfMemory(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
	m.put(makePod("p", "100m 64Mi", "1 128Mi").annotated(AnnotationUsage, `{"main": {"memory": "100Mi", "leak": "1Mi/s"}}`).obj())
	m.put(makePod("job", "100m 64Mi", "1 128Mi").annotated(AnnotationUsage, `{"main": {"memory": "200Mi"}}`).with(func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
	}).obj())
	m.pass(10 * time.Second)
	m.clean()
	if got := m.main("p"); got.RestartCount != 0 || got.State.Running == nil {
		t.Errorf("killed below its limit: %+v", got)
	}
	if got := m.api["job"].Status; got.Phase != corev1.PodFailed || got.ContainerStatuses[0].State.Terminated.Reason != "OOMKilled" {
		t.Errorf("the job: %s, %+v", got.Phase, got.ContainerStatuses)
	}
	m.pass(30 * time.Second)
	m.clean()
	m.pass(time.Second)
	got := m.main("p")
	if got.RestartCount != 1 || got.State.Running == nil || got.LastTerminationState.Terminated.Reason != "OOMKilled" || got.LastTerminationState.Terminated.ExitCode != 137 {
		t.Errorf("after the first kill: %+v", got)
	}
	m.pass(40 * time.Second)
	m.clean()
	got = m.main("p")
	if got.State.Waiting == nil || got.State.Waiting.Reason != "CrashLoopBackOff" || !strings.HasPrefix(got.State.Waiting.Message, "back-off 10s restarting failed container=main pod=p_default(p)") {
		t.Errorf("after the second kill: %+v", got.State)
	}
	m.pass(11 * time.Second)
	if got := m.main("p"); got.RestartCount != 2 || got.State.Running == nil {
		t.Errorf("after the back-off: %+v", got)
	}
}

func TestMemoryPressure(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 1Gi"), Allocatable: list("4 900Mi")})
	m.put(makePod("modest", "100m 500Mi", "").annotated(AnnotationUsage, `{"main": {"memory": "500Mi"}}`).obj())
	m.put(makePod("greedy", "100m 100Mi", "").annotated(AnnotationUsage, `{"main": {"memory": "450Mi"}}`).annotated(AnnotationStopAfter, "5s").obj())
	m.put(makePod("vital", "100m 10Mi", "").annotated(AnnotationUsage, `{"main": {"memory": "100Mi"}}`).priority(2000001000).obj())
	m.pass(10 * time.Second)
	if !m.clean() {
		t.Error("no pressure")
	}
	m.pass(evictionGrace)
	if got := m.api["greedy"].Status; got.Phase != corev1.PodFailed || got.Reason != "Evicted" {
		t.Errorf("greedy: %s %s", got.Phase, got.Reason)
	}
	for _, name := range []string{"modest", "vital"} {
		if got := m.api[name].Status.Phase; got != corev1.PodRunning {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := m.put(makePod("late", "", "").obj()).Status; got.Reason != "Evicted" {
		t.Errorf("a best-effort pod under pressure: %s %s", got.Phase, got.Reason)
	}
	m.now = m.now.Add(pressureTransition)
	if !m.clean() || m.conditions(m.now)[0].Status != corev1.ConditionFalse {
		t.Error("pressure does not end")
	}
}

// As the real kubelet has it: see TestAPodAboveItsRequestIsEvictedUnderMemoryPressure of e2e/node/scenarios.
func TestAnEvictedPodThatStopsInTimeCallsItselfSucceeded(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 1Gi"), Allocatable: list("4 900Mi")})
	for _, name := range []string{"a", "b"} {
		m.put(makePod(name, "100m 100Mi", "").annotated(AnnotationUsage, `{"main": {"memory": "500Mi"}}`).obj())
	}
	m.pass(10 * time.Second)
	m.clean()
	m.clean() // the first has not stopped yet
	if got := m.api["a"].Status; got.Phase != corev1.PodRunning {
		t.Errorf("before it has stopped: %s", got.Phase)
	}
	m.pass(evictionGrace)
	m.clean()
	got := m.api["a"].Status
	told := false
	for _, c := range got.Conditions {
		told = told || c.Type == corev1.DisruptionTarget && c.Reason == corev1.PodReasonTerminationByKubelet && strings.Contains(c.Message, "low on resource: memory")
	}
	if got.Phase != corev1.PodSucceeded || got.Reason != "" || got.Message != "" || !told {
		t.Errorf("%+v", got)
	}
	if got := m.api["b"].Status; got.Phase != corev1.PodRunning {
		t.Errorf("the other was evicted too: %s", got.Phase)
	}
}

func TestLegacyInfeasible(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("2 2Gi"), KubeletVersion: "v1.35.2"})
	p := m.put(makePod("p", "500m 64Mi", "").obj())
	m.pass(10 * time.Second)
	got := m.put(resized(p, "3 64Mi", "")).Status.Conditions
	for _, c := range got {
		if c.Type == corev1.PodResizePending {
			if want := "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000"; c.Reason != corev1.PodReasonInfeasible || c.Message != want || c.ObservedGeneration != 2 {
				t.Errorf("%+v", c)
			}
			return
		}
	}
	t.Errorf("not pending: %+v", got)
}

func TestPodOfAMachineBootedAnewRestarts(t *testing.T) {
	spec := NodeSpec{Capacity: list("2 2Gi")}
	m := newTestMachine(t, spec)
	m.put(makePod("p", "500m 64Mi", "").obj())
	m.pass(10 * time.Second)
	again := newTestMachine(t, spec)
	again.now = m.now
	again.put(m.api["p"])
	again.pass(10 * time.Second)
	if got := again.main("p"); got.RestartCount != 1 || got.State.Running == nil || got.LastTerminationState.Terminated.Reason != "ContainerStatusUnknown" {
		t.Errorf("%+v", got)
	}
}

func TestWrongAnnotationsAreTold(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("2 2Gi")})
	out := m.sync(makePod("p", "", "").annotated(AnnotationRunFor, "-3s").annotated(AnnotationUsage, "x").obj(), begin)
	if diff := cmp.Diff([]string{"InvalidAnnotation", "InvalidUsage"}, reasons(out.notes)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCPUCounter(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi")})
	m.put(makePod("p", "100m 64Mi", "500m 128Mi").annotated(AnnotationUsage, `{"main": {"cpu": "2", "memory": "64Mi"}}`).obj())
	m.pass(10 * time.Second)
	before := *m.summary(m.now).Pods[0].CPU.UsageCoreNanoSeconds
	m.pass(100 * time.Second)
	if got, want := *m.summary(m.now).Pods[0].CPU.UsageCoreNanoSeconds-before, uint64(50e9); got < want-1e6 || got > want+1e6 {
		t.Errorf("%d ns in 100 s at a limit of half a core, want %d", got, want)
	}
	node := *m.summary(m.now).Node.CPU.UsageCoreNanoSeconds
	m.delete("p", 0)
	m.pass(time.Second)
	if got := *m.summary(m.now).Node.CPU.UsageCoreNanoSeconds; got < node {
		t.Errorf("the node's counter fell from %d to %d with the pod", node, got)
	}
}

// TestMetricsFormat compares with a file that the kubelet's own collector rendered; UPDATE_GOLDEN=1 writes it anew.
func TestMetricsFormat(t *testing.T) {
	m := newTestMachine(t, NodeSpec{Capacity: list("4 8Gi"), Allocatable: list("4 7Gi")})
	m.put(makePod("a", "100m 64Mi", "1 128Mi").annotated(AnnotationUsage, `{"main": {"cpu": "250m", "memory": "100Mi"}}`).obj())
	m.put(makePod("b", "100m 64Mi", "").annotated(AnnotationUsage, `{"main": {"cpu": "10m", "memory": "10Mi"}}`).obj())
	m.summary(m.now)
	m.pass(100 * time.Second)
	server := httptest.NewServer(m.handler(func() time.Time { return m.now }))
	defer server.Close()
	get := func(path string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, response.Status, err)
		}
		return string(body)
	}
	for path, file := range map[string]string{"/metrics/resource": "metrics_resource.txt", "/stats/summary": "stats_summary.json", "/healthz": ""} {
		got := get(path)
		if file == "" {
			if got != "ok" {
				t.Errorf("%s: %q", path, got)
			}
			continue
		}
		golden := filepath.Join("testdata", file)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

// BenchmarkMachine reports what a running pod costs a machine: memory beside its API object, and time of a sync that finds
// nothing new and of its share in housekeeping.
func BenchmarkMachine(b *testing.B) {
	const pods = 1000
	m, err := newMachine(NodeSpec{Name: "n", Capacity: list("1000 1000Gi 2000")}, Options{Seed: 1}.withDefaults(), "172.16.0.1", func() string { return "10.0.0.1" })
	if err != nil {
		b.Fatal(err)
	}
	node, err := m.nodeObject(10250, begin)
	if err != nil {
		b.Fatal(err)
	}
	m.setNode(node)
	all := make([]*corev1.Pod, pods)
	for i := range all {
		all[i] = makePod(fmt.Sprintf("p%d", i), "100m 64Mi", "1 128Mi").obj()
	}
	now := begin
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 4 { // bound, started, ready
		for _, p := range all {
			p.Status = *m.sync(p, now).status
		}
		now = now.Add(time.Second)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("sync", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			m.sync(all[i%pods], now)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/pods, "B/pod")
	})
	b.Run("housekeeping", func(b *testing.B) {
		for b.Loop() {
			m.housekeep(now)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/pods, "ns/pod")
	})
}
