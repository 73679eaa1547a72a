package contest

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/provisioner/packing"
)

func machine(name string, cores int64, offerings ...*cloudprovider.Offering) *cloudprovider.InstanceType {
	return &cloudprovider.InstanceType{
		Name: name, Offerings: offerings, Overhead: &cloudprovider.InstanceTypeOverhead{},
		Capacity: corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewQuantity(cores, resource.DecimalSI), corev1.ResourceMemory: *resource.NewQuantity(cores<<32, resource.BinarySI),
			corev1.ResourcePods: *resource.NewQuantity(100, resource.DecimalSI),
		},
		Requirements: scheduling.NewRequirements(
			scheduling.NewRequirement(corev1.LabelInstanceTypeStable, corev1.NodeSelectorOpIn, name),
			scheduling.NewRequirement(corev1.LabelArchStable, corev1.NodeSelectorOpIn, "amd64"),
			scheduling.NewRequirement(corev1.LabelOSStable, corev1.NodeSelectorOpIn, "linux"),
			scheduling.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, "a", "b"),
			scheduling.NewRequirement(karpv1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, "spot", "on-demand"),
		),
	}
}

func offer(zone, capacityType string, price float64) *cloudprovider.Offering {
	return &cloudprovider.Offering{Available: true, Price: price, Requirements: scheduling.NewLabelRequirements(map[string]string{
		corev1.LabelTopologyZone: zone, karpv1.CapacityTypeLabelKey: capacityType,
	})}
}

func sold(o *cloudprovider.Offering) *cloudprovider.Offering {
	o.Available = false
	return o
}

func pods(n int, cores string, selector map[string]string) []*corev1.Pod {
	out := make([]*corev1.Pod, n)
	for i := range out {
		name := "pod-" + string(rune('a'+i))
		out[i] = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID(name)}}
		out[i].Spec.NodeSelector = selector
		out[i].Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cores)},
		}}}
	}
	return out
}

func input(p []*corev1.Pod, its ...*cloudprovider.InstanceType) *Input {
	np := &karpv1.NodePool{}
	np.Name = "default"
	np.Spec.Template.Spec.NodeClassRef = &karpv1.NodeClassReference{Group: "test.sh", Kind: "Class", Name: "default"}
	return &Input{Pods: p, Pools: []Pool{{NodePool: np, Types: its}}}
}

// compare runs both engines and returns Supercargo's result and Karpenter's.
func compare(t *testing.T, in *Input) (ours, theirs Result) {
	t.Helper()
	results, err := Compare(t.Context(), in, []Engine{Supercargo, Karpenter}, Limits{Runs: 2})
	if err != nil {
		t.Fatal(err)
	}
	return results[0], results[1]
}

func TestKarpentersClaimCostsItsCheapestOfferingThatIsAllowed(t *testing.T) {
	two := func() *cloudprovider.InstanceType {
		return machine("two", 2, sold(offer("a", "spot", 0.01)), offer("b", "spot", 0.04), offer("a", "on-demand", 0.1))
	}
	four := func() *cloudprovider.InstanceType { return machine("four", 4, offer("a", "on-demand", 0.19)) }
	for name, tc := range map[string]struct {
		selector map[string]string
		want     float64
	}{
		"what is sold out does not count":              {nil, 0.04},
		"the pod's capacity type narrows the choice":   {map[string]string{karpv1.CapacityTypeLabelKey: "on-demand"}, 0.1},
		"the pod's zone narrows the choice":            {map[string]string{corev1.LabelTopologyZone: "a"}, 0.1},
		"the pod's instance type leaves one to choose": {map[string]string{corev1.LabelInstanceTypeStable: "four"}, 0.19},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := compare(t, input(pods(1, "1", tc.selector), two(), four()))
			if math.Abs(theirs.CostPerHour-tc.want) > 1e-9 || math.Abs(ours.CostPerHour-tc.want) > 1e-9 {
				t.Errorf("Karpenter's costs %v and Supercargo's %v, want %v of both", theirs.CostPerHour, ours.CostPerHour, tc.want)
			}
			if len(theirs.Violations)+len(ours.Violations) > 0 {
				t.Errorf("violations %v and %v", theirs.Violations, ours.Violations)
			}
		})
	}
}

