package sim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	karpenter "sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider"
	"supercargo.dev/cloudprovider/catalog"
)

// builtTypes are the instance types of a node class, and what they were built from.
type builtTypes struct {
	generation  int64
	region      *Region
	prices      *Prices
	unavailable int
	types       karpenter.InstanceTypes
}

// GetInstanceTypes describes every instance type that the pool's node class allows, with an offering per zone and
// capacity type. The types are shared between callers and must not be changed.
//
// An offering is available unless it lately had no capacity, or has no known price. Its price is then NaN, not 0:
// Karpenter's own code compares prices with < only, so that nothing is led by a price that nobody knows.
//
// A node class that does not exist has no types and is no error, as Karpenter expects.
func (c *CloudProvider) GetInstanceTypes(ctx context.Context, pool *karpv1.NodePool) ([]*karpenter.InstanceType, error) {
	ref := pool.Spec.Template.Spec.NodeClassRef
	if ref == nil {
		return nil, nil
	}
	class, err := c.nodeClass(ctx, ref.Name)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("resolving node class, %w", err)
	}
	return c.instanceTypes(ctx, class)
}

// instanceTypes builds the types of a node class, or returns those built before while nothing they depend on changed.
func (c *CloudProvider) instanceTypes(ctx context.Context, class *v1alpha1.SimNodeClass) (karpenter.InstanceTypes, error) {
	region, err := c.region.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("describing the region, %w", err)
	}
	list := c.list(ctx)
	prices, err := c.prices.get(ctx)
	if err != nil {
		prices = &Prices{} // list prices remain
	}
	gone, version := c.unavailable.snapshot()

	c.mu.Lock()
	defer c.mu.Unlock()
	built := c.built[class.UID]
	if built == nil || built.generation != class.Generation || built.region != region || built.prices != prices || built.unavailable != version {
		b := builder{class: class, region: region, prices: prices, list: list, gone: gone, zones: zoneRequirements(region)}
		built = &builtTypes{generation: class.Generation, region: region, prices: prices, unavailable: version, types: b.build()}
		c.built[class.UID] = built
	}
	return slices.Clone(built.types), nil
}

// forget drops what was built for a node class.
func (c *CloudProvider) forget(class *v1alpha1.SimNodeClass) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.built, class.UID)
}

// builder makes Karpenter's instance types of the cloud's.
type builder struct {
	class  *v1alpha1.SimNodeClass
	region *Region
	prices *Prices
	list   *catalog.Region
	gone   map[cloudprovider.Offering]bool
	// zones are the requirements of single zones, shared by the offerings, of which there are thousands.
	zones map[string]*scheduling.Requirement
}

func zoneRequirements(r *Region) map[string]*scheduling.Requirement {
	all := make(map[string]*scheduling.Requirement, len(r.Zones))
	for _, z := range r.Zones {
		all[z] = in(corev1.LabelTopologyZone, z)
	}
	return all
}

func (b *builder) build() karpenter.InstanceTypes {
	capacity := map[string]*scheduling.Requirement{Spot: in(karpv1.CapacityTypeLabelKey, Spot), OnDemand: in(karpv1.CapacityTypeLabelKey, OnDemand)}
	options := catalog.NodeOptions{}
	if b.class.Spec.MaxPods != nil {
		options.MaxPods = int(*b.class.Spec.MaxPods)
	}
	if b.class.Spec.EphemeralStorage != nil {
		options.EphemeralStorage = b.class.Spec.EphemeralStorage.Value()
	}
	all := make(karpenter.InstanceTypes, 0, len(b.region.Types))
	for i := range b.region.Types {
		wire := &b.region.Types[i]
		t := wire.catalogType()
		zones := intersect(wire.Zones, b.class.Spec.Zones)
		if len(zones) == 0 || !matches(b.class.Spec.InstanceFamilies, t.Family) {
			continue
		}
		resources := t.Resources(options)
		it := &karpenter.InstanceType{
			Name:         t.Name,
			Requirements: b.requirements(&t, zones, wire.CapacityTypes),
			Capacity:     resources.Capacity,
			Overhead:     &karpenter.InstanceTypeOverhead{KubeReserved: resources.KubeReserved, EvictionThreshold: resources.EvictionThreshold},
			Offerings:    make(karpenter.Offerings, 0, len(zones)*len(wire.CapacityTypes)),
		}
		for _, zone := range zones {
			for _, capacityType := range wire.CapacityTypes {
				o := cloudprovider.Offering{InstanceType: t.Name, Zone: zone, CapacityType: capacityType}
				price, known := priceOf(b.prices, b.list, o)
				if !known {
					price.USDPerHour = math.NaN()
				}
				it.Offerings = append(it.Offerings, &karpenter.Offering{
					Requirements: scheduling.Requirements{corev1.LabelTopologyZone: b.zones[zone], karpv1.CapacityTypeLabelKey: capacity[capacityType]},
					Price:        price.USDPerHour,
					Available:    known && !b.gone[o],
				})
			}
		}
		all = append(all, it)
	}
	return all
}

func (b *builder) requirements(t *catalog.Type, zones, capacityTypes []string) scheduling.Requirements {
	r := scheduling.NewRequirements(
		in(corev1.LabelInstanceTypeStable, t.Name),
		in(corev1.LabelArchStable, t.Arch),
		in(corev1.LabelOSStable, string(corev1.Linux)),
		in(corev1.LabelTopologyZone, zones...),
		in(corev1.LabelTopologyRegion, b.region.Name),
		in(karpv1.CapacityTypeLabelKey, capacityTypes...),
		scheduling.NewRequirement(corev1.LabelWindowsBuild, corev1.NodeSelectorOpDoesNotExist),
		scheduling.NewRequirement(LabelInstanceGPUName, corev1.NodeSelectorOpDoesNotExist),
		scheduling.NewRequirement(LabelInstanceGPUCount, corev1.NodeSelectorOpDoesNotExist),
	)
	for key, value := range hardwareLabels(t) {
		r[key] = in(key, value) // replaces what does not exist
	}
	return r
}

func in(key string, values ...string) *scheduling.Requirement {
	return scheduling.NewRequirement(key, corev1.NodeSelectorOpIn, values...)
}

// intersect keeps the values that are allowed; an empty list allows all.
func intersect(values, allowed []string) []string {
	if len(allowed) == 0 {
		return values
	}
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !slices.Contains(allowed, v) })
}

// catalogType is the type in the form whose resources can be computed.
func (t *InstanceType) catalogType() catalog.Type {
	c := catalog.Type{
		Name: t.Name, Arch: t.Arch, VCPU: t.VCPU, MemoryMiB: t.MemoryMiB, GPUs: t.GPUs, ENIs: t.ENIs, IPsPerENI: t.IPsPerENI,
		LocalStorageGB: t.LocalStorageGB, NetworkMbps: t.NetworkMbps, Hypervisor: t.Hypervisor, BareMetal: t.BareMetal, Zones: t.Zones,
	}
	c.Family, c.Size, _ = strings.Cut(t.Name, ".")
	return c
}
