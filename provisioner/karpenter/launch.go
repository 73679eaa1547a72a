package karpenter

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	karpprovisioning "sigs.k8s.io/karpenter/pkg/controllers/provisioning"
	"sigs.k8s.io/karpenter/pkg/controllers/provisioning/scheduling"
	karpsched "sigs.k8s.io/karpenter/pkg/scheduling"
	"sigs.k8s.io/karpenter/pkg/utils/resources"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/provisioner/packing"
)

// PlannedAnnotation on a NodeClaim holds the offering that the plan chose, as type/zone/capacity type. It says what a claim
// will be before the cloud has answered, also to a process that did not make the plan.
const PlannedAnnotation = v1alpha1.GroupName + "/planned-offering"

// Launch creates the NodeClaim of a planned node and returns its name. Pods are the pods planned on it.
//
// The claim names every alternative, so that the cloud can fall back within one call.
func (m *Machinery) Launch(ctx context.Context, s *Snapshot, node packing.PlannedNode, pods []*corev1.Pod) (string, error) {
	claim, err := s.nodeClaim(node, pods)
	if err != nil {
		return "", err
	}
	names, err := m.provisioner.CreateNodeClaims(ctx, []*scheduling.NodeClaim{claim}, karpprovisioning.WithReason("provisioned"))
	if err != nil {
		return "", fmt.Errorf("launching nodeclaim, %w", err)
	}
	planned := claim.ToNodeClaim()
	planned.Name = names[0]
	m.launched.add(planned)
	return names[0], nil
}

// nodeClaim is a planned node as Karpenter launches it.
func (s *Snapshot) nodeClaim(node packing.PlannedNode, pods []*corev1.Pod) (*scheduling.NodeClaim, error) {
	np, ok := s.pools.byName[node.Pool]
	if !ok {
		return nil, fmt.Errorf("launching nodeclaim, nodepool %q is gone", node.Pool)
	}
	types, zones, capacityTypes := alternatives(node)
	template := scheduling.NewNodeClaimTemplate(np)
	for _, name := range types {
		if it, ok := s.pools.types[node.Pool][name]; ok {
			template.InstanceTypeOptions = append(template.InstanceTypeOptions, it)
		}
	}
	if len(template.InstanceTypeOptions) == 0 {
		return nil, fmt.Errorf("launching nodeclaim, nodepool %q no longer sells any of %s", node.Pool, strings.Join(types, ", "))
	}
	// Labels that the plan chose where the pool leaves them open, such as a custom spread key, become requirements. Labels of
	// the type and of the zone are decided by the lists above.
	for key, value := range node.Labels {
		if _, open := openRequirement(np, key); open {
			template.Requirements.Add(karpsched.NewRequirement(key, corev1.NodeSelectorOpIn, value))
		}
	}
	template.Requirements.Add(
		karpsched.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, zones...),
		karpsched.NewRequirement(karpv1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, capacityTypes...),
	)
	template.Spec.Resources.Requests = node.Requests
	template.Annotations = lo.Assign(template.Annotations, map[string]string{
		PlannedAnnotation: strings.Join([]string{node.InstanceType, node.Zone, node.CapacityType}, "/"),
	})
	if waiting := unbound(pods); len(waiting) > 0 {
		template.Annotations[v1alpha1.PlannedPodsAnnotation] = strings.Join(waiting, ",")
	}
	return &scheduling.NodeClaim{NodeClaimTemplate: *template, Pods: pods}, nil
}

// unbound are the UIDs of the pods that wait for a node. Those that run elsewhere will have successors that nobody knows yet.
func unbound(pods []*corev1.Pod) []string {
	var out []string
	for _, p := range pods {
		if p.Spec.NodeName == "" && p.UID != "" && !isVirtual(p) {
			out = append(out, string(p.UID))
		}
	}
	return out
}

// openRequirement finds a requirement of the pool that leaves a label of the user's own open.
func openRequirement(np *karpv1.NodePool, key string) (karpv1.NodeSelectorRequirementWithMinValues, bool) {
	if karpv1.WellKnownLabels.Has(key) {
		return karpv1.NodeSelectorRequirementWithMinValues{}, false
	}
	return lo.Find(np.Spec.Template.Spec.Requirements, func(r karpv1.NodeSelectorRequirementWithMinValues) bool { return r.Key == key })
}

// alternatives lists the types, zones and capacity types of a planned node, each once, the chosen one first. NodeClaims hold
// sets and not lists of offerings, so the cloud may also combine them; every combination holds the pods, because the types
// do and because packing keeps the zone or capacity type fixed where a rule depends on it.
func alternatives(node packing.PlannedNode) (types, zones, capacityTypes []string) {
	types, zones, capacityTypes = []string{node.InstanceType}, []string{node.Zone}, []string{node.CapacityType}
	for _, a := range node.Alternatives {
		types, zones, capacityTypes = append(types, a.InstanceType), append(zones, a.Zone), append(capacityTypes, a.CapacityType)
	}
	return lo.Uniq(types), lo.Uniq(zones), lo.Uniq(capacityTypes)
}

// planned reads what a claim that the cloud has not answered yet will be.
func planned(nc *karpv1.NodeClaim) (instanceType, zone, capacityType string, ok bool) {
	parts := strings.Split(nc.Annotations[PlannedAnnotation], "/")
	if len(parts) != 3 {
		return "", "", "", false
	}
	return parts[0], parts[1], parts[2], true
}

// plannedCapacity is what a claim that the cloud has not answered yet will count against its pool's limits: the capacity of
// the planned type, or where that is not known, what its pods request.
func plannedCapacity(nc *karpv1.NodeClaim, types []*cloudprovider.InstanceType) corev1.ResourceList {
	node := corev1.ResourceList{resources.Node: *oneNode()}
	if name, _, _, ok := planned(nc); ok {
		if it, found := lo.Find(types, func(it *cloudprovider.InstanceType) bool { return it.Name == name }); found {
			return resources.Merge(it.Capacity, node)
		}
	}
	return resources.Merge(nc.Spec.Resources.Requests, node)
}

// launches remembers claims from their creation until the cache shows them: the cache may lag, and a claim that is not seen
// would be bought twice.
type launches struct {
	mu     *sync.Mutex
	claims map[string]*karpv1.NodeClaim
}

func newLaunches() launches {
	return launches{mu: &sync.Mutex{}, claims: map[string]*karpv1.NodeClaim{}}
}

func (l launches) add(nc *karpv1.NodeClaim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claims[nc.Name] = nc
}

// unseen returns the claims that are neither listed nor gone, by name, and forgets the others.
func (l launches) unseen(listed map[string]bool, exists func(name string) bool) []*karpv1.NodeClaim {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*karpv1.NodeClaim
	for name, nc := range l.claims {
		if listed[name] || !exists(name) {
			delete(l.claims, name)
			continue
		}
		out = append(out, nc)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