func TestPodsThatNobodyCanPlaceAreReportedOfBoth(t *testing.T) {
	in := input(append(pods(2, "1", nil), pods(3, "64", nil)[2]), machine("two", 2, offer("a", "spot", 0.04)))
	ours, theirs := compare(t, in)
	if ours.Unplaced != 1 || theirs.Unplaced != 1 {
		t.Errorf("unplaced %d and %d, want the one that no machine holds", ours.Unplaced, theirs.Unplaced)
	}
	if ours.Placed() != 2 || ours.NodesUsed != 1 {
		t.Errorf("placed %d on %d nodes, want 2 on one", ours.Placed(), ours.NodesUsed)
	}
}

func TestBothPayForDaemonSetsOnEveryNode(t *testing.T) {
	in := input(pods(2, "1", nil), machine("two", 2, offer("a", "spot", 0.04)))
	in.Daemons = pods(3, "500m", nil)[2:]
	ours, theirs := compare(t, in)
	if ours.NodesUsed != 2 || theirs.NodesUsed != 2 {
		t.Errorf("%d and %d nodes, want two each: a daemon takes half a core of both", ours.NodesUsed, theirs.NodesUsed)
	}
}

func TestEnginesLeaveTheInputAsItWas(t *testing.T) {
	in := input(pods(5, "1", nil), machine("two", 2, offer("a", "spot", 0.04)))
	in.Daemons = pods(1, "100m", nil)
	before := make([]*corev1.Pod, len(in.Pods))
	for i := range in.Pods {
		before[i] = in.Pods[i].DeepCopy()
	}
	daemon := in.Daemons[0].DeepCopy()
	compare(t, in)
	if diff := cmp.Diff(before, in.Pods); diff != "" {
		t.Errorf("pods (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(daemon, in.Daemons[0]); diff != "" {
		t.Errorf("daemon (-before +after):\n%s", diff)
	}
}

func TestCostLooksPricesUpInsteadOfBelievingThePlan(t *testing.T) {
	problem, err := input(nil, machine("two", 2, offer("a", "spot", 0.04), sold(offer("b", "spot", 0.01)))).problem()
	if err != nil {
		t.Fatal(err)
	}
	node := packing.PlannedNode{Pool: "default", InstanceType: "two", Zone: "a", CapacityType: "spot", Price: 0.001}
	cost, err := Cost(&problem, &packing.Plan{Nodes: []packing.PlannedNode{node, node}, Cost: 0.002})
	if err != nil || math.Abs(cost-0.08) > 1e-12 {
		t.Errorf("got %v, %v, want 0.08", cost, err)
	}
	node.Zone = "b"
	if cost, err := Cost(&problem, &packing.Plan{Nodes: []packing.PlannedNode{node}}); err == nil || !strings.Contains(err.Error(), "not on offer") {
		t.Errorf("a node that is sold out costs %v, %v, want an error", cost, err)
	}
}

func TestPoolsAreTriedByWeightAndThenByName(t *testing.T) {
	var all []Pool
	for name, weight := range map[string]int32{"b": 5, "a": 5, "z": 9} {
		np := &karpv1.NodePool{Spec: karpv1.NodePoolSpec{Weight: &weight}}
		np.Name = name
		all = append(all, Pool{NodePool: np})
	}
	none := &karpv1.NodePool{}
	none.Name = "0"
	var got []string
	for _, p := range byWeight(append(all, Pool{NodePool: none})) {
		got = append(got, p.NodePool.Name)
	}
	if diff := cmp.Diff([]string{"z", "a", "b", "0"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
