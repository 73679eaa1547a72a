package karpenter

import (
	"context"
	"fmt"
	"math"
	"sort"

	"github.com/awslabs/operatorpkg/status"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	nodepoolutils "sigs.k8s.io/karpenter/pkg/utils/nodepool"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	ourcloud "supercargo.dev/cloudprovider"
	"supercargo.dev/provisioner/packing"
)

// pools holds the NodePools that may be bought from, and what they sell.
type pools struct {
	byName map[string]*karpv1.NodePool
	types  map[string]map[string]*cloudprovider.InstanceType
	sold   []packing.Pool
}

// pools lists the NodePools that are ready, in order of weight and name, with their types. A pool whose types cannot be had
// is left out and logged: the others must not wait for it.
func (m *Machinery) pools(ctx context.Context, unlaunched []*karpv1.NodeClaim) (pools, error) {
	out := pools{byName: map[string]*karpv1.NodePool{}, types: map[string]map[string]*cloudprovider.InstanceType{}}
	nodePools, err := nodepoolutils.ListManaged(ctx, m.cfg.Client, m.cfg.CloudProvider)
	if err != nil {
		return pools{}, fmt.Errorf("listing nodepools, %w", err)
	}
	sort.Slice(nodePools, func(i, j int) bool { return nodePools[i].Name < nodePools[j].Name })
	nodepoolutils.OrderByWeight(nodePools)
	for _, np := range nodePools {
		types, err := m.cfg.CloudProvider.GetInstanceTypes(ctx, np)
		if err != nil {
			if ctx.Err() != nil {
				return pools{}, fmt.Errorf("getting instance types of nodepool %q, %w", np.Name, err)
			}
			log.FromContext(ctx).Error(err, "leaving out nodepool, its instance types cannot be had", "NodePool", np.Name)
			continue
		}
		out.byName[np.Name] = np
		out.types[np.Name] = map[string]*cloudprovider.InstanceType{}
		for _, it := range types {
			out.types[np.Name][it.Name] = it
		}
		if !np.DeletionTimestamp.IsZero() || nodepoolutils.IsStatic(np) || !np.StatusConditions().IsTrue(status.ConditionReady) {
			continue
		}
		out.sold = append(out.sold, m.pool(ctx, np, types, unlaunched))
	}
	return out, nil
}

// pool is a NodePool in the terms of packing. Its limits are what is left after nodes, claims and claims in flight.
func (m *Machinery) pool(ctx context.Context, np *karpv1.NodePool, types []*cloudprovider.InstanceType, unlaunched []*karpv1.NodeClaim) packing.Pool {
	template := np.Spec.Template
	p := packing.Pool{
		Name:          np.Name,
		Taints:        template.Spec.Taints,
		StartupTaints: template.Spec.StartupTaints,
		Labels:        map[string]string{karpv1.NodePoolLabelKey: np.Name},
		Types:         make([]packing.InstanceType, 0, len(types)),
	}
	if np.Spec.Weight != nil {
		p.Weight = *np.Spec.Weight
	}
	for k, v := range template.Labels {
		p.Labels[k] = v
	}
	if ref := template.Spec.NodeClassRef; ref != nil {
		p.Labels[karpv1.NodeClassLabelKey(ref.GroupKind())] = ref.Name
	}
	for _, r := range template.Spec.Requirements {
		p.Requirements = append(p.Requirements, packing.Requirement{Key: r.Key, Operator: r.Operator, Values: r.Values, MinValues: r.MinValues})
	}
	now := m.cfg.Clock.Now()
	for _, it := range types {
		t := m.instanceType(ctx, it)
		m.comebacks.Observe(now, &t)
		p.Types = append(p.Types, t)
	}
	if np.Spec.Limits != nil {
		p.Limits = resources.Subtract(corev1.ResourceList(np.Spec.Limits), m.cluster.NodePoolResourcesFor(np.Name))
		for _, nc := range unlaunched {
			if nc.Labels[karpv1.NodePoolLabelKey] == np.Name {
				p.Limits = resources.Subtract(p.Limits, plannedCapacity(nc, types))
			}
		}
		// Subtract keeps keys of the right side that the left side lacks; only what the user limited is a limit.
		for name := range p.Limits {
			if _, limited := np.Spec.Limits[name]; !limited {
				delete(p.Limits, name)
			}
		}
	}
	return p
}

// instanceType is a Karpenter instance type in the terms of packing. A requirement with one value is a label; one with
// several is decided by the offering.
func (m *Machinery) instanceType(ctx context.Context, it *cloudprovider.InstanceType) packing.InstanceType {
	t := packing.InstanceType{
		Name:        it.Name,
		Labels:      singleValues(it.Requirements),
		Allocatable: attachLimits(it.Allocatable()),
		Capacity:    it.Capacity,
		Offerings:   make([]packing.Offering, 0, len(it.Offerings)),
	}
	for _, o := range it.Offerings {
		labels := singleValues(o.Requirements)
		zone, capacityType := labels[corev1.LabelTopologyZone], labels[karpv1.CapacityTypeLabelKey]
		delete(labels, corev1.LabelTopologyZone)
		delete(labels, karpv1.CapacityTypeLabelKey)
		offering := packing.Offering{
			Zone: zone, CapacityType: capacityType, Labels: labels, Available: o.Available, Price: price(o.Price),
		}
		if risk, ok := m.cfg.Market.Risk(ctx, ourcloud.Offering{InstanceType: it.Name, Zone: zone, CapacityType: capacityType}); ok {
			offering.Risk = risk
		}
		t.Offerings = append(t.Offerings, offering)
	}
	return t
}

func singleValues(reqs karpsched.Requirements) map[string]string {
	labels := make(map[string]string, len(reqs))
	for key, r := range reqs {
		if r.Operator() == corev1.NodeSelectorOpIn && r.Len() == 1 {
			labels[key] = r.Any()
		}
	}
	return labels
}

// price in USD per hour. A price of zero or less means that the provider does not know it: it must not look free.
func price(p float64) float64 {
	if p <= 0 || math.IsInf(p, 0) {
		return math.NaN()
	}
	return p
}
