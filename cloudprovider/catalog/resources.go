package catalog

import (
	"maps"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	mib = 1 << 20
	gib = 1 << 30

	// DefaultVMMemoryOverhead is the share of memory that the hypervisor and the kernel keep; Karpenter's default
	// for VM_MEMORY_OVERHEAD_PERCENT.
	DefaultVMMemoryOverhead = 0.075
	// DefaultEphemeralStorage is the root volume in bytes; amifamily.DefaultEBS of Karpenter's AWS provider.
	DefaultEphemeralStorage = 20 * gib
	// gravitonCMA is contiguous memory that arm64 kernels reserve, in MiB.
	gravitonCMA = 64
)

// NodeOptions are what a node's configuration changes in its resources.
type NodeOptions struct {
	// MaxPods overrides the number of pods; 0 keeps what the network interfaces allow.
	MaxPods int
	// EphemeralStorage is the size of the root volume in bytes; 0 is DefaultEphemeralStorage.
	EphemeralStorage int64
	// VMMemoryOverhead is the share of memory that is not the node's, 0 to 1; 0 is DefaultVMMemoryOverhead.
	VMMemoryOverhead float64
}

// Resources are what a node of a type has and what the system keeps of it.
type Resources struct {
	Capacity          corev1.ResourceList
	KubeReserved      corev1.ResourceList
	EvictionThreshold corev1.ResourceList
}

// Resources computes a node's resources as Karpenter's AWS provider v1.14.1 does
// (pkg/providers/instancetype/types.go: memory, pods, kubeReservedResources, evictionThreshold), so that plans made
// for the simulated cloud hold on the real one.
func (t *Type) Resources(o NodeOptions) Resources {
	overhead := o.VMMemoryOverhead
	if overhead == 0 {
		overhead = DefaultVMMemoryOverhead
	}
	storage := o.EphemeralStorage
	if storage == 0 {
		storage = DefaultEphemeralStorage
	}
	pods := o.MaxPods
	if pods == 0 {
		pods = t.MaxPods()
	}
	memoryMiB := int64(t.MemoryMiB)
	if t.Arch == "arm64" {
		memoryMiB -= gravitonCMA
	}
	memoryMiB -= int64(math.Ceil(float64(memoryMiB) * overhead))

	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(t.VCPU), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memoryMiB*mib, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(storage, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(pods), resource.DecimalSI),
	}
	if name := t.GPUs.ResourceName(); name != "" {
		capacity[name] = *resource.NewQuantity(int64(t.GPUs.Count), resource.DecimalSI)
	}
	return Resources{
		Capacity: capacity,
		KubeReserved: corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewMilliQuantity(kubeReservedMilliCPU(int64(t.VCPU)*1000), resource.DecimalSI),
			// The reservation follows what the interfaces allow, also where MaxPods is overridden: the node's own
			// bootstrap computes it so.
			corev1.ResourceMemory:           *resource.NewQuantity(int64(11*t.MaxPods()+255)*mib, resource.BinarySI),
			corev1.ResourceEphemeralStorage: *resource.NewQuantity(gib, resource.BinarySI),
		},
		EvictionThreshold: corev1.ResourceList{
			corev1.ResourceMemory:           *resource.NewQuantity(100*mib, resource.BinarySI),
			corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(math.Ceil(float64(storage)/10)), resource.BinarySI),
		},
	}
}

// MaxPods is how many pods get an address: ENIs × (addresses − 1) + 2
// (https://github.com/awslabs/amazon-eks-ami/blob/main/templates/shared/runtime/eni-max-pods.txt).
func (t *Type) MaxPods() int { return t.ENIs*(t.IPsPerENI-1) + 2 }

// Overhead is what the system keeps: capacity minus allocatable.
func (r Resources) Overhead() corev1.ResourceList {
	sum := maps.Clone(r.KubeReserved)
	for name, q := range r.EvictionThreshold {
		total := sum[name].DeepCopy()
		total.Add(q)
		sum[name] = total
	}
	return sum
}

// Allocatable is what pods may request. Nothing in it is negative.
func (r Resources) Allocatable() corev1.ResourceList {
	overhead := r.Overhead()
	left := make(corev1.ResourceList, len(r.Capacity))
	for name, q := range r.Capacity {
		q = q.DeepCopy()
		if kept, ok := overhead[name]; ok {
			q.Sub(kept)
		}
		if q.Sign() < 0 {
			q.Set(0)
		}
		left[name] = q
	}
	return left
}

// kubeReservedMilliCPU is the piecewise formula of EKS and Bottlerocket: 6% of the first core, 1% of the second,
// 0.5% of the next two, 0.25% of the rest, each part rounded down.
// Karpenter keeps the sum in whole millis per part too.
func kubeReservedMilliCPU(milli int64) int64 {
	reserved := int64(0)
	for _, part := range []struct {
		start, end int64
		share      float64
	}{{0, 1000, 0.06}, {1000, 2000, 0.01}, {2000, 4000, 0.005}, {4000, math.MaxInt64, 0.0025}} {
		if milli > part.start {
			reserved += int64(float64(min(milli, part.end)-part.start) * part.share)
		}
	}
	return reserved
}

// ResourceName is the extended resource that the maker's device plugin advertises; empty when there is none.
func (g GPUs) ResourceName() corev1.ResourceName {
	switch {
	case g.Count == 0:
		return ""
	case strings.HasPrefix(g.Name, "NVIDIA"):
		return "nvidia.com/gpu"
	case strings.HasPrefix(g.Name, "AMD"):
		return "amd.com/gpu"
	case strings.HasPrefix(g.Name, "AWS"):
		return "aws.amazon.com/neuron"
	}
	return ""
}
