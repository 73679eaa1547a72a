package catalog

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func load(t testing.TB, region string) *Region {
	t.Helper()
	r, err := Load(region)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTypesAreThoseTheVendorDocuments(t *testing.T) {
	region := load(t, "us-east-1")
	type facts struct {
		VCPU, MemoryMiB, MaxPods, StorageGB int
		Arch                                string
		GPUs                                GPUs
		OnDemand                            float64
	}
	for name, want := range map[string]facts{
		"m5.large":     {VCPU: 2, MemoryMiB: 8192, MaxPods: 29, Arch: "amd64", OnDemand: 0.096},
		"m6g.xlarge":   {VCPU: 4, MemoryMiB: 16384, MaxPods: 58, Arch: "arm64", OnDemand: 0.154},
		"i3.large":     {VCPU: 2, MemoryMiB: 15616, MaxPods: 29, StorageGB: 475, Arch: "amd64", OnDemand: 0.156},
		"g4dn.xlarge":  {VCPU: 4, MemoryMiB: 16384, MaxPods: 29, StorageGB: 125, Arch: "amd64", GPUs: GPUs{Name: "NVIDIA T4 Tensor Core", Count: 1, MemoryMiB: 16384}, OnDemand: 0.526},
		"p4d.24xlarge": {VCPU: 96, MemoryMiB: 1152 * 1024, MaxPods: 737, StorageGB: 8000, Arch: "amd64", GPUs: GPUs{Name: "NVIDIA A100", Count: 8, MemoryMiB: 40960}, OnDemand: 21.957642},
	} {
		t.Run(name, func(t *testing.T) {
			typ, ok := region.Type(name)
			if !ok {
				t.Fatal("not in the catalog")
			}
			got := facts{typ.VCPU, typ.MemoryMiB, typ.MaxPods(), typ.LocalStorageGB, typ.Arch, typ.GPUs, typ.OnDemand}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func TestEveryRegionLoadsAndNoPriceIsZero(t *testing.T) {
	names, err := Regions()
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 30 {
		t.Fatalf("%d regions, want at least 30", len(names))
	}
	for _, name := range names {
		r := load(t, name)
		if len(r.Types) < 100 || len(r.Zones) < 2 || r.OnDemandAt.IsZero() {
			t.Errorf("%s: %d types, zones %v, prices of %v", name, len(r.Types), r.Zones, r.OnDemandAt)
		}
		for _, typ := range r.Types {
			if typ.OnDemand <= 0 || typ.Spot.Min <= 0 || typ.Spot.Max <= 0 {
				t.Errorf("%s %s: a price is not positive: %v %v", name, typ.Name, typ.OnDemand, typ.Spot)
			}
			if typ.Spot.Known() && !(typ.Spot.Min <= typ.Spot.Avg && typ.Spot.Avg <= typ.Spot.Max) {
				t.Errorf("%s %s: spot range %v is out of order", name, typ.Name, typ.Spot)
			}
			if len(typ.Zones) == 0 {
				t.Errorf("%s %s: no zone", name, typ.Name)
			}
			for _, q := range typ.Resources(NodeOptions{}).Allocatable() {
				if q.Sign() < 0 {
					t.Errorf("%s %s: negative allocatable", name, typ.Name)
				}
			}
		}
	}
}

func TestZonesAreNamedAfterTheirIDs(t *testing.T) {
	r := load(t, "us-east-1")
	if d := cmp.Diff([]string{"us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d", "us-east-1e", "us-east-1f"}, r.Zones); d != "" {
		t.Error(d)
	}
	m5, _ := r.Type("m5.large") // use1-az1, 2, 4, 5, 6
	if slices.Contains(m5.Zones, "us-east-1c") || len(m5.Zones) != 5 {
		t.Errorf("m5.large in %v", m5.Zones)
	}
	if gov := load(t, "us-gov-west-1"); len(gov.Zones) != 3 {
		t.Errorf("a region of unknown zones has %v", gov.Zones)
	}
}

func TestAnUnknownRegionNamesTheKnownOnes(t *testing.T) {
	if _, err := Load("mars-north-1"); err == nil || !slices.Contains([]string{err.Error()[:21]}, `region "mars-north-1" `[:21]) {
		t.Errorf("error %v", err)
	}
}

// The figures are those Karpenter's AWS provider computes for m5.large on AL2023 with default options.
func TestAllocatableIsWhatKarpenterComputes(t *testing.T) {
	r := load(t, "us-east-1")
	for name, want := range map[string]map[corev1.ResourceName]string{
		// 8192 − ⌈614.4⌉ = 7577 Mi capacity; − (11·29+255 = 574) − 100
		"m5.large": {"cpu": "1930m", "memory": "6903Mi", "pods": "29", "ephemeral-storage": "18253611008"},
		// 16384 − 64 − ⌈1224⌉ = 15096 Mi; − (11·58+255 = 893) − 100
		"m6g.xlarge":  {"cpu": "3920m", "memory": "14103Mi", "pods": "58", "ephemeral-storage": "18253611008"},
		"g4dn.xlarge": {"cpu": "3920m", "memory": "14481Mi", "pods": "29", "ephemeral-storage": "18253611008", "nvidia.com/gpu": "1"},
	} {
		typ, _ := r.Type(name)
		got := map[corev1.ResourceName]string{}
		for n, q := range typ.Resources(NodeOptions{}).Allocatable() {
			got[n] = q.String()
			if n == "ephemeral-storage" {
				got[n] = q.AsDec().String()
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	m5, _ := r.Type("m5.large")
	more := m5.Resources(NodeOptions{MaxPods: 110, EphemeralStorage: 100 * gib})
	if p := more.Capacity[corev1.ResourcePods]; p.Value() != 110 {
		t.Errorf("pods %v", p.Value())
	}
}

func TestInterruptionBandsConvertToHourlyRates(t *testing.T) {
	for _, c := range []struct {
		band      Band
		wantMonth float64
	}{{Band{0, .05}, .025}, {Band{.10, .15}, .125}, {Band{.20, 1}, .25}} {
		rate, ok := c.band.PerHour()
		if got := 1 - math.Exp(-rate*hoursPerMonth); !ok || math.Abs(got-c.wantMonth) > 1e-12 {
			t.Errorf("band %v: %v of instances interrupted in a month, want %v", c.band, got, c.wantMonth)
		}
	}
	if _, ok := unknownBand().PerHour(); ok {
		t.Error("an unknown band has a rate")
	}
}

func TestProvenanceIsStated(t *testing.T) {
	sources, err := Sources()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		if s.Module == "" || s.Version == "" || s.Sum == "" || s.Date == "" || s.Licence == "" {
			t.Errorf("source %+v", s)
		}
	}
	if len(sources) != 2 {
		t.Errorf("%d sources", len(sources))
	}
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		load(b, "us-east-1")
	}
}
