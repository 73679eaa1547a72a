package karpenter

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/karpenter/pkg/apis"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/consolidation"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/provisioner/succession"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func oneCPU() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
}

// replica is a pod of a ReplicaSet that asks for one CPU; it waits where the node is empty.
func replica(owner, name, node string) packing.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
		OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", UID: types.UID(owner), Controller: ptr.To(true)}},
	}}
	p.Spec.NodeName = node
	if node == "" {
		p.CreationTimestamp = metav1.NewTime(noon)
	}
	return packing.Pod{Pod: p, Requests: oneCPU()}
}

func encoded(t *testing.T, made time.Time, pods int) map[string]string {
	t.Helper()
	value, err := succession.Encode([]succession.Plan{{
		Made: metav1.NewTime(made), From: []string{"old"}, Places: []succession.Place{{Owner: "web", Pods: pods, Requests: oneCPU()}},
	}}, made)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{v1alpha1.PlannedSuccessorsAnnotation: value}
}

func TestPodsArePutWhereAConsolidationPlannedThem(t *testing.T) {
	for name, tc := range map[string]struct {
		places                   int
		planAge                  time.Duration
		closed                   bool // the node that is given up
		pending, leaving, moving []packing.Pod
		onNode                   []packing.Pod
		boughtFor                string
		wantKept, wantExpected   []string
		wantLeft, wantMoving     int
	}{
		"one that waits":                         {places: 2, closed: true, pending: []packing.Pod{replica("web", "a", "")}, wantKept: []string{"a"}},
		"one whose successor is to come":         {places: 2, closed: true, moving: []packing.Pod{replica("web", "a", "old")}, wantExpected: []string{"a"}},
		"after a restart, which forgets moves":   {places: 2, closed: true, leaving: []packing.Pod{replica("web", "a", "old")}, wantExpected: []string{"a"}},
		"those that wait first":                  {places: 1, closed: true, moving: []packing.Pod{replica("web", "a", "old")}, pending: []packing.Pod{replica("web", "b", "")}, wantKept: []string{"b"}, wantMoving: 1},
		"no more than there are places":          {places: 2, closed: true, pending: []packing.Pod{replica("web", "a", ""), replica("web", "b", ""), replica("web", "c", "")}, wantKept: []string{"a", "b"}, wantLeft: 1},
		"no more than there is room":             {places: 2, closed: true, pending: []packing.Pod{replica("web", "a", ""), replica("web", "b", "")}, onNode: []packing.Pod{replica("db", "x", "n"), replica("db", "y", "n"), replica("db", "z", "n")}, wantKept: []string{"a"}, wantLeft: 1},
		"not where those that came take it":      {places: 1, closed: true, pending: []packing.Pod{replica("web", "a", "")}, onNode: []packing.Pod{func() packing.Pod { p := replica("web", "x", ""); p.Spec.NodeName = "n"; return p }()}, wantLeft: 1},
		"not one of another owner":               {places: 2, closed: true, pending: []packing.Pod{replica("db", "a", "")}, wantLeft: 1},
		"not one that leaves another node":       {places: 2, closed: true, leaving: []packing.Pod{replica("web", "a", "drifted")}, wantLeft: 1},
		"not one for which a claim was made":     {places: 2, closed: true, pending: []packing.Pod{replica("web", "a", "")}, boughtFor: "x,a", wantLeft: 1},
		"not when the disruption was called off": {places: 2, planAge: time.Minute, pending: []packing.Pod{replica("web", "a", "")}, wantLeft: 1},
	} {
		t.Run(name, func(t *testing.T) {
			old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old"}}
			if tc.closed {
				old.Spec.Taints = []corev1.Taint{karpv1.DisruptedNoScheduleTaint}
			}
			stays := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: encoded(t, noon.Add(-tc.planAge), tc.places)}}
			states := state.StateNodes{{Node: old}, {Node: stays}}
			capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("10")}
			s := &Snapshot{
				Problem: packing.Problem{
					Pods:  slices.Concat(tc.pending, tc.leaving, []packing.Pod{replica("web", "headroom", "")}),
					Nodes: []packing.Node{{Name: "n", Allocatable: capacity, Pods: tc.onNode}},
				},
				Pending: len(tc.pending), Headroom: 1, Moving: tc.moving,
			}
			var unlaunched []*karpv1.NodeClaim
			if tc.boughtFor != "" {
				unlaunched = append(unlaunched, claim("c", func(nc *karpv1.NodeClaim) { nc.Annotations[v1alpha1.PlannedPodsAnnotation] = tc.boughtFor }))
			}
			m := &Machinery{cfg: Config{Clock: clocktesting.NewFakeClock(noon)}}
			m.succeed(s, states, unlaunched)
			names := func(kept []Kept, succeeds bool) (out []string) {
				for _, k := range kept {
					if k.Node != "n" || k.Succeeds != succeeds {
						t.Errorf("%s is kept as %+v", k.Pod.Name, k)
					}
					out = append(out, k.Pod.Name)
				}
				return out
			}
			if diff := cmp.Diff(tc.wantKept, names(s.Kept, true)); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantExpected, names(s.Expected, false)); diff != "" {
				t.Errorf("expected (-want +got):\n%s", diff)
			}
			if got := len(s.Problem.Pods) - 1; got != tc.wantLeft || len(s.Moving) != tc.wantMoving {
				t.Errorf("%d pods are left to place and %d move, want %d and %d", got, len(s.Moving), tc.wantLeft, tc.wantMoving)
			}
			if want := len(tc.pending) - len(tc.wantKept); s.Pending != want {
				t.Errorf("%d of them are pending, want %d", s.Pending, want)
			}
			if got, want := len(s.Problem.Nodes[0].Pods), len(tc.onNode)+len(tc.wantKept)+len(tc.wantExpected); got != want {
				t.Errorf("%d pods count on the node, want %d", got, want)
			}
		})
	}
}

