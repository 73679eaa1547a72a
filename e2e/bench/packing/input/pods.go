// Package input reads what strangers bring to the benchmark: pods and instance types.
package input

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/json"
)

// Pods is what a file of pods holds.
type Pods struct {
	// Pods to place, each with a UID of its own and without what ties it to the cluster that it came from.
	Pods []*corev1.Pod
	// Daemons are one pod of each DaemonSet in the file.
	Daemons []*corev1.Pod
	// Namespaces that pods are in.
	Namespaces map[string]map[string]string
	// Notes say in a sentence each what was left out or changed.
	Notes []string
}

// maxLine is the longest line that is read, in bytes: etcd holds no larger object.
const maxLine = 8 << 20

// maxFaults are listed before reading stops.
const maxFaults = 20

// ReadPods reads JSON lines, each a Pod as `kubectl get pods -A -o json | jq -c '.items[]'` prints it. Empty lines are skipped.
// Lines that are no valid pod make an error that lists their numbers.
//
// Every pod counts as pending: spec.nodeName and status are dropped. Pods that have finished are left out; those of DaemonSets
// become overhead of each node that they match; those of the kubelet's own manifests are left out. A request that is not set is
// its limit, as the API server defaults it.
func ReadPods(r io.Reader) (*Pods, error) {
	out := &Pods{Namespaces: map[string]map[string]string{}}
	var faults []error
	finished, static, volumes := 0, 0, 0
	daemons := map[string]bool{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() && len(faults) < maxFaults {
		n++
		text := bytes.TrimSpace(lines.Bytes())
		if len(text) == 0 {
			continue
		}
		p, err := parsePod(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			finished++
			continue
		}
		if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
			static++
			continue
		}
		loosen(p, n)
		if owner := metav1.GetControllerOfNoCopy(p); owner != nil && owner.Kind == "DaemonSet" {
			if key := p.Namespace + "/" + owner.Name; !daemons[key] {
				daemons[key] = true
				out.Daemons = append(out.Daemons, unpinned(p))
			}
			continue
		}
		for i := range p.Spec.Volumes {
			if p.Spec.Volumes[i].PersistentVolumeClaim != nil {
				volumes++
				break
			}
		}
		out.Namespaces[p.Namespace] = map[string]string{corev1.LabelMetadataName: p.Namespace}
		out.Pods = append(out.Pods, p)
	}
	if err := lines.Err(); err != nil {
		faults = append(faults, fmt.Errorf("line %d: %w (the longest line that is read has %d MiB)", n+1, err, maxLine>>20))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("want one Pod as JSON on each line, as kubectl get pods -A -o json | jq -c '.items[]' prints them:\n%w", errors.Join(faults...))
	}
	if len(out.Pods) == 0 {
		return nil, errors.New("no pod to place: the file is empty, or has only pods that have finished or belong to DaemonSets")
	}
	for _, note := range []struct {
		count int
		what  string
	}{
		{finished, "pods that have finished are left out"},
		{static, "static pods are left out"},
		{volumes, "pods have persistent volumes; where those can be attached is not known here, and both engines ignore it"},
	} {
		if note.count > 0 {
			out.Notes = append(out.Notes, fmt.Sprintf("%d %s", note.count, note.what))
		}
	}
	if len(out.Daemons) > 0 {
		out.Notes = append(out.Notes, fmt.Sprintf("%d DaemonSets are overhead of the nodes that they match", len(out.Daemons)))
	}
	return out, nil
}

func parsePod(text []byte) (*corev1.Pod, error) {
	p := &corev1.Pod{}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, p); err != nil {
		return nil, err
	}
	if p.Kind != "" && p.Kind != "Pod" {
		return nil, fmt.Errorf("kind is %q, want Pod", p.Kind)
	}
	if len(p.Spec.Containers) == 0 {
		return nil, errors.New("spec.containers is empty, a pod has one at least")
	}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			if err := sane(list[i].Resources.Requests, list[i].Resources.Limits); err != nil {
				return nil, fmt.Errorf("resources of container %q: %w", list[i].Name, err)
			}
		}
	}
	if err := sane(p.Spec.Overhead); err != nil {
		return nil, fmt.Errorf("spec.overhead: %w", err)
	}
	if p.Spec.Resources != nil {
		if err := sane(p.Spec.Resources.Requests, p.Spec.Resources.Limits); err != nil {
			return nil, fmt.Errorf("spec.resources: %w", err)
		}
	}
	if len(p.Spec.ResourceClaims) > 0 {
		return nil, errors.New("spec.resourceClaims: dynamic resource allocation is not compared, remove the pod")
	}
	return p, validRules(p)
}

