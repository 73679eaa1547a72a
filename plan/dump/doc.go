// Package dump reads what kubectl prints of a cluster: JSON or YAML, one List or many, single objects, or several documents
// one after the other.
//
// It decides what of a damaged input can be used. Items are read one by one: one that is broken is reported, with its place
// and its name where they can be made out, and the rest is read all the same. The package does not interpret what the objects
// mean; it keeps the fields that decide where a pod can run and what a node is, and drops the others as it reads, so that
// memory follows the number of objects rather than the size of the input.
package dump

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"

	"supercargo.dev/api/v1alpha1"
)

// Objects are what was read of a cluster, each kind in the order of the input.
type Objects struct {
	Nodes      []*corev1.Node
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Claims     []*corev1.PersistentVolumeClaim
	Volumes    []*corev1.PersistentVolume
	// Classes and CSINodes are StorageClasses, and what CSI drivers have registered of nodes.
	Classes  []*storagev1.StorageClass
	CSINodes []*storagev1.CSINode
	Budgets  []*policyv1.PodDisruptionBudget
	Scalers  []*v1alpha1.WorkloadScaler
	// Workloads are Deployments, StatefulSets, ReplicaSets, Jobs, CronJobs and, with 0 replicas, DaemonSets.
	Workloads []Workload

	// Ignored counts the items of kinds that no plan needs, by kind.
	Ignored map[string]int
	// Repeated counts items that had been read before, from this input or another; the first one counts.
	Repeated int
	// Problems are the items that could not be read, in the order of the input.
	Problems []Problem

	seen map[string]bool
}

// Workload is a template of pods and how many of them are wanted.
type Workload struct {
	// APIVersion and Kind are those of the object, for example apps/v1 and Deployment.
	APIVersion, Kind string
	Namespace, Name  string
	Replicas         int32
	// Pod is the template as a pod in the workload's namespace, without a name.
	Pod *corev1.Pod
}

// Problem is an item that could not be read, or an input that ends too early.
type Problem struct {
	// Source names the input, for example a file.
	Source string `json:"source"`
	// Document is the place of the document within the input, from 1.
	Document int `json:"document"`
	// Item is the place of the item within the list of the document, from 1; 0 for what is no part of a list.
	Item int `json:"item,omitempty"`
	// Kind, Namespace and Name of the item, as far as they could be made out.
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Message says what is wrong.
	Message string `json:"message"`
}

// String shows the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Source)
	if p.Document > 1 {
		fmt.Fprintf(&b, ", document %d", p.Document)
	}
	if p.Item > 0 {
		fmt.Fprintf(&b, ", item %d", p.Item)
	}
	if p.Kind != "" || p.Name != "" {
		name := p.Name
		if p.Namespace != "" {
			name = p.Namespace + "/" + name
		}
		fmt.Fprintf(&b, " (%s)", strings.TrimSpace(p.Kind+" "+name))
	}
	b.WriteString(": ")
	b.WriteString(p.Message)
	return b.String()
}

// Kinds lists the ignored kinds and how many of each there were, for display.
func (o *Objects) Kinds() string {
	parts := make([]string, 0, len(o.Ignored))
	for _, kind := range slices.Sorted(maps.Keys(o.Ignored)) {
		parts = append(parts, fmt.Sprintf("%s %d", kind, o.Ignored[kind]))
	}
	return strings.Join(parts, ", ")
}

// Count is the number of objects that were read and are of use.
func (o *Objects) Count() int {
	return len(o.Nodes) + len(o.Pods) + len(o.Namespaces) + len(o.Claims) + len(o.Volumes) + len(o.Classes) + len(o.CSINodes) +
		len(o.Budgets) + len(o.Scalers) + len(o.Workloads)
}
