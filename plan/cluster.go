package plan

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/plan/dump"
	"supercargo.dev/recommender/demand"
)

// role is what a pod is to the plan.
type role int

const (
	movable role = iota
	daemon       // belongs to every node of a kind
	static       // belongs to the one node
)

// pod is a pod that takes part.
type pod struct {
	*corev1.Pod
	role role
	node *node // nil while it waits for one
	// enforced is what the cluster counts for it now, wanted what the plan packs.
	enforced, wanted corev1.ResourceList
	owner            string
}

// node is a node of the cluster.
type node struct {
	*corev1.Node
	price   float64 // USD per hour, NaN when unknown
	unknown string  // why the price is not known
	keep    string  // why the node stays; empty for one that is replaced
	pods    []*pod
}

// cluster is what the dump says, sorted out.
type cluster struct {
	nodes      []*node
	byName     map[string]*node
	pods       []*pod // movable or not, finished ones left out
	namespaces map[string]map[string]string
	volumes    *volumes
	budgets    []budget
	daemons    []*corev1.Pod
	input      Input
	notes      []string
	blocked    map[*pod]bool // pods that must not be moved
	// spotOfNamespace is what namespaces say about spot capacity for their pods.
	spotOfNamespace map[string]string
}

// newCluster sorts out nodes, prices and pods.
func newCluster(objects *dump.Objects, o *Options, sizes *sizes) *cluster {
	c := &cluster{
		byName: map[string]*node{}, namespaces: map[string]map[string]string{}, blocked: map[*pod]bool{}, spotOfNamespace: map[string]string{},
		input: Input{RepeatedItems: objects.Repeated, Ignored: objects.Ignored, Problems: objects.Problems},
	}
	book := &priceBook{fallback: o.Region, regions: sizes.regions}
	for _, n := range objects.Nodes {
		known := &node{Node: n}
		known.price, known.unknown = book.price(n)
		known.keep = keepReason(n, o.Keep)
		c.nodes = append(c.nodes, known)
		c.byName[n.Name] = known
	}
	c.input.Nodes = len(c.nodes)
	for _, ns := range objects.Namespaces {
		c.namespaces[ns.Name] = withName(ns.Labels, ns.Name)
		c.spotOfNamespace[ns.Name] = ns.Annotations[v1alpha1.SpotAnnotation]
	}
	orphans := 0
	for _, p := range objects.Pods {
		if !c.addPod(p, sizes) {
			orphans++
		}
	}
	if orphans > 0 {
		c.notef("%d pods are on nodes that the input does not hold; they are planned for as if they waited for a node", orphans)
	}
	c.volumes = newVolumes(objects)
	c.budgets = c.newBudgets(objects)
	c.findDaemons(objects, sizes)
	return c
}

// addPod returns false for a pod on a node that is not known.
func (c *cluster) addPod(p *corev1.Pod, sizes *sizes) bool {
	switch {
	case p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || p.DeletionTimestamp != nil:
		c.input.FinishedPods++
		return true
	case len(p.Spec.SchedulingGates) > 0 && p.Spec.NodeName == "":
		c.input.GatedPods++
		return true
	}
	c.input.Pods++
	if c.namespaces[p.Namespace] == nil {
		c.namespaces[p.Namespace] = withName(nil, p.Namespace)
	}
	known := &pod{Pod: p, role: roleOf(p), owner: ownerName(p)}
	known.enforced, known.wanted = sizes.of(p)
	c.pods = append(c.pods, known)
	switch known.role {
	case daemon:
		c.input.DaemonPods++
	case static:
		c.input.StaticPods++
	}
	if p.Spec.NodeName == "" {
		c.input.PendingPods++
		return true
	}
	n, ok := c.byName[p.Spec.NodeName]
	if !ok {
		return false
	}
	known.node = n
	n.pods = append(n.pods, known)
	return true
}

// withName adds the label that every namespace has.
func withName(l map[string]string, name string) map[string]string {
	if l[corev1.LabelMetadataName] == name {
		return l
	}
	return labels.Merge(l, labels.Set{corev1.LabelMetadataName: name})
}

// mirrorAnnotation marks the API's image of a pod that kubelet runs from a file.
const mirrorAnnotation = corev1.MirrorPodAnnotationKey

func roleOf(p *corev1.Pod) role {
	if _, ok := p.Annotations[mirrorAnnotation]; ok {
		return static
	}
	if controller := metav1.GetControllerOfNoCopy(p); controller != nil {
		switch controller.Kind {
		case "DaemonSet":
			return daemon
		case "Node":
			return static
		}
	}
	return movable
}

// ownerName is the workload of a pod for display; the pod itself where it has none.
func ownerName(p *corev1.Pod) string {
	if owner, ok := demand.OwnerOf(p); ok {
		return owner.Kind + " " + owner.Namespace + "/" + owner.Name
	}
	return "Pod " + p.Namespace + "/" + p.Name
}

// keepReason says why a node is not replaced by a plan.
func keepReason(n *corev1.Node, keep labels.Selector) string {
	for _, key := range []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"} {
		if _, ok := n.Labels[key]; ok {
			return "control plane"
		}
	}
	switch {
	case n.Labels["eks.amazonaws.com/compute-type"] == "fargate", n.Labels["type"] == "virtual-kubelet":
		return "serverless"
	case n.Labels[corev1.LabelOSStable] != "" && n.Labels[corev1.LabelOSStable] != "linux":
		return "other operating system"
	case hasAccelerator(n.Status.Allocatable):
		return "accelerators"
	case keep != nil && keep.Matches(labels.Set(n.Labels)):
		return "chosen by --keep"
	}
	return ""
}

// hasAccelerator recognises what device plugins of GPUs and their like advertise.
func hasAccelerator(list corev1.ResourceList) bool {
	for name, q := range list {
		if q.IsZero() || !strings.Contains(string(name), "/") {
			continue
		}
		for _, word := range []string{"gpu", "neuron", "tpu", "gaudi", "fpga", "mig-"} {
			if strings.Contains(string(name), word) {
				return true
			}
		}
	}
	return false
}
