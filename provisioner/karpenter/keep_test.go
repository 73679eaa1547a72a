package karpenter

import (
	"testing"
	"time"

	"github.com/awslabs/operatorpkg/status"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/controllers/state"

	"supercargo.dev/provisioner/packing"
)

func TestPodsKeepTheNodeThatWasPlannedForThem(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	cpu := func(n string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(n)}
	}
	pod := func(name, wants string) packing.Pod {
		return packing.Pod{Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}, Requests: cpu(wants)}
	}
	readyFor := func(d time.Duration) *karpv1.NodeClaim {
		nc := &karpv1.NodeClaim{ObjectMeta: metav1.ObjectMeta{Name: "claim"}}
		if d >= 0 {
			nc.Status.Conditions = []status.Condition{{
				Type: karpv1.ConditionTypeInitialized, Status: metav1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-d)),
			}}
		}
		return nc
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	for name, tc := range map[string]struct {
		// state of the one node of the problem; nil while the cloud has not answered.
		state   *state.StateNode
		planned map[types.UID]string
		pods    []packing.Pod
		moving  int // of pods, at the end
		runs    []packing.Pod
		want    []string // kept
	}{
		"on a claim that the cloud has not answered": {
			planned: map[types.UID]string{"a": "claim"}, pods: []packing.Pod{pod("a", "1"), pod("b", "1")}, want: []string{"a"},
		},
		"on a node that is coming, by the claim's name": {
			state: &state.StateNode{NodeClaim: readyFor(-1)}, planned: map[types.UID]string{"a": "claim"}, pods: []packing.Pod{pod("a", "1")}, want: []string{"a"},
		},
		"on a node that is coming, by its own name": {
			state: &state.StateNode{NodeClaim: readyFor(-1), Node: node}, planned: map[types.UID]string{"a": "node"}, pods: []packing.Pod{pod("a", "1")}, want: []string{"a"},
		},
		"on a node that has just come": {
			state: &state.StateNode{NodeClaim: readyFor(keepFor - time.Second), Node: node}, planned: map[types.UID]string{"a": "node"}, pods: []packing.Pod{pod("a", "1")}, want: []string{"a"},
		},
		"not on a node that has been there for long without them": {
			state: &state.StateNode{NodeClaim: readyFor(keepFor), Node: node}, planned: map[types.UID]string{"a": "node"}, pods: []packing.Pod{pod("a", "1")},
		},
		"not on a node that is gone": {
			planned: map[types.UID]string{"a": "other"}, pods: []packing.Pod{pod("a", "1")},
		},
		"not on a node that others have filled": {
			state: &state.StateNode{NodeClaim: readyFor(0), Node: node}, planned: map[types.UID]string{"a": "node"},
			pods: []packing.Pod{pod("a", "1")}, runs: []packing.Pod{pod("x", "3.5")},
		},
		"as many as there is room for": {
			planned: map[types.UID]string{"a": "claim", "b": "claim", "c": "claim"}, pods: []packing.Pod{pod("a", "2"), pod("b", "2"), pod("c", "2")}, want: []string{"a", "b"},
		},
		"not when they run elsewhere still": {
			planned: map[types.UID]string{"a": "claim"}, pods: []packing.Pod{pod("a", "1")}, moving: 1,
		},
		"not on an unmanaged node": {
			state: &state.StateNode{Node: node}, planned: map[types.UID]string{"a": "claim"}, pods: []packing.Pod{pod("a", "1")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			capacity := cpu("4")
			capacity[corev1.ResourcePods] = resource.MustParse("10")
			s := &Snapshot{
				Problem: packing.Problem{Pods: tc.pods, Nodes: []packing.Node{{Name: "claim", Allocatable: capacity, Pods: tc.runs}}},
				Pending: len(tc.pods) - tc.moving, states: map[string]*state.StateNode{},
			}
			if tc.state != nil {
				s.states["claim"] = tc.state
			}
			s.Keep(tc.planned, now)
			var got []string
			for _, k := range s.Kept {
				got = append(got, k.Pod.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if left := len(tc.pods) - len(tc.want); len(s.Problem.Pods) != left || s.Pending != left-tc.moving {
				t.Errorf("%d pods of which %d pending are left, want %d and %d", len(s.Problem.Pods), s.Pending, left, left-tc.moving)
			}
			if n := len(s.Problem.Nodes[0].Pods); n != len(tc.runs)+len(tc.want) {
				t.Errorf("%d pods on the node, want %d", n, len(tc.runs)+len(tc.want))
			}
		})
	}
}
