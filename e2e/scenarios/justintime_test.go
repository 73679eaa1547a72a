package scenarios

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/e2e/sandbox"
	"supercargo.dev/provisioner/packing"
)

// demand is what a pod of the example asks for.
type demand struct{ milliCPU, memory int64 }

// TestTheJustInTimeExampleNeverCostsMoreThanTheBestNodes is D4 on everything that the cloud sells, at its prices: two pods of
// 1 CPU, 1 GB and one of 1 CPU, 6 GB from zero nodes; then two more of the last; then consolidation. The pods are those of
// supercargo-scheduler: another would place the successors of those that consolidation evicts as it likes.
func TestTheJustInTimeExampleNeverCostsMoreThanTheBestNodes(t *testing.T) {
	w := newWorld(t, realStart, "--price-interval=1000h") // prices stay, so that what is compared is the choice
	w.withoutPreemption()
	w.component(sandbox.Scheduler)
	// Risk and effort have no price here: the bill alone is compared.
	w.withProvisioner(movesCostNothing, "--interruption-cost=0", "--consolidation-min-saving=0", "--consolidation-min-saving-per-hour=0",
		"--consolidation-launch-overlap=1ms")
	w.create(nodePool("default", noConsolidation, anyFamily)...)
	m := w.market()
	small, large := demand{1000, 1e9}, demand{1000, 6e9}

	w.create(deployment("small", 2, "1", "1G", ours), deployment("large", 1, "1", "6G", ours))
	w.eventually("the first pods run", w.allRun(metav1.NamespaceDefault, 3))
	first := m.cheapest(t, small, small, large)
	if cost := w.costPerHour(); cost > first+fees(3) {
		t.Fatalf("the first step costs $%.4f/h, want at most $%.4f/h: %s", cost, first, w.described())
	}

	w.scale("large", 3)
	w.eventually("two more run", w.allRun(metav1.NamespaceDefault, 5))
	second := first + m.cheapest(t, large, large)
	if cost := w.costPerHour(); cost > second+fees(5) {
		t.Fatalf("the second step costs $%.4f/h, want at most $%.4f/h: %s", cost, second, w.described())
	}

	w.change("default", func(np *karpv1.NodePool) {
		np.Spec.Disruption.ConsolidateAfter = karpv1.MustParseNillableDuration("1s")
	})
	best := m.cheapest(t, small, small, large, large, large)
	w.eventually("consolidation reaches the best nodes", func(context.Context) string {
		if cost := w.costPerHour(); cost > best+fees(5) {
			return fmt.Sprintf("$%.4f/h of $%.4f/h: %s", cost, best, w.described())
		}
		return ""
	})
	w.eventually("the pods run on them", w.allRun(metav1.NamespaceDefault, 5))
	w.throughout(5*time.Second, "it stays so", func(context.Context) string {
		if cost := w.costPerHour(); cost > best+fees(5) {
			return fmt.Sprintf("$%.4f/h after $%.4f/h", cost, best)
		}
		return ""
	})
	t.Logf("best: $%.4f/h, $%.4f/h, $%.4f/h; in the end %s", first, second, best, w.described())
}

// fees is what the packer may pay more to have fewer nodes, in USD per hour, for a plan that could have up to n of them.
func fees(n int) float64 { return float64(n) * packing.DefaultNodeFee }

// anyFamily lets a NodePool buy whatever the cloud sells.
func anyFamily(np *karpv1.NodePool) {
	np.Spec.Template.Spec.Requirements = []karpv1.NodeSelectorRequirementWithMinValues{
		{Key: karpv1.CapacityTypeLabelKey, Operator: corev1.NodeSelectorOpIn, Values: []string{sim.Spot, sim.OnDemand}},
	}
}

// offer is the cheapest way to have an instance type.
type offer struct {
	milliCPU, memory, pods int64 // allocatable
	price                  float64
}

// market is what the cloud sells now.
type market []offer

func (w *world) market() market {
	w.t.Helper()
	region, err := w.cloud.Types(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	prices, err := w.cloud.Prices(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var m market
	for i := range region.Types {
		it := &region.Types[i]
		price, ok := prices.OnDemand[it.Name]
		if !ok {
			price = math.Inf(1)
		}
		for _, spot := range prices.Spot[it.Name] {
			price = min(price, spot)
		}
		hardware := catalog.Type{
			Name: it.Name, Arch: it.Arch, VCPU: it.VCPU, MemoryMiB: it.MemoryMiB, GPUs: it.GPUs, ENIs: it.ENIs, IPsPerENI: it.IPsPerENI,
		}
		resources := hardware.Resources(catalog.NodeOptions{})
		left := resources.Allocatable()
		m = append(m, offer{milliCPU: left.Cpu().MilliValue(), memory: left.Memory().Value(), pods: left.Pods().Value(), price: price})
	}
	return m
}

// cheapest is the least that nodes for the pods cost, in USD per hour: every way to divide the pods into sets is tried, each set on
// the cheapest type that holds it.
func (m market) cheapest(t *testing.T, pods ...demand) float64 {
	t.Helper()
	one := make([]float64, 1<<len(pods)) // price of one node for a set
	for set := range one {
		var sum demand
		count := int64(0)
		for i, p := range pods {
			if set&(1<<i) != 0 {
				sum.milliCPU, sum.memory, count = sum.milliCPU+p.milliCPU, sum.memory+p.memory, count+1
			}
		}
		one[set] = math.Inf(1)
		for _, o := range m {
			if sum.milliCPU <= o.milliCPU && sum.memory <= o.memory && count <= o.pods {
				one[set] = min(one[set], o.price)
			}
		}
	}
	best := make([]float64, len(one))
	for set := 1; set < len(best); set++ {
		best[set] = math.Inf(1)
		for part := set; part > 0; part = (part - 1) & set {
			best[set] = min(best[set], one[part]+best[set&^part])
		}
	}
	if price := best[len(best)-1]; !math.IsInf(price, 1) {
		return price
	}
	t.Fatal("the cloud sells nothing that holds the pods")
	return 0
}

// described names the instances that run.
func (w *world) described() string {
	w.t.Helper()
	bill, err := w.cloud.Billing(w.t.Context(), false)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, b := range bill.Instances {
		if b.End == nil {
			out = append(out, fmt.Sprintf("%s %s %s $%.4f/h", b.InstanceType, b.CapacityType, b.Zone, b.USDPerHour))
		}
	}
	return strings.Join(out, ", ")
}
