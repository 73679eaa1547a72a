package packing_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"supercargo.dev/provisioner/packing"
)

// urgent makes n pods of one priority.
func urgent(name string, n int, priority int32, cpuMilli int64) []packing.Pod {
	var out []packing.Pod
	for i := range n {
		b := makePod(fmt.Sprintf("%s-%d", name, i)).req(cpuMilli, 512)
		b.p.Spec.Priority = ptr.To(priority)
		out = append(out, b.pod())
	}
	return out
}

func TestPodsOfHigherPriorityComeFirstWhereCapacityIsShort(t *testing.T) {
	large := listed(false)[:1] // 2 CPUs
	full := func(p *packing.Problem) {
		p.Nodes = []packing.Node{oldNode("old", zones[0], packing.CapacityOnDemand, 1000, 4096, 20)}
	}
	tests := []struct {
		name   string
		pods   []packing.Pod
		change func(*packing.Problem)
		want   map[int32]int // pods placed per priority
	}{
		{
			name: "under a limit of one node the large urgent pod comes before many small ones that fill it better",
			pods: append(urgent("small", 19, 0, 100), urgent("large", 1, 10, 1000)...),
			change: func(p *packing.Problem) {
				p.Pools = []packing.Pool{pool("default", large)}
				p.Pools[0].Limits = corev1.ResourceList{packing.ResourceNodes: resource.MustParse("1")}
			},
			want: map[int32]int{0: 6, 10: 1}, // seven by memory,
		},
		{
			name: "under a limit of CPUs three tiers are served in turn",
			pods: append(append(urgent("a", 2, 1, 1000), urgent("b", 2, 5, 1000)...), urgent("c", 2, 3, 1000)...),
			change: func(p *packing.Problem) {
				p.Pools = []packing.Pool{pool("default", large)}
				p.Pools[0].Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("6")}
			},
			want: map[int32]int{5: 2, 3: 1},
		},
		{
			name:   "without pools the room on nodes goes to the urgent",
			pods:   append(urgent("a", 2, 0, 500), urgent("b", 1, 7, 1000)...),
			change: full,
			want:   map[int32]int{7: 1},
		},
		{
			name: "spread over zones does not keep the urgent behind",
			pods: func() []packing.Pod {
				pods := append(urgent("a", 2, 0, 500), urgent("b", 1, 7, 1000)...)
				spread := podBuilder{pods[2].Pod}.label("app", "b").spread(corev1.LabelTopologyZone, 1, corev1.DoNotSchedule, map[string]string{"app": "b"})
				pods[2] = spread.pod()
				return pods
			}(),
			change: full,
			want:   map[int32]int{7: 1},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pods: tt.pods}
			tt.change(&p)
			plan := solve(t, &p)
			got := map[int32]int{}
			for _, b := range plan.Bindings {
				got[*p.Pods[b.Pod].Spec.Priority]++
			}
			for _, n := range plan.Nodes {
				for _, pod := range n.Pods {
					got[*p.Pods[pod].Spec.Priority]++
				}
			}
			for pr, n := range tt.want {
				if got[pr] != n {
					t.Errorf("placed per priority: %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// TestNoPodIsLeftOutForAnEqualOneOfLowerPriority draws pods without rules of few sizes under limits that are too tight.
func TestNoPodIsLeftOutForAnEqualOneOfLowerPriority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawer{t: t}
		p := packing.Problem{Pools: []packing.Pool{pool("default", d.types())}}
		p.Pools[0].Limits = corev1.ResourceList{corev1.ResourceCPU: *resource.NewQuantity(int64(d.n("limit", 0, 24)), resource.DecimalSI)}
		for i := range d.n("groups", 1, 6) {
			p.Pods = append(p.Pods, urgent(fmt.Sprint(i), d.n("pods", 1, 6), int32(d.n("priority", 0, 3)), pick(d, "cpu", int64(500), 1500, 3000))...)
		}
		plan, err := packing.Solve(context.Background(), p)
		if err != nil {
			t.Fatal(err)
		}
		lacking := map[int]bool{}
		for _, u := range plan.Unplaced {
			lacking[u.Pod] = true
		}
		for _, u := range plan.Unplaced {
			for i := range p.Pods {
				same := p.Pods[i].Spec.Containers[0].Resources.Requests.Cpu().Equal(*p.Pods[u.Pod].Spec.Containers[0].Resources.Requests.Cpu())
				if !lacking[i] && same && *p.Pods[i].Spec.Priority < *p.Pods[u.Pod].Spec.Priority {
					t.Fatalf("pod %d of priority %d has a place, pod %d of priority %d has none: %s", i, *p.Pods[i].Spec.Priority, u.Pod, *p.Pods[u.Pod].Spec.Priority, u.Message)
				}
			}
		}
	})
}
