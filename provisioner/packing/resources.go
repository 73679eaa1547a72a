package packing

import (
	"encoding/binary"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// vec holds an amount of each resource of a dims table: CPU in thousandths of a
// core, everything else in its base unit, as kube-scheduler counts.
type vec []int64

// Positions of the resources that every problem has.
const (
	dimCPU = iota
	dimMemory
	dimPods
	firstOtherDim
)

// dims numbers the resources that pods or daemons of a problem ask for.
// Resources that nobody asks for cannot decide anything and are left out.
type dims struct {
	names []corev1.ResourceName
	index map[corev1.ResourceName]int
	// attach is how many volumes there are to attach in all, for the names that
	// count volumes; nil when nobody asks for any.
	attach []int64
}

func newDims(asked map[corev1.ResourceName]bool, vols *volumeUse) *dims {
	d := &dims{
		names: []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourcePods},
		index: map[corev1.ResourceName]int{},
	}
	for name := range asked {
		if !slices.Contains(d.names[:firstOtherDim], name) {
			d.names = append(d.names, name)
		}
	}
	slices.Sort(d.names[firstOtherDim:])
	for i, name := range d.names {
		d.index[name] = i
	}
	if vols != nil {
		d.attach = make([]int64, len(d.names))
		for driver, n := range vols.total {
			d.attach[d.index[AttachableVolumes(driver)]] = n
		}
	}
	return d
}

// room is what a node has for pods: a driver without a limit attaches all that there
// are.
func (d *dims) room(allocatable corev1.ResourceList) vec {
	v := d.vec(allocatable)
	for i, n := range d.attach {
		if n == 0 {
			continue
		}
		if _, limited := allocatable[d.names[i]]; !limited {
			v[i] = n
		}
	}
	return v
}

// countsVolumes tells whether a resource is the attach limit of a driver.
func (d *dims) countsVolumes(i int) bool { return d.attach != nil && d.attach[i] > 0 }

// amount is the integer that kube-scheduler compares.
func amount(name corev1.ResourceName, q resource.Quantity) int64 {
	if name == corev1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}

func (d *dims) vec(list corev1.ResourceList) vec {
	v := make(vec, len(d.names))
	for name, q := range list {
		if i, ok := d.index[name]; ok {
			v[i] = amount(name, q)
		}
	}
	return v
}

func (d *dims) list(v vec) corev1.ResourceList {
	out := make(corev1.ResourceList, len(v))
	for i, name := range d.names {
		switch {
		case v[i] == 0 || d.countsVolumes(i):
		case name == corev1.ResourceCPU:
			out[name] = *resource.NewMilliQuantity(v[i], resource.DecimalSI)
		case name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage:
			out[name] = *resource.NewQuantity(v[i], resource.BinarySI)
		default:
			out[name] = *resource.NewQuantity(v[i], resource.DecimalSI)
		}
	}
	return out
}

func (v vec) add(o vec) {
	for i := range v {
		v[i] += o[i]
	}
}

func (v vec) sub(o vec) {
	for i := range v {
		v[i] -= o[i]
	}
}

func (v vec) addN(o vec, n int64) {
	for i := range v {
		v[i] += o[i] * n
	}
}

func (v vec) clone() vec { return append(vec(nil), v...) }

// fits tells whether a request goes into what is free. A resource that is not
// asked for may be overdrawn already, as it may for kube-scheduler.
func (v vec) fits(free vec) bool {
	for i, x := range v {
		if x > 0 && x > free[i] {
			return false
		}
	}
	return true
}

// times is how often a request goes into what is free, at most limit.
func (v vec) times(free vec, limit int) int {
	n := int64(limit)
	for i, x := range v {
		if x <= 0 {
			continue
		}
		if free[i] < x {
			return 0
		}
		if k := free[i] / x; k < n {
			n = k
		}
	}
	return int(max(n, 0))
}

// request is what a pod is packed with, with one of the pods resource.
func (d *dims) request(p *Pod) vec {
	v := d.vec(requestList(p))
	v[dimPods] = 1
	return v
}

func requestList(p *Pod) corev1.ResourceList {
	if p.Requests != nil {
		return p.Requests
	}
	return resourcehelper.PodRequests(p.Pod, resourcehelper.PodResourcesOptions{UseStatusResources: true})
}

// appendVec appends a form of v that is equal for equal vectors.
func appendVec(to []byte, v vec) []byte {
	for _, x := range v {
		to = binary.AppendVarint(to, x)
	}
	return to
}
