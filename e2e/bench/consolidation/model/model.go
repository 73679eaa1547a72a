// Package model is the cluster that every engine is given, and the one place that says what its commands change: who runs
// where, what the nodes cost, and how many pods were moved. It decides nothing.
package model

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"

	"supercargo.dev/provisioner/packing"
)

// Cluster is nodes of one pool with the pods on them. Pods are never written to and are shared between clones; where a pod
// runs is said by the node that lists it, not by its spec.
type Cluster struct {
	// Pool is what nodes were bought from and may be bought from.
	Pool packing.Pool
	// DaemonSets holds one template per DaemonSet; every node runs one pod of each.
	DaemonSets []*corev1.Pod

	nodes map[string]*Node
	seq   int
}

// Node is a running node.
type Node struct {
	Name, InstanceType, Zone, CapacityType string
	// Price in USD per hour.
	Price float64
	// Labels as the node carries them.
	Labels map[string]string
	// Pods without those of daemonsets.
	Pods []*corev1.Pod
	// Daemons are the pods of daemonsets.
	Daemons []*corev1.Pod
}

// Launch is a node to buy.
type Launch struct {
	InstanceType, Zone, CapacityType string
	// Labels beyond those of the type and the offering.
	Labels map[string]string
	Pods   []*corev1.Pod
}

// Binding puts a pod on a node that stays.
type Binding struct {
	Pod  *corev1.Pod
	Node string
}

// Command removes nodes, buys others, and says where each pod goes.
type Command struct {
	Remove []string
	Launch []Launch
	Bind   []Binding
	// Order in which the displaced pods can be put in their places; any, when it is empty.
	Order []*corev1.Pod
}

// Change is what a command came to.
type Change struct {
	// Moved counts pods that had to move; those of daemonsets go with their node and do not count.
	Moved int
	// Saved in USD per hour.
	Saved float64
	// Removed and Added are the nodes that went and came.
	Removed, Added []*Node
}

// New makes a cluster without nodes.
func New(pool packing.Pool, daemonSets []*corev1.Pod) *Cluster {
	return &Cluster{Pool: pool, DaemonSets: daemonSets, nodes: map[string]*Node{}}
}

// Clone copies the cluster; pods are shared.
func (c *Cluster) Clone() *Cluster {
	out := *c
	out.nodes = make(map[string]*Node, len(c.nodes))
	for name, n := range c.nodes {
		m := *n
		m.Pods = slices.Clone(n.Pods)
		out.nodes[name] = &m
	}
	return &out
}

// Nodes lists the nodes by name.
func (c *Cluster) Nodes() []*Node {
	out := make([]*Node, 0, len(c.nodes))
	for _, name := range slices.Sorted(maps.Keys(c.nodes)) {
		out = append(out, c.nodes[name])
	}
	return out
}

// Node returns a node, or nil.
func (c *Cluster) Node(name string) *Node { return c.nodes[name] }

// Pods lists all pods but those of daemonsets, by node.
func (c *Cluster) Pods() []*corev1.Pod {
	var out []*corev1.Pod
	for _, n := range c.Nodes() {
		out = append(out, n.Pods...)
	}
	return out
}

// Cost of all nodes in USD per hour.
func (c *Cluster) Cost() float64 {
	usd := 0.0
	for _, n := range c.Nodes() { // in order, so that the sum is the same each time
		usd += n.Price
	}
	return usd
}

// Keep drops the pods that keep refuses, as when their workloads are scaled down, and then the nodes without pods: to give up
// an empty node takes no search.
func (c *Cluster) Keep(keep func(*Node, *corev1.Pod) bool) {
	for name, n := range c.nodes {
		n.Pods = slices.DeleteFunc(n.Pods, func(p *corev1.Pod) bool { return !keep(n, p) })
		if len(n.Pods) == 0 {
			delete(c.nodes, name)
		}
	}
}

