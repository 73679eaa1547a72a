package plan

import (
	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/cloudprovider/catalog"
)

// Pods of a node on EKS with prefixes delegated to its interfaces
// (https://docs.aws.amazon.com/eks/latest/userguide/cni-increase-ip-addresses.html): 110, and 250 from 30 vCPU on.
const (
	prefixPods       = 110
	prefixPodsLarge  = 250
	prefixLargeVCPUs = 30
)

// podLimit tells how many pods a new node takes.
type podLimit struct {
	same   int  // for all types; 0: by type
	prefix bool // as EKS has it where prefixes are delegated
}

// newPodLimit takes the caller's word, else what the present nodes show: all the same number, whatever their interfaces, is
// a setting of kubelet, and 110 or 250 by size is delegation of prefixes. Otherwise interfaces decide.
func newPodLimit(asked int, region *catalog.Region, nodes []*corev1.Node) podLimit {
	if asked > 0 {
		return podLimit{same: asked}
	}
	found := map[int]bool{}
	byInterfaces, prefix := true, true
	for _, n := range nodes {
		t, ok := region.Type(instanceTypeOf(n))
		if !ok || keepReason(n, nil) != "" {
			continue
		}
		pods := int(n.Status.Capacity.Pods().Value())
		if pods == 0 {
			continue
		}
		found[pods] = true
		byInterfaces = byInterfaces && pods == t.MaxPods()
		prefix = prefix && pods == prefixLimit(t)
	}
	switch {
	case len(found) == 0 || byInterfaces:
		return podLimit{}
	case prefix:
		return podLimit{prefix: true}
	case len(found) == 1:
		for pods := range found {
			return podLimit{same: pods}
		}
	}
	return podLimit{}
}

func prefixLimit(t *catalog.Type) int {
	if t.VCPU >= prefixLargeVCPUs {
		return prefixPodsLarge
	}
	return prefixPods
}

// of is the number for a type; 0 leaves it to the interfaces.
func (l podLimit) of(t *catalog.Type) int {
	if l.prefix {
		return prefixLimit(t)
	}
	return l.same
}
