package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/provisioner/packing"
)

// priceBook tells what existing nodes cost.
type priceBook struct {
	fallback string // region of nodes that name none
	regions  map[string]*catalog.Region
}

// load returns a region of the catalog, nil for one that it does not have.
func (b *priceBook) load(name string) *catalog.Region {
	if r, ok := b.regions[name]; ok {
		return r
	}
	r, err := catalog.Load(name)
	if err != nil {
		r = nil // an unknown region makes unknown prices, which are reported
	}
	b.regions[name] = r
	return r
}

// price returns USD per hour, or NaN and why it is not known.
func (b *priceBook) price(node *corev1.Node) (usd float64, unknown string) {
	if text, ok := node.Annotations[v1alpha1.PriceAnnotation]; ok {
		p, err := strconv.ParseFloat(text, 64)
		if err == nil && p >= 0 && !math.IsInf(p, 0) {
			return p, ""
		}
		return math.NaN(), fmt.Sprintf("annotation %s is no price: %q", v1alpha1.PriceAnnotation, text)
	}
	// The simulated cloud sells the catalog's machines under AWS's names.
	if provider, _, ok := strings.Cut(node.Spec.ProviderID, ":"); ok && provider != CloudAWS && provider != "sim" {
		return math.NaN(), fmt.Sprintf("the catalog has no prices of provider %q; annotate the node with %s", provider, v1alpha1.PriceAnnotation)
	}
	name := instanceTypeOf(node)
	if name == "" {
		return math.NaN(), "the node has no label " + corev1.LabelInstanceTypeStable
	}
	region := regionOf(node)
	if region == "" {
		region = b.fallback
	}
	r := b.load(region)
	if r == nil {
		return math.NaN(), fmt.Sprintf("the catalog has no region %q", region)
	}
	t, ok := r.Type(name)
	if !ok {
		return math.NaN(), fmt.Sprintf("the catalog has no %s in %s", name, region)
	}
	usd, what := t.OnDemand, "on-demand"
	if capacityTypeOf(node) == packing.CapacitySpot {
		usd, what = t.Spot.Avg, "spot"
	}
	if math.IsNaN(usd) {
		return usd, fmt.Sprintf("the catalog has no %s price of %s in %s", what, name, region)
	}
	return usd, ""
}

func instanceTypeOf(node *corev1.Node) string {
	return firstLabel(node, corev1.LabelInstanceTypeStable, corev1.LabelInstanceType)
}

func zoneOf(node *corev1.Node) string {
	return firstLabel(node, corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaZone)
}

// regionOf reads the label; a node without it is in the region that its zone's name gives away.
func regionOf(node *corev1.Node) string {
	if region := firstLabel(node, corev1.LabelTopologyRegion, corev1.LabelFailureDomainBetaRegion); region != "" {
		return region
	}
	return strings.TrimRight(zoneOf(node), "abcdef")
}

func archOf(node *corev1.Node) string {
	if arch := firstLabel(node, corev1.LabelArchStable, "beta.kubernetes.io/arch"); arch != "" {
		return arch
	}
	return "amd64"
}

func firstLabel(node *corev1.Node, keys ...string) string {
	for _, key := range keys {
		if v := node.Labels[key]; v != "" {
			return v
		}
	}
	return ""
}

// Labels by which clouds and node managers tell spot capacity.
const (
	labelEKSCapacityType = "eks.amazonaws.com/capacityType"
	labelLifecycle       = "node.kubernetes.io/lifecycle"
	labelGKESpot         = "cloud.google.com/gke-spot"
	labelGKEPreemptible  = "cloud.google.com/gke-preemptible"
	labelAKSPriority     = "kubernetes.azure.com/scalesetpriority"
)

// capacityTypeOf reads the labels; a node without any is on-demand, the dearer reading.
func capacityTypeOf(node *corev1.Node) string {
	if v := node.Labels[packing.LabelCapacityType]; v != "" {
		return v
	}
	switch l := node.Labels; {
	case strings.EqualFold(l[labelEKSCapacityType], "SPOT"), strings.EqualFold(l[labelLifecycle], "spot"),
		strings.EqualFold(l[labelLifecycle], "Ec2Spot"), l[labelGKESpot] == "true", l[labelGKEPreemptible] == "true",
		l[labelAKSPriority] == "spot":
		return packing.CapacitySpot
	}
	return packing.CapacityOnDemand
}
