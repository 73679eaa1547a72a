package catalog

import (
	"math"
	"testing"
)

func TestBrokenTablesAreRefused(t *testing.T) {
	types := map[string]Type{"m5.large": {Name: "m5.large"}}
	for name, region := range map[string]string{
		"a type nobody described":   "m9.large,1,,,,,",
		"a price of zero":           "m5.large,0,,,,,",
		"a negative price":          "m5.large,1,-1,,,,",
		"a price that is no number": "m5.large,NaN,,,,,",
		"a zone that is no digit":   "m5.large,1,,,,,x",
		"an unknown band":           "m5.large,1,,,,7,",
		"a missing column":          "m5.large,1",
		"the same type twice":       "m5.large,1,,,,,\nm5.large,1,,,,,",
	} {
		if _, err := parseRegion("r-1", []byte(region), types); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("m5.large,amd64,2,8192,,,,3,10,,750,nitro,\n"), []byte("m5.large,0.096,0.0315,0.03168,0.0383,2,12456\n"))
	f.Add([]byte("g4dn.xlarge,amd64,4,16384,1,NVIDIA T4 Tensor Core,16384,3,10,125,5000,nitro,1"), []byte("g4dn.xlarge,,,0.1,,,\n"))
	f.Fuzz(func(t *testing.T, types, region []byte) {
		parsed, err := parseTypes(types)
		if err != nil {
			return
		}
		r, err := parseRegion("r-1", region, parsed)
		if err != nil {
			return
		}
		for _, typ := range r.Types {
			if typ.OnDemand <= 0 || typ.Spot.Min <= 0 || math.IsInf(typ.OnDemand, 0) || len(typ.Zones) == 0 {
				t.Errorf("accepted %+v", typ)
			}
			if found, ok := r.Type(typ.Name); !ok || found.Name != typ.Name {
				t.Errorf("%s is not found by its name", typ.Name)
			}
		}
	})
}