// Buy adds a node with its pods and the pods of daemonsets.
func (c *Cluster) Buy(l Launch) (*Node, error) {
	it, err := c.instanceType(l.InstanceType)
	if err != nil {
		return nil, err
	}
	offering, err := offeringOf(it, l.Zone, l.CapacityType)
	if err != nil {
		return nil, err
	}
	c.seq++
	n := &Node{
		Name: fmt.Sprintf("node-%05d", c.seq), InstanceType: it.Name, Zone: l.Zone, CapacityType: l.CapacityType, Price: offering.Price,
		Labels: map[string]string{}, Pods: slices.Clone(l.Pods),
	}
	maps.Copy(n.Labels, l.Labels)
	maps.Copy(n.Labels, c.Pool.Labels)
	maps.Copy(n.Labels, it.Labels)
	maps.Copy(n.Labels, map[string]string{
		corev1.LabelHostname: n.Name, corev1.LabelInstanceTypeStable: it.Name, corev1.LabelTopologyZone: l.Zone,
		karpv1.CapacityTypeLabelKey: l.CapacityType, karpv1.NodePoolLabelKey: c.Pool.Name,
	})
	for _, ds := range c.DaemonSets {
		p := ds.DeepCopy()
		p.Name = ds.Name + "-" + n.Name
		p.UID = types.UID(p.Name)
		p.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "DaemonSet", Name: ds.Name, UID: types.UID(ds.Name), Controller: ptr.To(true),
		}}
		n.Daemons = append(n.Daemons, p)
	}
	c.nodes[n.Name] = n
	return n, nil
}

// Apply carries a command out, all of it or nothing. A command that does not give each displaced pod exactly one place is an
// error: it is the engine's, or the adapter's, and no result is worth anything after it.
func (c *Cluster) Apply(cmd Command) (Change, error) {
	var out Change
	going := map[string]bool{}
	homeless := map[*corev1.Pod]bool{}
	for _, name := range cmd.Remove {
		n := c.nodes[name]
		if n == nil || going[name] {
			return Change{}, fmt.Errorf("removing node %q, which is not there", name)
		}
		going[name] = true
		out.Removed = append(out.Removed, n)
		out.Saved += n.Price
		for _, p := range n.Pods {
			homeless[p] = true
		}
	}
	out.Moved = len(homeless)
	seat := func(p *corev1.Pod) error {
		if !homeless[p] {
			return fmt.Errorf("pod %q is given a place and was not displaced, or is given two", p.Name)
		}
		delete(homeless, p)
		return nil
	}
	for _, b := range cmd.Bind {
		if c.nodes[b.Node] == nil || going[b.Node] {
			return Change{}, fmt.Errorf("pod %q is put on node %q, which does not stay", b.Pod.Name, b.Node)
		}
		if err := seat(b.Pod); err != nil {
			return Change{}, err
		}
	}
	for _, l := range cmd.Launch {
		for _, p := range l.Pods {
			if err := seat(p); err != nil {
				return Change{}, err
			}
		}
	}
	if len(homeless) > 0 {
		return Change{}, fmt.Errorf("%d pods of the nodes %q are given no place", len(homeless), cmd.Remove)
	}
	for _, l := range cmd.Launch {
		n, err := c.Buy(l)
		if err != nil {
			return Change{}, err
		}
		out.Added = append(out.Added, n)
		out.Saved -= n.Price
	}
	for _, b := range cmd.Bind {
		n := c.nodes[b.Node]
		n.Pods = append(n.Pods, b.Pod)
	}
	for _, name := range cmd.Remove {
		delete(c.nodes, name)
	}
	return out, nil
}

func (c *Cluster) instanceType(name string) (*packing.InstanceType, error) {
	for i := range c.Pool.Types {
		if c.Pool.Types[i].Name == name {
			return &c.Pool.Types[i], nil
		}
	}
	return nil, fmt.Errorf("pool %q does not sell instance type %q", c.Pool.Name, name)
}

func offeringOf(it *packing.InstanceType, zone, capacityType string) (*packing.Offering, error) {
	for i := range it.Offerings {
		if o := &it.Offerings[i]; o.Zone == zone && o.CapacityType == capacityType && o.Available {
			return o, nil
		}
	}
	return nil, fmt.Errorf("instance type %q is not sold as %s in %q", it.Name, capacityType, zone)
}
