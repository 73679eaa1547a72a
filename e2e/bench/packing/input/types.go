package input

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	karpv1 "sigs.k8s.io/karpenter/pkg/apis/v1"
	"sigs.k8s.io/karpenter/pkg/cloudprovider"
	"sigs.k8s.io/karpenter/pkg/scheduling"
)

// instanceType is how a file states an instance type.
type instanceType struct {
	Name   string            `json:"name"`
	Arch   string            `json:"arch"`
	Labels map[string]string `json:"labels"`
	// Capacity of the machine; Allocatable is what pods may request of it.
	Capacity    map[string]resource.Quantity `json:"capacity"`
	Allocatable map[string]resource.Quantity `json:"allocatable"`
	Offerings   []offering                   `json:"offerings"`
}

type offering struct {
	Zone         string   `json:"zone"`
	CapacityType string   `json:"capacityType"`
	Price        *float64 `json:"price"`
	Available    *bool    `json:"available"`
}

// defaultPods is the kubelet's limit of pods for a node.
const defaultPods = 110

// TypesExample is one instance type, as a file of types states it.
const TypesExample = `{"name":"m5.large","arch":"amd64","labels":{"family":"m5"},` +
	`"capacity":{"cpu":"2","memory":"8Gi","pods":"29"},"allocatable":{"cpu":"1930m","memory":"7Gi","pods":"29"},` +
	`"offerings":[{"zone":"us-east-1a","capacityType":"on-demand","price":0.096},{"zone":"us-east-1a","capacityType":"spot","price":0.041}]}`

// ReadTypes reads instance types: a JSON array, or one JSON object after another, such as one per line. The price is in USD per
// hour. What may be left out: arch (amd64), labels, allocatable (the capacity, and per resource), pods (110), available (true).
// An error names the type and the field.
func ReadTypes(r io.Reader) ([]*cloudprovider.InstanceType, error) {
	buffered := bufio.NewReader(r)
	d := json.NewDecoder(buffered)
	d.DisallowUnknownFields()
	var all []instanceType
	for {
		first, err := firstByte(buffered, d)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading instance types, %w", err)
		}
		if first == '[' && len(all) == 0 {
			err = d.Decode(&all)
		} else {
			var one instanceType
			if err = d.Decode(&one); err == nil {
				all = append(all, one)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("reading instance type %d, %w; one looks like %s", len(all)+1, err, TypesExample)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no instance type: want a JSON array or one object per line, such as %s", TypesExample)
	}
	names := map[string]bool{}
	out := make([]*cloudprovider.InstanceType, len(all))
	for i := range all {
		if names[all[i].Name] {
			return nil, fmt.Errorf("instance type %d: name %q is used twice", i+1, all[i].Name)
		}
		names[all[i].Name] = true
		it, err := all[i].build()
		if err != nil {
			return nil, fmt.Errorf("instance type %d (%q): %w", i+1, all[i].Name, err)
		}
		out[i] = it
	}
	return out, nil
}

// firstByte of the next value, which stays unread.
func firstByte(r *bufio.Reader, d *json.Decoder) (byte, error) {
	if d.InputOffset() > 0 {
		if !d.More() {
			return 0, io.EOF
		}
		return 0, nil // only the first value may be an array
	}
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if strings.IndexByte(" \t\r\n", b) < 0 {
			return b, r.UnreadByte()
		}
	}
}

