package packing_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"supercargo.dev/provisioner/packing"
)

// The node with room for memory is the fullest: pods that ask for cpu would use its cpu up, were it filled first.
func TestPodsGoToTheExistingNodesWhoseRoomIsMostLikeThem(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory), corev1.ResourcePods: resource.MustParse("10"),
		}
	}
	asks := func(name, cpu, memory string) packing.Pod {
		r := list(cpu, memory)
		delete(r, corev1.ResourcePods)
		return packing.Pod{Pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}, Requests: r}
	}
	plan, err := packing.Solve(context.Background(), packing.Problem{
		Pods: []packing.Pod{asks("cpu", "3", "1Gi"), asks("memory", "2", "14Gi")},
		Nodes: []packing.Node{
			{Name: "rich-in-memory", Allocatable: list("3", "16Gi")},
			{Name: "rich-in-cpu", Allocatable: list("16", "4Gi")},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []packing.Binding{{Pod: 0, Node: "rich-in-cpu"}, {Pod: 1, Node: "rich-in-memory"}}
	if diff := cmp.Diff(want, plan.Bindings); diff != "" || len(plan.Unplaced) > 0 {
		t.Errorf("bindings (-want +got):\n%s%d pods unplaced", diff, len(plan.Unplaced))
	}
}
