package kubelet

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/record"
	kubeletallocation "k8s.io/kubernetes/pkg/kubelet/allocation"
	"k8s.io/kubernetes/pkg/kubelet/config"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	"k8s.io/kubernetes/pkg/kubelet/status"
	schedulerframework "k8s.io/kubernetes/pkg/scheduler/framework"

	"supercargo.dev/e2e/cluster/kubelet/resizecases"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// testMachine is a machine with a time and an API server's memory of its pods.
type testMachine struct {
	*machine
	now time.Time
	api map[string]*corev1.Pod
}

func newTestMachine(t *testing.T, spec NodeSpec) *testMachine {
	t.Helper()
	spec.Name = "n"
	m, err := newMachine(spec, Options{Seed: 1}.withDefaults(), "172.16.0.1", func() string { return "10.0.0.1" })
	if err != nil {
		t.Fatal(err)
	}
	node, err := m.nodeObject(10250, begin)
	if err != nil {
		t.Fatal(err)
	}
	m.booted = begin
	m.setNode(node)
	return &testMachine{machine: m, now: begin, api: map[string]*corev1.Pod{}}
}

// put lets the machine see a pod, as created or changed.
func (m *testMachine) put(p *corev1.Pod) *corev1.Pod {
	if known, ok := m.api[p.Name]; ok {
		p.Status = known.Status
	}
	m.api[p.Name] = p
	m.syncAll()
	return m.api[p.Name]
}

// syncAll syncs every pod until nothing changes.
func (m *testMachine) syncAll() (next time.Time, notes []note) {
	work := map[string]bool{}
	for name := range m.api {
		work[name] = true
	}
	for len(work) > 0 {
		for name := range work {
			delete(work, name)
			pod, ok := m.api[name]
			if !ok {
				continue
			}
			out := m.sync(pod, m.now)
			notes = append(notes, out.notes...)
			next = earliest(next, out.next)
			for _, key := range out.dirty {
				work[key.Name] = true
			}
			if out.status != nil {
				updated := *pod
				updated.Status = *out.status.DeepCopy()
				m.api[name] = &updated
				if !apiequality.Semantic.DeepEqual(pod.Status, updated.Status) {
					work[name] = true // the watch tells
				}
			}
			if out.remove {
				delete(m.api, name)
				for _, key := range m.forget(types.NamespacedName{Namespace: pod.Namespace, Name: name}, m.now).dirty {
					work[key.Name] = true
				}
			}
		}
	}
	return next, notes
}

// pass lets time pass, with every wake-up the machine asks for on the way.
func (m *testMachine) pass(d time.Duration) (notes []note) {
	end := m.now.Add(d)
	for {
		next, seen := m.syncAll()
		notes = append(notes, seen...)
		if next.IsZero() || next.After(end) {
			m.now = end
			_, seen = m.syncAll()
			return append(notes, seen...)
		}
		m.now = next
	}
}

// clean runs housekeeping now.
func (m *testMachine) clean() (pressureChanged bool) {
	_, pressureChanged = m.housekeep(m.now)
	m.syncAll()
	return pressureChanged
}

func casePod(p resizecases.Pod) *corev1.Pod {
	pod := p.Object()
	pod.UID, pod.Generation, pod.Spec.NodeName = types.UID(p.Name), 1, "n"
	pod.Spec.Priority = &p.Priority
	pod.Annotations = map[string]string{AnnotationUsage: caseUsage(p.Memory)}
	return pod
}

func caseUsage(memory string) string {
	if memory == "" {
		memory = "10Mi"
	}
	return fmt.Sprintf(`{"main": {"cpu": "10m", "memory": %q}}`, memory)
}

func (m *testMachine) do(step resizecases.Step) {
	if step.Delete != "" {
		gone := m.api[step.Delete].DeepCopy()
		at := apiTime(m.now)
		gone.DeletionTimestamp = &at
		m.put(gone)
		return
	}
	changed := m.api[step.Resize].DeepCopy()
	changed.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: resizecases.List(step.Requests), Limits: resizecases.List(step.Limits)}
	if !wantedBy(changed).equal(wantedBy(m.api[step.Resize])) {
		changed.Generation++
	}
	if step.Memory != "" {
		changed.Annotations[AnnotationUsage] = caseUsage(step.Memory)
	}
	m.put(changed)
}

