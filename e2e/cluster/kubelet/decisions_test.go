package kubelet

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// list makes a resource list of "cpu memory"; "-" leaves one out.
func list(amounts string) corev1.ResourceList {
	if amounts == "" {
		return nil
	}
	names := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods, "example.com/gpu"}
	made := corev1.ResourceList{}
	for i, amount := range strings.Fields(amounts) {
		if amount != "-" {
			made[names[i]] = resource.MustParse(amount)
		}
	}
	return made
}

// testPod is a builder of pods with one container.
type testPod struct{ corev1.Pod }

func makePod(name, requests, limits string) *testPod {
	return &testPod{corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Generation: 1},
		Spec: corev1.PodSpec{NodeName: "n", RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{
			Name: "main", Image: "web", Resources: corev1.ResourceRequirements{Requests: list(requests), Limits: list(limits)},
		}}},
	}}
}

func (p *testPod) with(change func(*corev1.Pod)) *testPod { change(&p.Pod); return p }
func (p *testPod) obj() *corev1.Pod                       { return &p.Pod }

func (p *testPod) priority(n int32) *testPod {
	return p.with(func(p *corev1.Pod) { p.Spec.Priority = ptr.To(n) })
}

func (p *testPod) annotated(key, value string) *testPod {
	return p.with(func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, value) })
}

// resized is the pod after its spec was changed by another generation.
func resized(p *corev1.Pod, requests, limits string) *corev1.Pod {
	changed := p.DeepCopy()
	changed.Generation++
	changed.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}
	return changed
}

func makeNode(allocatable string) *corev1.Node {
	capacity := list(allocatable)
	if _, ok := capacity[corev1.ResourcePods]; !ok {
		capacity[corev1.ResourcePods] = resource.MustParse("110")
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelOSStable: "linux", "zone": "a"}},
		Status:     corev1.NodeStatus{Capacity: capacity, Allocatable: capacity},
	}
}

func TestAdmission(t *testing.T) {
	tainted := makeNode("4 8Gi")
	tainted.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoExecute}}
	warned := makeNode("4 8Gi")
	warned.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	port := func(p *corev1.Pod) {
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
	}
	for _, tc := range []struct {
		name     string
		node     *corev1.Node
		pod      *testPod
		others   []*corev1.Pod
		pressure bool
		want     *verdict
	}{
		{name: "a pod that fits is admitted", node: makeNode("4 8Gi"), pod: makePod("p", "1 1Gi", "")},
		{name: "a pod that fits exactly is admitted", node: makeNode("4 8Gi"), pod: makePod("p", "1 1Gi", ""), others: []*corev1.Pod{makePod("o", "3 7Gi", "").obj()}},
		{
			name: "cpu is short", node: makeNode("4 8Gi"), pod: makePod("p", "2 1Gi", ""), others: []*corev1.Pod{makePod("o", "3 1Gi", "").obj()},
			want: &verdict{"OutOfcpu", "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000"},
		},
		{
			name: "memory is short", node: makeNode("4 1Gi"), pod: makePod("p", "1 2Gi", ""),
			want: &verdict{"OutOfmemory", "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"},
		},
		{
			name: "there are enough pods", node: makeNode("4 8Gi 1"), pod: makePod("p", "", ""), others: []*corev1.Pod{makePod("o", "", "").obj()},
			want: &verdict{"OutOfpods", "Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1"},
		},
		{
			name: "an extended resource is short", node: makeNode("4 8Gi 9 1"), pod: makePod("p", "1 1Gi - 2", "- - - 2"),
			want: &verdict{"OutOfexample.com/gpu", "Node didn't have enough resource: example.com/gpu, requested: 2, used: 0, capacity: 1"},
		},
		{name: "an extended resource the node does not know is somebody else's", node: makeNode("4 8Gi"), pod: makePod("p", "1 1Gi - 2", "- - - 2")},
		{
			name: "the node selector does not match", node: makeNode("4 8Gi"),
			pod:  makePod("p", "", "").with(func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"zone": "b"} }),
			want: &verdict{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"},
		},
		{
			name: "a NoExecute taint is not tolerated", node: tainted, pod: makePod("p", "", ""),
			want: &verdict{"TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"},
		},
		{name: "a NoSchedule taint is the scheduler's", node: warned, pod: makePod("p", "", "")},
		{
			name: "a host port is taken", node: makeNode("4 8Gi"), pod: makePod("p", "", "").with(port), others: []*corev1.Pod{makePod("o", "", "").with(port).obj()},
			want: &verdict{"NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"},
		},
		{
			name: "under memory pressure a best-effort pod is turned away", node: makeNode("4 8Gi"), pod: makePod("p", "", ""), pressure: true,
			want: &verdict{"Evicted", "The node had condition: [MemoryPressure]. "},
		},
		{name: "under memory pressure a burstable pod is admitted", node: makeNode("4 8Gi"), pod: makePod("p", "1 1Gi", ""), pressure: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := admitPod(tc.node, tc.pod.obj(), tc.others, tc.pressure)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(verdict{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvictionRank(t *testing.T) {
	const mi = 1 << 20
	candidates := []evictionCandidate{
		{pod: makePod("within", "- 100Mi", "").obj(), usage: 90 * mi},
		{pod: makePod("within-more", "- 100Mi", "").obj(), usage: 99 * mi},
		{pod: makePod("above-important", "- 100Mi", "").priority(1000).obj(), usage: 500 * mi},
		{pod: makePod("above", "- 100Mi", "").obj(), usage: 110 * mi},
		{pod: makePod("above-more", "- 100Mi", "").obj(), usage: 120 * mi},
		{pod: makePod("besteffort", "", "").obj(), usage: 5 * mi},
		{pod: makePod("expendable", "- 100Mi", "").priority(-1).obj(), usage: 101 * mi},
	}
	rankForEviction(candidates)
	var got []string
	for _, c := range candidates {
		got = append(got, c.pod.Name)
	}
	want := []string{"expendable", "above-more", "above", "besteffort", "above-important", "within-more", "within"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got2 := evictionMessage(makePod("above", "- 100Mi", "").obj(), 50*mi, map[string]int64{"main": 110 * mi})
	want2 := "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " +
		"Container main was using 110Mi, request is 100Mi, has larger consumption of memory. "
	if got2 != want2 {
		t.Errorf("message %q, want %q", got2, want2)
	}
}

func TestBackoff(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	t.Run("the first restart is immediate, then waits double up to five minutes", func(t *testing.T) {
		var b backoff
		var got []time.Duration
		now := begin
		for range 8 {
			exit := now.Add(time.Second)
			wait := b.wait(exit)
			got = append(got, wait)
			now = exit.Add(wait)
			b = b.next(exit, now)
		}
		want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 300 * time.Second, 300 * time.Second}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a container that ran for long starts anew", func(t *testing.T) {
		b := backoff{delay: maxBackoff, updated: begin}
		exit := begin.Add(backoffReset + time.Second)
		if wait := b.wait(exit); wait != 0 {
			t.Errorf("waits %s", wait)
		}
		if next := b.next(exit, exit); next.delay != initialBackoff {
			t.Errorf("then waits %s", next.delay)
		}
	})
}
