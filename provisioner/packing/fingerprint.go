package packing

import (
	"encoding/binary"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fingerprinter writes what the packing of a pod depends on into a byte string,
// so that pods with the same string are interchangeable.
type fingerprinter struct {
	buf  []byte
	keys []string
	// relevant are the label keys that some selector of the problem looks at;
	// others, such as a pod's own index, would split classes for nothing.
	relevant []string
	// vols is nil when no pod has volumes to attach.
	vols *volumeUse
	// shares is set when it matters which workload a pod is of.
	shares bool
}

func newFingerprinter(relevant map[string]bool) *fingerprinter {
	f := &fingerprinter{}
	for k := range relevant {
		f.relevant = append(f.relevant, k)
	}
	slices.Sort(f.relevant)
	return f
}

// of returns the fingerprint, valid until the next call.
func (f *fingerprinter) of(p *Pod) ([]byte, error) {
	f.buf = f.buf[:0]
	f.str(p.Namespace)
	f.labels(p.Labels)
	f.stringMap(p.Spec.NodeSelector)
	if p.Spec.Priority != nil {
		f.num(int64(*p.Spec.Priority))
	}
	f.sep()
	if p.Spec.Affinity != nil {
		if err := f.message(p.Spec.Affinity); err != nil {
			return nil, err
		}
	}
	f.sep()
	for i := range p.Spec.Tolerations {
		t := &p.Spec.Tolerations[i]
		f.str(t.Key)
		f.str(string(t.Operator))
		f.str(t.Value)
		f.str(string(t.Effect))
	}
	f.sep()
	for i := range p.Spec.TopologySpreadConstraints {
		if err := f.message(&p.Spec.TopologySpreadConstraints[i]); err != nil {
			return nil, err
		}
	}
	f.sep()
	if p.NodeTerms != nil {
		f.num(int64(len(p.NodeTerms))) // nil demands nothing, an empty list nothing that there is
	}
	for i := range p.NodeTerms {
		if err := f.message(&p.NodeTerms[i]); err != nil {
			return nil, err
		}
	}
	f.sep()
	for i := range p.Spec.ResourceClaims {
		f.str(p.Spec.ResourceClaims[i].Name)
	}
	f.sep()
	f.ports(p.Spec.Containers)
	f.ports(p.Spec.InitContainers)
	f.volumes(p)
	if f.shares {
		f.str(p.Workload)
	}
	if p.Requests != nil {
		f.resources(p.Requests)
		return f.buf, nil
	}
	f.containers(p.Spec.Containers)
	f.containers(p.Spec.InitContainers)
	f.resources(p.Spec.Overhead)
	if p.Spec.Resources != nil {
		f.resources(p.Spec.Resources.Requests)
	}
	for i := range p.Status.ContainerStatuses {
		s := &p.Status.ContainerStatuses[i]
		f.resources(s.AllocatedResources)
		if s.Resources != nil {
			f.resources(s.Resources.Requests)
		}
	}
	return f.buf, nil
}

type marshaler interface {
	Size() int
	MarshalToSizedBuffer([]byte) (int, error)
}

// message appends the wire form of an API type, which orders map keys.
func (f *fingerprinter) message(m marshaler) error {
	n := m.Size()
	f.num(int64(n))
	at := len(f.buf)
	f.buf = slices.Grow(f.buf, n)[:at+n]
	if _, err := m.MarshalToSizedBuffer(f.buf[at:]); err != nil {
		return fmt.Errorf("fingerprinting pod, %w", err)
	}
	return nil
}

func (f *fingerprinter) sep()        { f.buf = append(f.buf, 0xff) }
func (f *fingerprinter) num(n int64) { f.buf = binary.AppendVarint(f.buf, n) }
func (f *fingerprinter) str(s string) {
	f.buf = append(append(binary.AppendUvarint(f.buf, uint64(len(s))), s...), 0)
}

func (f *fingerprinter) labels(m map[string]string) {
	for i, k := range f.relevant {
		if v, ok := m[k]; ok {
			f.num(int64(i))
			f.str(v)
		}
	}
	f.sep()
}

func (f *fingerprinter) stringMap(m map[string]string) {
	f.keys = f.keys[:0]
	for k := range m {
		f.keys = append(f.keys, k)
	}
	slices.Sort(f.keys)
	for _, k := range f.keys {
		f.str(k)
		f.str(m[k])
	}
	f.sep()
}

func (f *fingerprinter) resources(list corev1.ResourceList) {
	f.keys = f.keys[:0]
	for k := range list {
		f.keys = append(f.keys, string(k))
	}
	slices.Sort(f.keys)
	for _, k := range f.keys {
		f.str(k)
		f.num(amount(corev1.ResourceName(k), list[corev1.ResourceName(k)]))
	}
	f.sep()
}

func (f *fingerprinter) containers(list []corev1.Container) {
	for i := range list {
		f.resources(list[i].Resources.Requests)
		if r := list[i].RestartPolicy; r != nil {
			f.str(string(*r))
		}
	}
	f.sep()
}

func (f *fingerprinter) ports(list []corev1.Container) {
	for i := range list {
		for j := range list[i].Ports {
			if p := &list[i].Ports[j]; p.HostPort != 0 {
				f.num(int64(p.HostPort))
				f.str(string(p.Protocol))
				f.str(p.HostIP)
			}
		}
	}
	f.sep()
}

// relevantLabels collects the label keys that selectors of the pods look at.
func relevantLabels(into map[string]bool, p *corev1.Pod) {
	for i := range p.Spec.TopologySpreadConstraints {
		c := &p.Spec.TopologySpreadConstraints[i]
		selectorKeys(into, c.LabelSelector)
		for _, k := range c.MatchLabelKeys {
			into[k] = true
		}
	}
	if p.Spec.Affinity == nil {
		return
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range required {
			selectorKeys(into, required[i].LabelSelector)
		}
		for i := range preferred {
			selectorKeys(into, preferred[i].PodAffinityTerm.LabelSelector)
		}
	}
	if a := p.Spec.Affinity.PodAffinity; a != nil {
		terms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := p.Spec.Affinity.PodAntiAffinity; a != nil {
		terms(a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}

func selectorKeys(into map[string]bool, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	for k := range s.MatchLabels {
		into[k] = true
	}
	for i := range s.MatchExpressions {
		into[s.MatchExpressions[i].Key] = true
	}
}

// identity appends what selectors see of a pod.
func (f *fingerprinter) identity(into []byte, p *corev1.Pod) []byte {
	f.buf = into
	f.str(p.Namespace)
	f.labels(p.Labels)
	return f.buf
}
