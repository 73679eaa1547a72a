package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/api/v1alpha1"
)

// NodeFit is how requests are shaped to fill a typical node.
type NodeFit struct {
	// Node holds the thousandths of a core and the bytes of memory that a typical node has for pods.
	Node map[corev1.ResourceName]int64
	// Tolerance is by how much a request may be lowered, as a share.
	Tolerance map[corev1.ResourceName]float64
}

const (
	defaultFitTolerance = 0.05
	maxFitTolerance     = 0.20
	// fitMemoryStep is what memory requests are rounded down to.
	fitMemoryStep = 1 << 20
)

// ParseNodeFit reads how requests are shaped; nil where they are not. memoryOverhead is the share by which memory requests exceed what
// was used: memory is not lowered by more.
func ParseNodeFit(spec *v1alpha1.NodeFit, memoryOverhead float64) (*NodeFit, error) {
	if spec == nil {
		return nil, nil
	}
	if spec.CPU.Sign() <= 0 || spec.Memory.Sign() <= 0 {
		return nil, fmt.Errorf("spec.nodeFit: cpu %s and memory %s must be above 0, as a typical node has them for pods", spec.CPU.String(), spec.Memory.String())
	}
	tolerance := defaultFitTolerance
	if spec.Tolerance != "" {
		digits, ok := strings.CutSuffix(spec.Tolerance, "%")
		v, err := strconv.ParseFloat(digits, 64)
		if !ok || err != nil || !(v >= 0 && v <= 100*maxFitTolerance) {
			return nil, fmt.Errorf("spec.nodeFit.tolerance: %q is not a percentage from 0%% to 20%%", spec.Tolerance)
		}
		tolerance = v / 100
	}
	return &NodeFit{
		Node: map[corev1.ResourceName]int64{corev1.ResourceCPU: spec.CPU.MilliValue(), corev1.ResourceMemory: spec.Memory.Value()},
		Tolerance: map[corev1.ResourceName]float64{
			corev1.ResourceCPU: tolerance, corev1.ResourceMemory: min(tolerance, memoryOverhead/(1+max(memoryOverhead, 0))),
		},
	}, nil
}

// Shape lowers the requests of a pod's containers, within the tolerance, so that as many such pods as possible fill a typical node. It
// returns how many fit now, and whether anything was lowered. Containers must not be shared: their requests are replaced.
func (f *NodeFit) Shape(containers []v1alpha1.ContainerRecommendation) (fit int64, lowered []corev1.ResourceName) {
	total := map[corev1.ResourceName]int64{}
	for _, c := range containers {
		for _, name := range managed() {
			q := c.Requests[name]
			total[name] += milli(name, q)
		}
	}
	now, best := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, name := range managed() {
		if total[name] <= 0 {
			continue
		}
		now = min(now, f.Node[name]/total[name])
		// A hair's breadth of floating point must not cost a pod.
		best = min(best, int64(float64(f.Node[name])/(float64(total[name])*(1-f.Tolerance[name]))*(1+1e-12)))
	}
	if best <= now || best == math.MaxInt64 {
		return now, nil
	}
	for _, name := range managed() {
		share := f.Node[name] / best
		if total[name] <= share {
			continue
		}
		lowered = append(lowered, name)
		for i := range containers {
			q, ok := containers[i].Requests[name]
			if !ok {
				continue
			}
			have := float64(milli(name, q))
			v := int64(have * float64(share) / float64(total[name]))
			if name == corev1.ResourceCPU {
				containers[i].Requests[name] = *resource.NewMilliQuantity(v, resource.DecimalSI)
				continue
			}
			// Whole MiB, unless the last one is what keeps the request above what was used.
			if whole := v - v%fitMemoryStep; float64(whole) >= have*(1-f.Tolerance[name]) {
				v = whole
			}
			containers[i].Requests[name] = *resource.NewQuantity(v, resource.BinarySI)
		}
	}
	return best, lowered
}
