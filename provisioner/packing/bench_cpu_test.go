package packing_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"supercargo.dev/provisioner/packing"
)

// processorTime is what this process has used of processors, all threads together:
// on a shared machine it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fakeTypes are those of Karpenter's own benchmark (pkg/cloudprovider/fake
// InstanceTypes): n types of 1 to n cores, 2 GiB and 10 pods per core, priced by
// size, in five offerings each.
func fakeTypes(n int) []packing.InstanceType {
	var out []packing.InstanceType
	for i := range int64(n) {
		cores, memory := i+1, (i+1)*2<<30
		capacity := corev1.ResourceList{
			corev1.ResourceCPU: *resource.NewQuantity(cores, resource.DecimalSI), corev1.ResourceMemory: quantity(memory),
			corev1.ResourcePods: quantity(cores * 10), corev1.ResourceEphemeralStorage: quantity(20 << 30),
		}
		allocatable := capacity.DeepCopy()
		allocatable[corev1.ResourceCPU] = *resource.NewMilliQuantity(cores*1000-100, resource.DecimalSI)
		allocatable[corev1.ResourceMemory] = quantity(memory - 10<<20)
		name := fmt.Sprintf("fake-it-%d", i)
		it := packing.InstanceType{Name: name, Capacity: capacity, Allocatable: allocatable, Labels: map[string]string{
			corev1.LabelInstanceTypeStable: name, corev1.LabelArchStable: "amd64", corev1.LabelOSStable: "linux",
		}}
		price := 0.1*float64(cores) + 0.1*float64(memory)/1e9
		for _, zone := range []string{"test-zone-1", "test-zone-2", "test-zone-3"} {
			it.Offerings = append(it.Offerings, packing.Offering{CapacityType: packing.CapacityOnDemand, Zone: zone, Price: price, Available: true})
			if zone != "test-zone-3" {
				it.Offerings = append(it.Offerings, packing.Offering{CapacityType: packing.CapacitySpot, Zone: zone, Price: price, Available: true})
			}
		}
		out = append(out, it)
	}
	return out
}