func TestASuccessorIsPlacedForWhatItWillAsk(t *testing.T) {
	old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{karpv1.DisruptedNoScheduleTaint}}}
	stays := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: encoded(t, noon, 1)}}
	shrunk := replica("web", "a", "old")
	shrunk.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	capacity := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourcePods: resource.MustParse("10")}
	s := &Snapshot{Problem: packing.Problem{Nodes: []packing.Node{{Name: "n", Allocatable: capacity}}}, Moving: []packing.Pod{shrunk}}
	m := &Machinery{cfg: Config{Clock: clocktesting.NewFakeClock(noon)}}
	m.succeed(s, state.StateNodes{{Node: old}, {Node: stays}}, nil)
	if got := s.Problem.Nodes[0].Pods; len(got) != 1 || got[0].Requests.Cpu().MilliValue() != 1000 {
		t.Errorf("the node holds %v, want a pod of 1 CPU", got)
	}
}

func TestPlansForSuccessorsAreWrittenBesideThoseThatAreThere(t *testing.T) {
	before := encoded(t, noon.Add(-time.Minute), 3)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Annotations: before}}
	inFlight := claim("c")
	scheme := schemeWith(t)
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(node.DeepCopy(), inFlight).Build()
	m := &Machinery{cfg: Config{Client: kube, Clock: clocktesting.NewFakeClock(noon)}}
	s := &Snapshot{states: map[string]*state.StateNode{"n": {Node: node}}}
	move := &consolidation.Move{Remove: []string{"old"}, Pods: []packing.Pod{replica("web", "a", "old"), replica("db", "b", "old")}}
	web, ok := m.successors(move, []int{0})
	db, also := m.successors(move, []int{1})
	if !ok || !also {
		t.Fatal("there is no plan")
	}
	m.planSuccessors(t.Context(), s, map[string][]succession.Plan{"n": {web}, "c": {db}, "gone": {db}})
	for _, o := range []struct {
		object client.Object
		want   []int
	}{{&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, []int{1, 3}}, {&karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, []int{1}}} {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o.object), o.object); err != nil {
			t.Fatal(err)
		}
		plans, err := succession.Parse(o.object.GetAnnotations()[v1alpha1.PlannedSuccessorsAnnotation])
		if err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, p := range plans {
			got = append(got, p.Places[0].Pods)
		}
		if diff := cmp.Diff(o.want, got); diff != "" {
			t.Errorf("pods planned on %s (-want +got):\n%s", o.object.GetName(), diff)
		}
	}
}

func schemeWith(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := corev1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	group := schema.GroupVersion{Group: apis.Group, Version: "v1"}
	s.AddKnownTypes(group, &karpv1.NodeClaim{}, &karpv1.NodeClaimList{})
	metav1.AddToGroupVersion(s, group)
	return s
}
