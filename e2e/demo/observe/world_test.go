package observe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"github.com/awslabs/operatorpkg/status"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/cost"
)

var t0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func budget(uid string, generation, observed int64, expected, healthy, desired int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: uid, UID: types.UID(uid), Generation: generation},
		Status: policyv1.PodDisruptionBudgetStatus{
			ObservedGeneration: observed, ExpectedPods: expected, CurrentHealthy: healthy, DesiredHealthy: desired,
		},
	}
}

func TestBudgets(t *testing.T) {
	for name, tc := range map[string]struct {
		events []*policyv1.PodDisruptionBudget
		want   []string
	}{
		"pods that start for the first time violate nothing": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 0, 6), budget("a", 1, 1, 8, 5, 6), budget("a", 1, 1, 8, 8, 6)},
		},
		"as many as demanded is enough": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("a", 1, 1, 8, 6, 6)},
		},
		"one fewer than demanded is a violation": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("a", 1, 1, 8, 5, 6)},
			want:   []string{"shop/a: 5 pods healthy, 6 demanded"},
		},
		"a violation that lasts is one": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("a", 1, 1, 8, 5, 6), budget("a", 1, 1, 8, 4, 6)},
			want:   []string{"shop/a: 5 pods healthy, 6 demanded"},
		},
		"one that comes again is another": {
			events: []*policyv1.PodDisruptionBudget{
				budget("a", 1, 1, 8, 8, 6), budget("a", 1, 1, 8, 5, 6), budget("a", 1, 1, 8, 6, 6), budget("a", 1, 1, 8, 3, 6),
			},
			want: []string{"shop/a: 5 pods healthy, 6 demanded", "shop/a: 3 pods healthy, 6 demanded"},
		},
		"a status of an older spec says nothing": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("a", 2, 1, 8, 5, 6)},
		},
		"a budget of no pods is not violated": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("a", 1, 1, 0, 0, 6)},
		},
		"budgets are told apart": {
			events: []*policyv1.PodDisruptionBudget{budget("a", 1, 1, 8, 8, 6), budget("b", 1, 1, 8, 0, 6)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBudgets()
			for _, e := range tc.events {
				b.observe(e, t0)
			}
			var got []string
			for _, v := range b.all {
				got = append(got, v.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

type podOption func(*corev1.Pod)

func pod(name, owner string, options ...podOption) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name),
			OwnerReferences: []metav1.OwnerReference{{Kind: owner, Name: "owner", Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
		}}}},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

func on(node string) podOption { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

func inPhase(phase corev1.PodPhase) podOption {
	return func(p *corev1.Pod) {
		p.Status.Phase = phase
		if phase == corev1.PodRunning {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
	}
}

func restarted(n int32) podOption {
	return func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: n}} }
}

func leaving(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: t0} }

func rejected(p *corev1.Pod) { p.Status.Phase, p.Status.Reason = corev1.PodFailed, "OutOfcpu" }

func neverOnSpot(p *corev1.Pod) {
	p.Annotations = map[string]string{v1alpha1.SpotAnnotation: string(v1alpha1.SpotNever)}
}

func TestWorldCountsRestartsAndMoves(t *testing.T) {
	running := inPhase(corev1.PodRunning)
	for name, tc := range map[string]struct {
		events func(*world)
		want   Counts
	}{
		"a pod that runs is neither": {events: func(w *world) { w.setPod(pod("a", "ReplicaSet", running)) }},
		"each restart counts once, however often it is seen": {
			events: func(w *world) {
				w.setPod(pod("a", "ReplicaSet", running))
				w.setPod(pod("a", "ReplicaSet", running, restarted(2)))
				w.setPod(pod("a", "ReplicaSet", running, restarted(2)))
			},
			want: Counts{Restarts: 2},
		},
		"a running pod that is told to go moves, once": {
			events: func(w *world) {
				w.setPod(pod("a", "ReplicaSet", running))
				w.setPod(pod("a", "ReplicaSet", running, leaving))
				w.deletePod(pod("a", "ReplicaSet", running, leaving))
			},
			want: Counts{Moved: 1},
		},
		"a pod that vanishes moves too": {
			events: func(w *world) {
				w.setPod(pod("a", "ReplicaSet", running))
				w.deletePod(pod("a", "ReplicaSet", running))
			},
			want: Counts{Moved: 1},
		},
		"a pod that never ran does not move": {
			events: func(w *world) {
				w.setPod(pod("a", "ReplicaSet"))
				w.deletePod(pod("a", "ReplicaSet"))
			},
		},
		"a pod that a kubelet turns away is rejected, once": {
			events: func(w *world) {
				w.setPod(pod("a", "ReplicaSet", rejected))
				w.setPod(pod("a", "ReplicaSet", rejected))
			},
			want: Counts{Rejected: 1},
		},
		"pods of Jobs and DaemonSets come and go with them": {
			events: func(w *world) {
				for _, kind := range []string{"Job", "DaemonSet"} {
					w.setPod(pod(kind, kind, running))
					w.deletePod(pod(kind, kind, running, leaving))
				}
				w.setPod(pod("j", "Job", running, restarted(1)))
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			tc.events(w)
			if diff := cmp.Diff(tc.want, w.counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
		})
	}
}

// claim of a machine m5.large in zone a; conditions are those that are true.
func claim(name, capacityType string, conditions ...string) *karpv1.NodeClaim {
	c := &karpv1.NodeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			corev1.LabelInstanceTypeStable: "m5.large", corev1.LabelTopologyZone: "a", karpv1.CapacityTypeLabelKey: capacityType,
		}},
		Status: karpv1.NodeClaimStatus{
			ProviderID: "sim:///a/i-" + name, NodeName: "i-" + name,
			Capacity:    corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("8Gi")},
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("4Gi")},
		},
	}
	for _, condition := range conditions {
		c.Status.Conditions = append(c.Status.Conditions, status.Condition{Type: condition, Status: metav1.ConditionTrue})
	}
	return c
}

