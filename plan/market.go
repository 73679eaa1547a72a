package plan

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/api/v1alpha1"
	"supercargo.dev/cloudprovider/catalog"
	"supercargo.dev/provisioner/packing"
)

// SpotMode says whether spot capacity may be bought.
type SpotMode string

// The modes of spot capacity.
const (
	SpotOff  SpotMode = "off"
	SpotOn   SpotMode = "on"
	SpotOnly SpotMode = "only"
)

// minGeneration of the families that a category stands for; older ones are seldom to be had and never cheaper for what they do.
const minGeneration = 3

// market lists what may be bought.
type market struct {
	region *catalog.Region
	zones  []string
	archs  []string
	offer  *zoneOffer
	limit  podLimit
	types  []packing.InstanceType
	byName map[string]int
}

func newMarket(region *catalog.Region, o *Options, nodes []*corev1.Node, archs []string) (*market, error) {
	zones := o.Zones
	m := &market{region: region, zones: zones, archs: archs, offer: newZoneOffer(region, nodes), byName: map[string]int{}}
	m.limit = newPodLimit(o.MaxPods, region, nodes)
	for i := range region.Types {
		t := &region.Types[i]
		if !familyAllowed(t, o.Families) || !slices.Contains(archs, t.Arch) {
			continue
		}
		it := m.instanceType(t, o)
		if len(it.Offerings) == 0 {
			continue
		}
		m.byName[it.Name] = len(m.types)
		m.types = append(m.types, it)
	}
	if len(m.types) == 0 {
		return nil, mistake("no instance type of the families %s with architecture %s is offered in %s in zones %s",
			strings.Join(o.Families, ","), strings.Join(archs, ","), region.Name, strings.Join(zones, ","))
	}
	return m, nil
}

// familyAllowed says whether one of the names stands for the type: a category such as m stands for its families of generation
// 3 and later, without bare metal, accelerators and flex types, whose cpu is not all there all the time; a family such as
// m7i-flex or g5 for all its types, and a type for itself.
func familyAllowed(t *catalog.Type, names []string) bool {
	category := categoryOf(t.Family)
	for _, name := range names {
		switch {
		case name == t.Name, name == t.Family && !t.BareMetal:
			return true
		case name == category && generation(t.Family) >= minGeneration && !t.BareMetal && t.GPUs.Count == 0 && !strings.HasSuffix(t.Family, "-flex"):
			return true
		}
	}
	return false
}

// categoryOf is what a family's name begins with: m of m7g, inf of inf2.
func categoryOf(family string) string {
	if i := strings.IndexFunc(family, func(r rune) bool { return r < 'a' || r > 'z' }); i > 0 {
		return family[:i]
	}
	return family
}

// generation is the number in a family's name: 7 of m7g.
func generation(family string) int {
	from := strings.IndexFunc(family, unicode.IsDigit)
	if from < 0 {
		return 0
	}
	to := from
	for to < len(family) && family[to] >= '0' && family[to] <= '9' {
		to++
	}
	n, err := strconv.Atoi(family[from:to])
	if err != nil {
		return 0
	}
	return n
}

func (m *market) instanceType(t *catalog.Type, o *Options) packing.InstanceType {
	resources := t.Resources(catalog.NodeOptions{MaxPods: m.limit.of(t)})
	it := packing.InstanceType{
		Name: t.Name, Capacity: resources.Capacity, Allocatable: resources.Allocatable(), Labels: typeLabels(m.region.Name, t),
	}
	for _, zone := range m.zones {
		if !m.offer.has(t, zone) {
			continue
		}
		if o.Spot != SpotOnly {
			it.Offerings = append(it.Offerings, offering(zone, packing.CapacityOnDemand, "ON_DEMAND", t.OnDemand, 0))
		}
		if o.Spot != SpotOff && t.Spot.Known() {
			risk, known := t.Interruption.PerHour()
			if !known {
				risk = 0
			}
			it.Offerings = append(it.Offerings, offering(zone, packing.CapacitySpot, "SPOT", t.Spot.Avg, risk))
		}
	}
	return it
}

func offering(zone, capacityType, eks string, price, risk float64) packing.Offering {
	return packing.Offering{
		Zone: zone, CapacityType: capacityType, Price: price, Risk: risk, Available: true,
		Labels: map[string]string{
			labelEKSCapacityType: eks, corev1.LabelFailureDomainBetaZone: zone, "topology.ebs.csi.aws.com/zone": zone,
		},
	}
}

// typeLabels are what AWS's cloud provider, Karpenter's and kubelet put on a node of the type, as far as pods may ask for it.
func typeLabels(region string, t *catalog.Type) map[string]string {
	labels := map[string]string{
		corev1.LabelInstanceTypeStable: t.Name, corev1.LabelInstanceType: t.Name,
		corev1.LabelArchStable: t.Arch, "beta.kubernetes.io/arch": t.Arch,
		corev1.LabelOSStable: "linux", "beta.kubernetes.io/os": "linux",
		corev1.LabelTopologyRegion: region, corev1.LabelFailureDomainBetaRegion: region,
		v1alpha1.InstanceFamilyLabel:            t.Family,
		"karpenter.k8s.aws/instance-family":     t.Family,
		"karpenter.k8s.aws/instance-category":   categoryOf(t.Family),
		"karpenter.k8s.aws/instance-generation": strconv.Itoa(generation(t.Family)),
		"karpenter.k8s.aws/instance-size":       t.Size,
		"karpenter.k8s.aws/instance-cpu":        strconv.Itoa(t.VCPU),
		"karpenter.k8s.aws/instance-memory":     strconv.Itoa(t.MemoryMiB),
		"karpenter.k8s.aws/instance-hypervisor": t.Hypervisor,
	}
	if t.NetworkMbps > 0 {
		labels["karpenter.k8s.aws/instance-network-bandwidth"] = strconv.Itoa(t.NetworkMbps)
	}
	if t.LocalStorageGB > 0 {
		labels["karpenter.k8s.aws/instance-local-nvme"] = strconv.Itoa(t.LocalStorageGB)
	}
	return labels
}

// priced returns a pointer to a price that is known, and nil for one that is not.
func priced(usd float64) *float64 {
	if math.IsNaN(usd) {
		return nil
	}
	rounded := round(usd)
	return &rounded
}

// round to hundredths of a cent, so that the output shows no noise of floating point.
func round(usd float64) float64 { return math.Round(usd*1e4) / 1e4 }
