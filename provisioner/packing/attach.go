package packing

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Attachments collects how many volumes nodes attach, and what is attached to them, to
// write it on a problem. The zero value is ready for use.
type Attachments struct {
	limits   map[string]map[string]int64 // node → driver
	types    map[string]map[string]int64 // instance type → driver, the least of its nodes
	attached map[string][]Volume
}

// Limit says how many volumes of a CSI driver a node attaches. instanceType is the
// node's, empty when unknown: further nodes of the type will attach as many.
func (a *Attachments) Limit(node, instanceType, driver string, count int64) {
	if a.limits == nil {
		a.limits, a.types = map[string]map[string]int64{}, map[string]map[string]int64{}
	}
	if a.limits[node] == nil {
		a.limits[node] = map[string]int64{}
	}
	a.limits[node][driver] = count
	if instanceType == "" {
		return
	}
	if a.types[instanceType] == nil {
		a.types[instanceType] = map[string]int64{}
	}
	if least, known := a.types[instanceType][driver]; !known || count < least {
		a.types[instanceType][driver] = count
	}
}

// Attach says that a volume is attached to a node, whether a pod there uses it or not.
func (a *Attachments) Attach(node string, v Volume) {
	if a.attached == nil {
		a.attached = map[string][]Volume{}
	}
	a.attached[node] = append(a.attached[node], v)
}

// Apply writes the limits and what is attached on the nodes and instance types of a
// problem. Limits that they state already stay. A node whose drivers have not registered
// yet is thought to attach what others of its type do. Resource lists and slices of types
// that are changed are copied first.
func (a *Attachments) Apply(p *Problem) {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		limits, ok := a.limits[n.Name]
		if !ok {
			limits = a.types[n.Labels[corev1.LabelInstanceTypeStable]]
		}
		n.Allocatable = WithAttachLimits(n.Allocatable, limits)
		n.Attached = append(n.Attached, a.stray(n)...)
	}
	if len(a.types) == 0 {
		return
	}
	for i := range p.Pools {
		pool := &p.Pools[i]
		pool.Types = slices.Clone(pool.Types)
		for k := range pool.Types {
			pool.Types[k].Allocatable = WithAttachLimits(pool.Types[k].Allocatable, a.types[pool.Types[k].Name])
		}
	}
}

// stray are the volumes attached to a node that none of its pods uses.
func (a *Attachments) stray(n *Node) []Volume {
	if len(a.attached[n.Name]) == 0 {
		return nil
	}
	used := map[volumeKey]bool{}
	for i := range n.Pods {
		for k := range n.Pods[i].Volumes {
			used[n.Pods[i].Volumes[k].key()] = true
		}
	}
	var out []Volume
	for _, v := range a.attached[n.Name] {
		if !used[v.key()] {
			out = append(out, v)
		}
	}
	return out
}

// WithAttachLimits adds attach limits by driver to a list of resources, but for those that
// it states already. The list itself is left alone.
func WithAttachLimits(list corev1.ResourceList, limits map[string]int64) corev1.ResourceList {
	var out corev1.ResourceList
	for driver, n := range limits {
		name := AttachableVolumes(driver)
		if _, stated := list[name]; stated {
			continue
		}
		if out == nil {
			if out = maps.Clone(list); out == nil {
				out = corev1.ResourceList{}
			}
		}
		out[name] = *resource.NewQuantity(n, resource.DecimalSI)
	}
	if out == nil {
		return list
	}
	return out
}
