package mix

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/e2e/bench/packing/contest"
)

// Region and Zones that the real types are bought in: the three that offer the most types.
const Region = "us-east-1"

func zones() []string { return []string{"us-east-1a", "us-east-1b", "us-east-1d"} }

// Market says what a NodePool may buy.
type Market struct {
	// Spot adds spot offerings at the average price of the catalog, the same in each zone.
	Spot bool
	// GPUs adds the types of families g and p with NVIDIA accelerators.
	GPUs bool
}

// RealTypes are the c, m and r types of AWS, of the third and later generations, without bare metal and flex types, with
// the resources, prices and zones that the embedded catalog knows.
func RealTypes(m Market) ([]*cloudprovider.InstanceType, error) {
	region, err := catalog.Load(Region)
	if err != nil {
		return nil, fmt.Errorf("loading instance types, %w", err)
	}
	var out []*cloudprovider.InstanceType
	for i := range region.Types {
		t := &region.Types[i]
		if math.IsNaN(t.OnDemand) || t.BareMetal || !sold(t, m.GPUs) {
			continue
		}
		if it := realType(t, m.Spot); len(it.Offerings) > 0 {
			out = append(out, it)
		}
	}
	return out, nil
}

// sold says whether a family is one letter and a generation, and of those that are bought.
func sold(t *catalog.Type, gpus bool) bool {
	if len(t.Family) < 2 {
		return false
	}
	second := t.Family[1]
	if second < '0' || second > '9' || strings.HasSuffix(t.Family, "-flex") {
		return false
	}
	switch t.Family[0] {
	case 'c', 'm', 'r':
		return second >= '3' && t.GPUs.Count == 0
	case 'g', 'p':
		return gpus && t.GPUs.ResourceName() == "nvidia.com/gpu"
	}
	return false
}

func realType(t *catalog.Type, spot bool) *cloudprovider.InstanceType {
	resources := t.Resources(catalog.NodeOptions{})
	it := &cloudprovider.InstanceType{
		Name: t.Name, Capacity: resources.Capacity,
		Overhead: &cloudprovider.InstanceTypeOverhead{KubeReserved: resources.KubeReserved, EvictionThreshold: resources.EvictionThreshold},
	}
	capacityTypes := []string{karpv1.CapacityTypeOnDemand}
	spot = spot && t.Spot.Known()
	if spot {
		capacityTypes = append(capacityTypes, karpv1.CapacityTypeSpot)
	}
	var where []string
	for _, zone := range zones() {
		if !slices.Contains(t.Zones, zone) {
			continue
		}
		where = append(where, zone)
		it.Offerings = append(it.Offerings, Offering(zone, karpv1.CapacityTypeOnDemand, t.OnDemand))
		if spot {
			it.Offerings = append(it.Offerings, Offering(zone, karpv1.CapacityTypeSpot, t.Spot.Avg))
		}
	}
	it.Requirements = scheduling.NewLabelRequirements(map[string]string{
		corev1.LabelInstanceTypeStable: t.Name, corev1.LabelArchStable: t.Arch, corev1.LabelOSStable: string(corev1.Linux),
		corev1.LabelTopologyRegion:              Region,
		"karpenter.k8s.aws/instance-category":   t.Family[:1],
		"karpenter.k8s.aws/instance-family":     t.Family,
		"karpenter.k8s.aws/instance-generation": t.Family[1:2],
		"karpenter.k8s.aws/instance-size":       t.Size,
		"karpenter.k8s.aws/instance-cpu":        strconv.Itoa(t.VCPU),
		"karpenter.k8s.aws/instance-memory":     strconv.Itoa(t.MemoryMiB),
	})
	it.Requirements.Add(
		scheduling.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, where...),
		scheduling.NewRequirement(karpv1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, capacityTypes...),
	)
	return it
}

// Offering is a way to buy a type that is to be had.
func Offering(zone, capacityType string, usd float64) *cloudprovider.Offering {
	return &cloudprovider.Offering{
		Available: true, Price: usd,
		Requirements: scheduling.NewLabelRequirements(map[string]string{corev1.LabelTopologyZone: zone, karpv1.CapacityTypeLabelKey: capacityType}),
	}
}

// Real is a realistic mix on real types: deployments of mostly small services, some heavy on memory, three tenths spread over
// zones, a tenth apart by host for their first 20 replicas, a tenth spread over hosts with a skew of 2, and two daemonsets.
func Real(n int, seed uint64, m Market) (*contest.Input, error) {
	types, err := RealTypes(m)
	if err != nil {
		return nil, err
	}
	return &contest.Input{
		Pods: Deployments(n, seed), Daemons: Daemons(), Seed: seed,
		Pools: []contest.Pool{{NodePool: NodePool("default"), Types: types}},
	}, nil
}

// Deployments are the n pods of Real.
func Deployments(n int, seed uint64) []*corev1.Pod {
	r := rand.New(rand.NewPCG(seed, 2))
	cpus := []int64{50, 100, 150, 250, 300, 500, 750, 1000, 1500, 2000, 4000}
	ratios := []int64{1, 2, 2, 3, 4, 4, 6, 8} // GiB per core
	var pods []*corev1.Pod
	for d := 0; len(pods) < n; d++ {
		cpu := cpus[min(len(cpus)-1, int(float64(len(cpus))*r.Float64()*r.Float64()*1.3))]
		memory := max(64, cpu*ratios[r.IntN(len(ratios))]*1024/1000/16*16)
		replicas, kind := 1+r.IntN(max(2, n/50)), r.IntN(10)
		app := map[string]string{"app": named("app", d)}
		for i := 0; i < replicas && len(pods) < n; i++ {
			p := newPod(named(app["app"], i), cpu, memory).label("app", app["app"])
			switch {
			case kind < 3:
				p.spread(corev1.LabelTopologyZone, 1, app)
			case kind == 3 && i < 20:
				p.apart(corev1.LabelHostname, app)
			case kind == 4:
				p.spread(corev1.LabelHostname, 2, app)
			}
			pods = append(pods, p.Pod)
		}
	}
	return pods
}
