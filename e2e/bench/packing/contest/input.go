// Package contest lets Supercargo's packing and Karpenter's scheduler solve the same problem in one process, and judges both
// plans by the same code: what they cost, what they leave out, and which rules of kube-scheduler they break.
package contest

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"

	"supercargo.dev/provisioner/packing"
)

// Input is a problem as a cluster states it. Both engines start from it, and neither may change it.
type Input struct {
	// Pods to place; each has a UID of its own.
	Pods []*corev1.Pod
	// Daemons are one pod of each DaemonSet; every node that matches one pays for it.
	Daemons []*corev1.Pod
	// Namespaces maps the name of a namespace to its labels.
	Namespaces map[string]map[string]string
	// Pools to buy from.
	Pools []Pool
	// Seed of Supercargo's search. Karpenter's has none.
	Seed uint64
}

// Pool is a NodePool and what it sells.
type Pool struct {
	NodePool *karpv1.NodePool
	Types    []*cloudprovider.InstanceType
}

// Types counts the instance types that are sold, each once.
func (in *Input) Types() int {
	names := map[string]bool{}
	for _, p := range in.Pools {
		for _, it := range p.Types {
			names[it.Name] = true
		}
	}
	return len(names)
}

// Register makes the labels of the instance types well known to Karpenter, as a cloud provider does in its init function: it
// takes other labels for ones that no new node can have. Call it before anything is solved.
func (in *Input) Register() {
	for _, p := range in.Pools {
		for _, it := range p.Types {
			for key := range it.Requirements {
				karpv1.WellKnownLabels.Insert(key)
			}
			for _, o := range it.Offerings {
				for key := range o.Requirements {
					karpv1.WellKnownLabels.Insert(key)
				}
			}
		}
	}
}

// problem is the input in the terms of packing.
func (in *Input) problem() (packing.Problem, error) {
	p := packing.Problem{
		Pods: make([]packing.Pod, len(in.Pods)), DaemonSets: in.Daemons, Namespaces: in.Namespaces,
		Options: packing.Options{Seed: in.Seed},
	}
	for i, pod := range in.Pods {
		p.Pods[i].Pod = pod
	}
	for _, pool := range in.Pools {
		converted, err := convert(pool)
		if err != nil {
			return packing.Problem{}, err
		}
		p.Pools = append(p.Pools, converted)
	}
	return p, nil
}

// convert puts a NodePool and its types into the terms of packing.
func convert(pool Pool) (packing.Pool, error) {
	np, template := pool.NodePool, pool.NodePool.Spec.Template
	if template.Spec.NodeClassRef == nil {
		return packing.Pool{}, fmt.Errorf("nodepool %q has no nodeClassRef", np.Name)
	}
	p := packing.Pool{
		Name: np.Name, Taints: template.Spec.Taints, StartupTaints: template.Spec.StartupTaints, Limits: corev1.ResourceList(np.Spec.Limits),
		Labels: map[string]string{
			karpv1.NodePoolLabelKey: np.Name,
			karpv1.NodeClassLabelKey(template.Spec.NodeClassRef.GroupKind()): template.Spec.NodeClassRef.Name,
		},
		Types: make([]packing.InstanceType, 0, len(pool.Types)),
	}
	if np.Spec.Weight != nil {
		p.Weight = *np.Spec.Weight
	}
	for k, v := range template.Labels {
		p.Labels[k] = v
	}
	for _, r := range template.Spec.Requirements {
		p.Requirements = append(p.Requirements, packing.Requirement{Key: r.Key, Operator: r.Operator, Values: r.Values, MinValues: r.MinValues})
	}
	for _, it := range pool.Types {
		p.Types = append(p.Types, convertType(it))
	}
	return p, nil
}

func convertType(it *cloudprovider.InstanceType) packing.InstanceType {
	t := packing.InstanceType{
		Name: it.Name, Labels: singleValues(it.Requirements), Allocatable: it.Allocatable(), Capacity: it.Capacity,
		Offerings: make([]packing.Offering, 0, len(it.Offerings)),
	}
	for _, o := range it.Offerings {
		labels := singleValues(o.Requirements)
		offering := packing.Offering{
			Zone: labels[corev1.LabelTopologyZone], CapacityType: labels[karpv1.CapacityTypeLabelKey],
			Price: o.Price, Available: o.Available, Labels: labels,
		}
		delete(labels, corev1.LabelTopologyZone)
		delete(labels, karpv1.CapacityTypeLabelKey)
		t.Offerings = append(t.Offerings, offering)
	}
	return t
}

// singleValues are the requirements that allow one value. A type with one offering has a single zone that is the offering's.
func singleValues(reqs scheduling.Requirements) map[string]string {
	labels := make(map[string]string, len(reqs))
	for key, r := range reqs {
		if r.Operator() == corev1.NodeSelectorOpIn && r.Len() == 1 {
			labels[key] = r.Any()
		}
	}
	return labels
}

// byWeight orders pools as Karpenter's provisioner hands them to its scheduler: higher weight first, then by name.
func byWeight(pools []Pool) []Pool {
	out := slices.Clone(pools)
	weight := func(p Pool) int32 {
		if p.NodePool.Spec.Weight == nil {
			return 0
		}
		return *p.NodePool.Spec.Weight
	}
	slices.SortFunc(out, func(a, b Pool) int {
		if d := weight(b) - weight(a); d != 0 {
			return int(d)
		}
		if a.NodePool.Name < b.NodePool.Name {
			return -1
		}
		return 1
	})
	return out
}
