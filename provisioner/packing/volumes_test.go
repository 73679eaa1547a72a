package packing_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"supercargo.dev/provisioner/packing"
)

const ebs = "ebs.csi.aws.com"

// attaching are types that attach so many volumes; a negative number means that no limit is known.
func attaching(volumes int64) []packing.InstanceType {
	types := listed(false)
	for i := range types {
		if volumes >= 0 {
			types[i].Allocatable[packing.AttachableVolumes(ebs)] = quantity(volumes)
		}
	}
	return types
}

func TestVolumesPerNodeAreLimited(t *testing.T) {
	own := func(i int) []packing.Volume { return []packing.Volume{{Driver: ebs, ID: fmt.Sprintf("own-%d", i)}} }
	shared := func(i int) []packing.Volume { return append(own(i), packing.Volume{Driver: ebs, ID: "shared"}) }
	same := func(int) []packing.Volume { return []packing.Volume{{Driver: ebs, ID: "shared"}} }
	tests := []struct {
		name    string
		limit   int64
		volumes func(i int) []packing.Volume
		want    int // nodes for 12 pods that one node could hold
	}{
		{"pods without volumes share a node", 0, func(int) []packing.Volume { return nil }, 1},
		{"a volume each, four per node", 4, own, 3},
		{"a volume each and one for all, five per node", 5, shared, 3},
		{"one volume for all counts once", 1, same, 1},
		{"no known limit", -1, shared, 1},
		{"another driver's limit does not matter", 1, func(int) []packing.Volume {
			return []packing.Volume{{Driver: "nfs", ID: "a"}, {Driver: "nfs", ID: "b"}}
		}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{pool("default", attaching(tt.limit))}}
			for i := range 12 {
				pod := makePod(fmt.Sprintf("pod-%d", i)).req(50, 64).pod()
				pod.Volumes = tt.volumes(i)
				p.Pods = append(p.Pods, pod)
			}
			plan := solve(t, &p)
			if len(plan.Nodes) != tt.want || len(plan.Unplaced) > 0 {
				t.Errorf("%d nodes and %d unplaced, want %d nodes", len(plan.Nodes), len(plan.Unplaced), tt.want)
			}
			for _, n := range plan.Nodes {
				for name := range n.Requests {
					if strings.HasPrefix(string(name), string(packing.AttachableVolumes(""))) {
						t.Errorf("the node's requests count volumes (%s), which no instance type has as a resource", name)
					}
				}
			}
		})
	}
}

// TestPodsThatMustShareANodeAreAsManyAsItAttachesVolumesFor has three pods that must run beside one another, and types that attach
// their shared volume and two of their own.
func TestPodsThatMustShareANodeAreAsManyAsItAttachesVolumesFor(t *testing.T) {
	app := map[string]string{"app": "store"}
	p := packing.Problem{Pools: []packing.Pool{pool("default", attaching(3))}}
	for i := range 3 {
		pod := makePod(fmt.Sprintf("store-%d", i)).req(50, 64).label("app", "store").with(corev1.LabelHostname, app).pod()
		pod.Volumes = []packing.Volume{{Driver: ebs, ID: fmt.Sprintf("own-%d", i)}, {Driver: ebs, ID: "shared"}}
		p.Pods = append(p.Pods, pod)
	}
	plan := solve(t, &p)
	if len(plan.Nodes) != 1 || len(plan.Nodes[0].Pods) != 2 || len(plan.Unplaced) != 1 {
		t.Errorf("%d nodes bought and %d pods unplaced, want two pods on one node", len(plan.Nodes), len(plan.Unplaced))
	}
}