func (t *instanceType) build() (*cloudprovider.InstanceType, error) {
	if t.Name == "" {
		return nil, errors.New("name is empty")
	}
	capacity, overhead, err := t.resources()
	if err != nil {
		return nil, err
	}
	if len(t.Offerings) == 0 {
		return nil, errors.New("offerings is empty: say in which zone, as which capacityType and at what price it can be had")
	}
	it := &cloudprovider.InstanceType{
		Name: t.Name, Capacity: capacity, Overhead: &cloudprovider.InstanceTypeOverhead{KubeReserved: overhead},
	}
	var zones, capacityTypes []string
	seen := map[[2]string]bool{}
	for i, o := range t.Offerings {
		if err := o.check(); err != nil {
			return nil, fmt.Errorf("offerings[%d]: %w", i, err)
		}
		at := [2]string{o.Zone, o.CapacityType}
		if seen[at] {
			return nil, fmt.Errorf("offerings[%d]: %s in %s is there twice", i, o.CapacityType, o.Zone)
		}
		seen[at] = true
		zones, capacityTypes = append(zones, o.Zone), append(capacityTypes, o.CapacityType)
		it.Offerings = append(it.Offerings, &cloudprovider.Offering{
			Available: o.Available == nil || *o.Available, Price: *o.Price,
			Requirements: scheduling.NewLabelRequirements(map[string]string{corev1.LabelTopologyZone: o.Zone, karpv1.CapacityTypeLabelKey: o.CapacityType}),
		})
	}
	labels := map[string]string{corev1.LabelArchStable: t.Arch, corev1.LabelOSStable: string(corev1.Linux)}
	if t.Arch == "" {
		labels[corev1.LabelArchStable] = karpv1.ArchitectureAmd64
	}
	for k, v := range t.Labels {
		if slices.Contains([]string{corev1.LabelTopologyZone, karpv1.CapacityTypeLabelKey, corev1.LabelHostname}, k) {
			return nil, fmt.Errorf("labels: %s is the offering's or the node's to say", k)
		}
		labels[k] = v
	}
	labels[corev1.LabelInstanceTypeStable] = t.Name
	it.Requirements = scheduling.NewLabelRequirements(labels)
	it.Requirements.Add(
		scheduling.NewRequirement(corev1.LabelTopologyZone, corev1.NodeSelectorOpIn, zones...),
		scheduling.NewRequirement(karpv1.CapacityTypeLabelKey, corev1.NodeSelectorOpIn, capacityTypes...),
	)
	return it, nil
}

func (o *offering) check() error {
	switch {
	case o.Zone == "":
		return errors.New("zone is empty")
	case !slices.Contains([]string{karpv1.CapacityTypeSpot, karpv1.CapacityTypeOnDemand}, o.CapacityType):
		return fmt.Errorf("capacityType is %q, want spot or on-demand", o.CapacityType)
	case o.Price == nil || *o.Price <= 0 || math.IsInf(*o.Price, 0) || math.IsNaN(*o.Price):
		return errors.New("price is missing or not above 0; want USD per hour")
	}
	return nil
}

// resources are the capacity and what of it is not for pods.
func (t *instanceType) resources() (capacity, overhead corev1.ResourceList, err error) {
	capacity, overhead = corev1.ResourceList{}, corev1.ResourceList{}
	for name, q := range t.Capacity {
		if q.Sign() < 0 || q.Cmp(most) > 0 {
			return nil, nil, fmt.Errorf("capacity: %s is %s, want 0 to %s", name, q.String(), most.String())
		}
		capacity[corev1.ResourceName(name)] = q
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q := capacity[name]; q.IsZero() {
			return nil, nil, fmt.Errorf("capacity: %s is missing or 0", name)
		}
	}
	if _, ok := capacity[corev1.ResourcePods]; !ok {
		capacity[corev1.ResourcePods] = *resource.NewQuantity(defaultPods, resource.DecimalSI)
	}
	for name, q := range t.Allocatable {
		have, ok := capacity[corev1.ResourceName(name)]
		if !ok || q.Sign() < 0 || q.Cmp(have) > 0 {
			return nil, nil, fmt.Errorf("allocatable: %s is %s, want 0 to the capacity of %s", name, q.String(), have.String())
		}
		have = have.DeepCopy()
		have.Sub(q)
		overhead[corev1.ResourceName(name)] = have
	}
	return capacity, overhead, nil
}
