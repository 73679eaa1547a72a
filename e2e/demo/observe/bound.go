package observe

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/cloudprovider/sim"
	"supercargo.dev/provisioner/packing"
	"supercargo.dev/recommender/demand"
)

// Shelf is what may be bought: the part of a region that a NodePool allows.
type Shelf struct {
	Region                 *sim.Region
	Families, Sizes, Zones []string
}

// LowerBound is what the pods would cost per hour at the least, in USD, on machines of the shelf and nothing that is there already,
// whatever the packing. A node of each costs its share of the DaemonSets.
func LowerBound(ctx context.Context, shelf Shelf, prices *sim.Prices, pods []*corev1.Pod, daemons []*appsv1.DaemonSet) (float64, error) {
	p := packing.Problem{
		Pools: []packing.Pool{shelf.pool(prices)},
		// Only the bound is wanted: no time is spent on a better plan.
		Options: packing.Options{Effort: -1},
	}
	for _, d := range daemons {
		p.DaemonSets = append(p.DaemonSets, &corev1.Pod{ObjectMeta: d.Spec.Template.ObjectMeta, Spec: d.Spec.Template.Spec})
	}
	for _, pod := range pods {
		if ownedBy(pod, "DaemonSet") {
			continue
		}
		waiting := pod.DeepCopy()
		waiting.Spec.NodeName = ""
		waiting.Status.NominatedNodeName = ""
		requests := demand.Enforced(pod)
		delete(requests, corev1.ResourcePods)
		p.Pods = append(p.Pods, packing.Pod{Pod: waiting, Requests: requests, NodeTerms: terms(pod)})
	}
	plan, err := packing.Solve(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("bounding the cost of %d pods, %w", len(p.Pods), err)
	}
	if len(plan.Unplaced) > 0 {
		return 0, fmt.Errorf("bounding the cost of %d pods: %d have no place, such as pod %s: %s", len(p.Pods), len(plan.Unplaced),
			p.Pods[plan.Unplaced[0].Pod].Name, plan.Unplaced[0].Message)
	}
	bound, err := packing.Bound(p, &plan)
	if err != nil {
		return 0, fmt.Errorf("bounding the cost of %d pods, %w", len(p.Pods), err)
	}
	return bound, nil
}

// terms keep a pod off spot where it says so itself.
func terms(pod *corev1.Pod) []corev1.NodeSelectorTerm {
	if !mustNotBeOnSpot(pod) {
		return nil
	}
	return []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{
		Key: karpv1.CapacityTypeLabelKey, Operator: corev1.NodeSelectorOpNotIn, Values: []string{sim.Spot},
	}}}}
}

func (s Shelf) pool(prices *sim.Prices) packing.Pool {
	pool := packing.Pool{Name: "shelf"}
	for i := range s.Region.Types {
		wire := &s.Region.Types[i]
		family, size, _ := strings.Cut(wire.Name, ".")
		if !slices.Contains(s.Families, family) || !slices.Contains(s.Sizes, size) {
			continue
		}
		t := catalog.Type{
			Name: wire.Name, Family: family, Size: size, Arch: wire.Arch, VCPU: wire.VCPU, MemoryMiB: wire.MemoryMiB, GPUs: wire.GPUs,
			ENIs: wire.ENIs, IPsPerENI: wire.IPsPerENI, LocalStorageGB: wire.LocalStorageGB, Hypervisor: wire.Hypervisor, BareMetal: wire.BareMetal,
		}
		resources := t.Resources(catalog.NodeOptions{})
		offered := packing.InstanceType{
			Name: wire.Name, Allocatable: resources.Allocatable(), Capacity: resources.Capacity,
			Labels: map[string]string{
				corev1.LabelInstanceTypeStable: wire.Name, corev1.LabelArchStable: wire.Arch, corev1.LabelOSStable: string(corev1.Linux),
				corev1.LabelTopologyRegion: s.Region.Name, sim.LabelInstanceFamily: family, sim.LabelInstanceSize: size,
				sim.LabelInstanceCPU: strconv.Itoa(wire.VCPU),
			},
		}
		for _, zone := range wire.Zones {
			if !slices.Contains(s.Zones, zone) {
				continue
			}
			for _, capacityType := range wire.CapacityTypes {
				price := prices.OnDemand[wire.Name]
				if capacityType == sim.Spot {
					price = prices.Spot[wire.Name][zone]
				}
				if !(price > 0) { // unknown
					price = math.NaN()
				}
				offered.Offerings = append(offered.Offerings, packing.Offering{Zone: zone, CapacityType: capacityType, Price: price, Available: price > 0})
			}
		}
		pool.Types = append(pool.Types, offered)
	}
	return pool
}
