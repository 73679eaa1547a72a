// Package offering reads off a node what it was bought as: its capacity type, the spot pool that it comes from, what it costs
// and how likely it is to be taken away. It does not judge: unknown stays unknown.
package offering

import (
	"math"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
)

// CapacityTypeLabel is Karpenter's; provisioners that speak of spot by another label are understood as well.
const CapacityTypeLabel = "karpenter.sh/capacity-type"

const spot = "spot"

// Pool is a spot market: capacity of one pool tends to be reclaimed together.
type Pool struct {
	InstanceType, Zone string
}

// PoolOf returns the pool of a node. Parts that the node does not state are empty.
func PoolOf(node *corev1.Node) Pool {
	return Pool{InstanceType: node.Labels[corev1.LabelInstanceTypeStable], Zone: node.Labels[corev1.LabelTopologyZone]}
}

// IsSpot says whether a node can be reclaimed at short notice. A node that says nothing of its capacity type is not spot:
// it was not bought by anybody who buys spot.
func IsSpot(node *corev1.Node) bool {
	labels := node.Labels
	if capacityType, ok := labels[CapacityTypeLabel]; ok {
		return capacityType == spot
	}
	switch {
	case labels["eks.amazonaws.com/capacityType"] == "SPOT", // EKS managed node groups
		labels["cloud.google.com/gke-spot"] == "true",
		labels["cloud.google.com/gke-preemptible"] == "true",
		labels["kubernetes.azure.com/scalesetpriority"] == spot,
		labels["node.kubernetes.io/lifecycle"] == spot: // kOps and self-made groups
		return true
	}
	return false
}

// Price returns what a node costs in USD per hour; false where that is unknown.
func Price(node *corev1.Node) (usdPerHour float64, known bool) {
	return decimal(node.Annotations[v1alpha1.PriceAnnotation])
}

// Risk returns how many interruptions per hour are to be expected of a node; false where that is unknown.
func Risk(node *corev1.Node) (perHour float64, known bool) {
	return decimal(node.Annotations[v1alpha1.RiskAnnotation])
}

// decimal parses a finite number that is not negative. Zero is a price: a node may be free.
func decimal(s string) (float64, bool) {
	if s == "" {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0, false
	}
	return v, true
}