func TestVolumesOnExistingNodesCount(t *testing.T) {
	running := func(id string) packing.Pod {
		pod := makePod("old-"+id).req(50, 64).pod()
		pod.Volumes = []packing.Volume{{Driver: ebs, ID: id}}
		return pod
	}
	tests := []struct {
		name     string
		volume   string
		pods     []packing.Pod
		attached []packing.Volume
		want     bool // the pod goes to the existing node, which attaches two
	}{
		{"one free", "new", []packing.Pod{running("a")}, nil, true},
		{"none free", "new", []packing.Pod{running("a"), running("b")}, nil, false},
		{"two pods use one volume", "new", []packing.Pod{running("a"), running("a")}, nil, true},
		{"the pod's volume is there already", "a", []packing.Pod{running("a"), running("b")}, nil, true},
		{"one is still to be detached", "new", []packing.Pod{running("a")}, []packing.Volume{{Driver: ebs, ID: "b"}}, false},
		{"what is attached without a pod counts beside the same volume", "b", []packing.Pod{running("a")}, []packing.Volume{{Driver: ebs, ID: "b"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			node := oldNode("old", zones[0], packing.CapacityOnDemand, 2000, 4096, 20)
			node.Allocatable[packing.AttachableVolumes(ebs)] = quantity(2)
			node.Pods, node.Attached = tt.pods, tt.attached
			pod := makePod("new").req(50, 64).pod()
			pod.Volumes = []packing.Volume{{Driver: ebs, ID: tt.volume}}
			p := packing.Problem{Pods: []packing.Pod{pod}, Nodes: []packing.Node{node}, Pools: []packing.Pool{pool("default", attaching(9))}}
			plan := solve(t, &p)
			if got := len(plan.Bindings) == 1; got != tt.want {
				t.Errorf("pod on the existing node: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestAPodWithMoreVolumesThanAnyNodeAttachesSaysSo(t *testing.T) {
	for name, pods := range map[string]int{"of its own": 1, "that it shares with another pod": 2} {
		t.Run(name, func(t *testing.T) {
			p := packing.Problem{Pools: []packing.Pool{pool("default", attaching(3))}}
			for n := range pods {
				pod := makePod(fmt.Sprintf("store-%d", n)).req(50, 64).pod()
				for i := range 4 {
					pod.Volumes = append(pod.Volumes, packing.Volume{Driver: ebs, ID: fmt.Sprint(i)})
				}
				p.Pods = append(p.Pods, pod)
			}
			plan := solve(t, &p)
			if len(plan.Unplaced) != pods || plan.Unplaced[0].Reasons[0].Rule != packing.RuleVolumeLimit+"("+ebs+")" {
				t.Errorf("unplaced = %+v, want %d for the volume limit", plan.Unplaced, pods)
			}
		})
	}
}

func TestAReadWriteOncePodVolumeIsForOnePodAtATime(t *testing.T) {
	user := func(name string, priority int32) packing.Pod {
		pod := makePod(name).req(50, 64).pod()
		pod.Spec.Priority = ptr.To(priority)
		pod.Volumes = []packing.Volume{{Driver: ebs, ID: "v", Exclusive: true}}
		return pod
	}
	huge := user("a", 1)
	huge.Spec.NodeSelector = map[string]string{corev1.LabelArchStable: "vax"}
	tests := []struct {
		name     string
		pods     []packing.Pod
		resident bool
		waits    []int
	}{
		{"the first of equal pods gets it", []packing.Pod{user("a", 0), user("b", 0)}, false, []int{1}},
		{"the pod of higher priority gets it", []packing.Pod{user("a", 0), user("b", 1)}, false, []int{0}},
		{"a pod without a place leaves it to the next", []packing.Pod{huge, user("b", 0)}, false, []int{0}},
		{"a pod that runs keeps it", []packing.Pod{user("a", 0), user("b", 1)}, true, []int{0, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packing.Problem{Pods: tt.pods, Pools: []packing.Pool{pool("default", listed(false))}}
			if tt.resident {
				node := oldNode("old", zones[0], packing.CapacityOnDemand, 2000, 4096, 20)
				node.Pods = []packing.Pod{user("running", 0)}
				p.Nodes = []packing.Node{node}
			}
			plan := solve(t, &p)
			if len(plan.Unplaced) != len(tt.waits) {
				t.Fatalf("unplaced = %+v, want pods %v", plan.Unplaced, tt.waits)
			}
			for i, u := range plan.Unplaced {
				if u.Pod != tt.waits[i] || u.Message == "" {
					t.Errorf("unplaced = %+v, want pod %d", u, tt.waits[i])
				}
			}
		})
	}
}

func TestPodsThatDifferOnlyByTheirVolumesArePackedTogether(t *testing.T) {
	p := packing.Problem{Pools: []packing.Pool{pool("default", attaching(25))}}
	for i := range 200 {
		pod := makePod(fmt.Sprintf("store-%d", i)).req(500, 1024).selector(corev1.LabelTopologyZone, zones[i%3]).pod()
		pod.Volumes = []packing.Volume{{Driver: ebs, ID: fmt.Sprint(i)}}
		p.Pods = append(p.Pods, pod)
	}
	plan := solve(t, &p)
	if plan.Stats.Classes != 3 {
		t.Errorf("%d classes, want one for each zone", plan.Stats.Classes)
	}
	if plan.Gap > 0.06 || math.IsNaN(plan.Gap) {
		t.Errorf("cost is %.3f above the bound", plan.Gap)
	}
}