func TestResizes(t *testing.T) {
	for _, tc := range resizecases.Cases() {
		t.Run(tc.Name, func(t *testing.T) {
			m := newTestMachine(t, NodeSpec{Capacity: resizecases.List("2 2Gi"), StaticCPUManager: tc.StaticCPUManager})
			for _, p := range tc.Pods {
				m.put(casePod(p))
			}
			m.pass(time.Minute)
			for i, step := range tc.Steps {
				m.do(step)
				m.pass(time.Minute)
				for name, want := range step.Want {
					got, err := resizecases.StateOf(&m.api[name].Status)
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("pod %s after step %d (-want +got):\n%s", name, i+1, diff)
					}
				}
			}
		})
	}
}

// reference is the real kubelet's allocation manager, with its status manager, on the node of a machine.
type reference struct {
	kubeletallocation.Manager
	status status.Manager
	pods   map[types.UID]*corev1.Pod
}

func newReference(node *corev1.Node) *reference {
	r := &reference{pods: map[types.UID]*corev1.Pod{}, status: status.NewManager(nil, nil, nil, nil)}
	list := func() []*corev1.Pod {
		var pods []*corev1.Pod
		for _, p := range r.pods {
			pods = append(pods, p)
		}
		return pods
	}
	get := func(uid types.UID) (*corev1.Pod, bool) { p, ok := r.pods[uid]; return p, ok }
	r.Manager = kubeletallocation.NewInMemoryManager(r.status, func(*corev1.Pod) {}, list, get, config.NewSourcesReady(func(sets.Set[string]) bool { return true }), record.NewFakeRecorder(1000))
	r.AddPodAdmitHandlers(lifecycle.PodAdmitHandlers{lifecycle.NewPredicateAdmitHandler(
		func(context.Context, bool) (*corev1.Node, error) { return node, nil }, lifecycle.NewAdmissionFailureHandlerStub(),
		func(*schedulerframework.NodeInfo, *lifecycle.PodAdmitAttributes) error { return nil })})
	return r
}

func TestResizesAgreeWithTheRealAllocationManager(t *testing.T) {
	for _, tc := range resizecases.Cases() {
		if tc.StaticCPUManager {
			continue // decided by the kubelet's container manager, which needs a machine
		}
		t.Run(tc.Name, func(t *testing.T) {
			m := newTestMachine(t, NodeSpec{Capacity: resizecases.List("2 2Gi")})
			r := newReference(m.node)
			for _, p := range tc.Pods {
				pod := m.put(casePod(p))
				if ok, reason, message := r.AddPod(nil, pod); !ok {
					t.Fatal(reason, message)
				}
				r.pods[pod.UID] = pod
			}
			m.pass(time.Minute)
			for i, step := range tc.Steps {
				m.do(step)
				m.pass(time.Minute)
				if step.Delete != "" {
					delete(r.pods, types.UID(step.Delete))
					r.RemovePod(types.UID(step.Delete))
				} else {
					r.PushPendingResize(types.UID(step.Resize))
				}
				for name, pod := range m.api {
					r.pods[types.UID(name)] = pod
				}
				r.RetryPendingResizes("test")
				for name, pod := range m.api {
					wantAllocated, _ := r.GetContainerResourceAllocation(types.UID(name), "main")
					if diff := cmp.Diff(wantAllocated.Requests, pod.Status.ContainerStatuses[0].AllocatedResources); diff != "" {
						t.Errorf("pod %s after step %d: allocated (-real +simulated):\n%s", name, i+1, diff)
					}
					var want, got []string
					for _, c := range r.status.GetPodResizeConditions(types.UID(name)) {
						if c.Type == corev1.PodResizePending {
							want = append(want, c.Reason+": "+c.Message)
						}
					}
					for _, c := range pod.Status.Conditions {
						if c.Type == corev1.PodResizePending {
							got = append(got, c.Reason+": "+c.Message)
						}
					}
					if diff := cmp.Diff(strings.Join(want, ""), strings.Join(got, "")); diff != "" {
						t.Errorf("pod %s after step %d: pending (-real +simulated):\n%s", name, i+1, diff)
					}
				}
			}
		})
	}
}