// validRules are those of topology rules that neither engine has to expect, because the API server refuses such pods.
func validRules(p *corev1.Pod) error {
	for i, c := range p.Spec.TopologySpreadConstraints {
		if c.TopologyKey == "" || c.MaxSkew < 1 {
			return fmt.Errorf("spec.topologySpreadConstraints[%d]: wants a topologyKey and a maxSkew of 1 or more", i)
		}
		if c.WhenUnsatisfiable != corev1.DoNotSchedule && c.WhenUnsatisfiable != corev1.ScheduleAnyway {
			return fmt.Errorf("spec.topologySpreadConstraints[%d].whenUnsatisfiable is %q, want DoNotSchedule or ScheduleAnyway", i, c.WhenUnsatisfiable)
		}
		if _, err := metav1.LabelSelectorAsSelector(c.LabelSelector); err != nil {
			return fmt.Errorf("spec.topologySpreadConstraints[%d].labelSelector: %w", i, err)
		}
	}
	a := p.Spec.Affinity
	if a == nil {
		return nil
	}
	var terms []corev1.PodAffinityTerm
	if a.PodAffinity != nil {
		terms = append(terms, a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
	}
	if a.PodAntiAffinity != nil {
		terms = append(terms, a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
	}
	for i := range terms {
		if terms[i].TopologyKey == "" {
			return errors.New("spec.affinity: a term between pods has no topologyKey")
		}
		for _, s := range []*metav1.LabelSelector{terms[i].LabelSelector, terms[i].NamespaceSelector} {
			if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
				return fmt.Errorf("spec.affinity: %w", err)
			}
		}
	}
	return nil
}

func sane(lists ...corev1.ResourceList) error {
	for _, l := range lists {
		for name, q := range l {
			if q.Sign() < 0 {
				return fmt.Errorf("%s is %s, below zero", name, q.String())
			}
			if q.Cmp(most) > 0 {
				return fmt.Errorf("%s is %s, more than any machine has", name, q.String())
			}
		}
	}
	return nil
}

// most of any resource: an exbibyte.
var most = resource.MustParse("1Ei")

// loosen makes a pod one that is still to be scheduled.
func loosen(p *corev1.Pod, line int) {
	p.TypeMeta, p.ManagedFields = metav1.TypeMeta{}, nil
	if p.Name == "" {
		p.Name = fmt.Sprintf("%sline-%d", p.GenerateName, line)
	}
	if p.Namespace == "" {
		p.Namespace = metav1.NamespaceDefault
	}
	p.UID = types.UID(fmt.Sprintf("line-%d", line))
	p.DeletionTimestamp = nil
	p.Spec.NodeName, p.Spec.SchedulingGates = "", nil
	p.Status = corev1.PodStatus{}
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for i := range list {
			r := &list[i].Resources
			for name, q := range r.Limits {
				if _, ok := r.Requests[name]; ok {
					continue
				}
				if r.Requests == nil {
					r.Requests = corev1.ResourceList{}
				}
				r.Requests[name] = q
			}
			for k := range list[i].Ports {
				if list[i].Ports[k].Protocol == "" {
					list[i].Ports[k].Protocol = corev1.ProtocolTCP
				}
			}
		}
	}
}

// unpinned is a DaemonSet's pod without the name of its node, which the controller writes into its affinity.
func unpinned(p *corev1.Pod) *corev1.Pod {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return p
	}
	var terms []corev1.NodeSelectorTerm
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if t.MatchFields = nil; len(t.MatchExpressions) > 0 {
			terms = append(terms, t)
		}
	}
	a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
	if len(terms) > 0 {
		a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: terms}
	}
	return p
}

// Example is one line of a file of pods.
func Example() string {
	return strings.Join(strings.Fields(`{"metadata":{"name":"web-1","labels":{"app":"web"}},"spec":{"containers":[{"name":"web",
		"resources":{"requests":{"cpu":"500m","memory":"1Gi"}}}]}}`), "")
}
