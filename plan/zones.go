package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"supercargo.dev/cloudprovider/catalog"
)

// labelZoneID is the label that holds the zone's ID, which is the same for every account.
const labelZoneID = "topology.k8s.aws/zone-id"

// zoneOffer tells which types a zone offers. The names of zones are each account's own: one account's us-east-1a is another's
// us-east-1c. The catalog gives the names in the order of the IDs, so a name means something only together with an ID.
type zoneOffer struct {
	// catalogName of an account's zone, by the IDs on its nodes.
	catalogName map[string]string
	// untold is set where nodes run in zones that would not offer them under the catalog's names: the account's are others.
	untold bool
}

func newZoneOffer(region *catalog.Region, nodes []*corev1.Node) *zoneOffer {
	z := &zoneOffer{catalogName: map[string]string{}}
	for _, n := range nodes {
		if _, number, ok := strings.Cut(n.Labels[labelZoneID], "-az"); ok && len(number) == 1 && number[0] >= '1' && number[0] <= '9' {
			z.catalogName[zoneOf(n)] = region.Name + string('a'+number[0]-'1')
		}
	}
	for _, n := range nodes {
		zone := zoneOf(n)
		if t, ok := region.Type(instanceTypeOf(n)); ok && zone != "" && regionOf(n) == region.Name && !z.has(t, zone) {
			z.untold = true
		}
	}
	return z
}

// has says whether a zone offers a type.
func (z *zoneOffer) has(t *catalog.Type, zone string) bool {
	if name, ok := z.catalogName[zone]; ok {
		return slices.Contains(t.Zones, name)
	}
	return z.untold || slices.Contains(t.Zones, zone)
}