func TestSnapshot(t *testing.T) {
	w := newWorld()
	w.setClaim(claim("od", karpv1.CapacityTypeOnDemand, karpv1.ConditionTypeInitialized), t0)
	w.setClaim(claim("spot", karpv1.CapacityTypeSpot, karpv1.ConditionTypeInitialized), t0)
	going := claim("gone", karpv1.CapacityTypeSpot, karpv1.ConditionTypeInitialized, karpv1.ConditionTypeInstanceTerminating)
	going.DeletionTimestamp = &metav1.Time{Time: t0}
	w.setClaim(going, t0)
	running := inPhase(corev1.PodRunning)
	w.setPod(pod("db", "ReplicaSet", on("i-od"), running, neverOnSpot))
	w.setPod(pod("cache", "ReplicaSet", on("i-spot"), running, neverOnSpot))
	w.setPod(pod("agent", "DaemonSet", on("i-spot"), running))
	w.setPod(pod("web", "ReplicaSet"))
	w.setPod(pod("old", "ReplicaSet", on("i-spot"), running, leaving))
	w.setPod(pod("work", "Job", on("i-od"), inPhase(corev1.PodSucceeded)))
	prices := &sim.Prices{OnDemand: map[string]float64{"m5.large": 0.1}, Spot: map[string]map[string]float64{"m5.large": {"a": 0.04}}}

	s, machines, charged := w.snapshot(t0.Add(time.Minute), prices, map[string]cost.Resources{"shop/db": {MilliCPU: 30, MemoryBytes: 1 << 20}})

	if diff := cmp.Diff(PodCounts{Total: 4, Ready: 2, Pending: 1, Leaving: 1, Succeeded: 1}, s.Pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"shop/cache"}, s.Misplaced); diff != "" {
		t.Errorf("misplaced (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(cost.Resources{MilliCPU: 400, MemoryBytes: 512 << 20}, s.Requested); diff != "" {
		t.Errorf("requested (-want +got):\n%s", diff)
	}
	if s.Used.MilliCPU != 30 || s.Quiet != time.Minute || s.Settled() {
		t.Errorf("used %+v, quiet %s, settled %t", s.Used, s.Quiet, s.Settled())
	}
	type row struct {
		Name, Instance string
		Phase          Phase
		Spot           bool
		Price          float64
		Pods           int
	}
	var rows []row
	for _, n := range s.Nodes {
		rows = append(rows, row{n.Name, n.Instance, n.Phase, n.Spot, n.USDPerHour, n.Pods})
	}
	want := []row{
		{"i-gone", "i-gone", Terminating, true, 0.04, 0}, {"i-od", "i-od", Ready, false, 0.1, 1}, {"i-spot", "i-spot", Ready, true, 0.04, 2},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	// An instance that is being terminated is no longer billed, so the ledger must not charge it either.
	if s.Claims != 2 || len(machines) != 2 || len(charged) != 4 {
		t.Errorf("%d claims, %d machines and %d pods are charged, want 2, 2 and 4", s.Claims, len(machines), len(charged))
	}
	statement, err := cost.State(machines, charged)
	if err != nil || statement.Price.Dollars() != 0.14 {
		t.Errorf("the ledger states %v, %v, want $0.14", statement.Price, err)
	}
}
