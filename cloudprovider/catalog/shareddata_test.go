package catalog

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// shared reads a table of the real-data folder, keyed by its header.
func shared(t *testing.T, name string) []map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("../../../shared/data/aws-ec2", name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("SKIPPED: %s is not on this machine; CI has it", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, column := range rows[0] {
			m[column] = row[i]
		}
		all = append(all, m)
	}
	return all
}

func TestHardwareAgreesWithThePublishedTable(t *testing.T) {
	r := load(t, "us-east-1")
	compared := 0
	for _, row := range shared(t, "instance_types_2025-05.csv.gz") {
		typ, ok := r.Type(row["instance_type"])
		if !ok {
			continue
		}
		compared++
		memory, err := strconv.ParseFloat(row["memory_gib"], 64)
		if err != nil {
			t.Fatal(err)
		}
		if strconv.Itoa(typ.VCPU) != row["vcpu"] || math.Abs(float64(typ.MemoryMiB)-memory*1024) > 1 {
			t.Errorf("%s: %d vCPU %d MiB, want %s and %s GiB", typ.Name, typ.VCPU, typ.MemoryMiB, row["vcpu"], row["memory_gib"])
		}
	}
	if compared < 800 {
		t.Errorf("compared only %d types", compared)
	}
}

func TestPodLimitsAgreeWithTheVPCTable(t *testing.T) {
	r := load(t, "us-east-1")
	compared := 0
	for _, row := range shared(t, "vpclimits_2026-08-06.csv.gz") {
		typ, ok := r.Type(row["instance_type"])
		if !ok || row["network_cards"] != "1" { // the table sums over all cards; pods use the default one
			continue
		}
		compared++
		if strconv.Itoa(typ.MaxPods()) != row["max_pods_eni"] {
			t.Errorf("%s: %d pods, want %s", typ.Name, typ.MaxPods(), row["max_pods_eni"])
		}
	}
	if compared < 700 {
		t.Errorf("compared only %d types", compared)
	}
}

func TestPricesAgreeWithThePublishedTable(t *testing.T) {
	regions := map[string]*Region{}
	compared, spots := 0, 0
	for _, row := range shared(t, "prices_linux_all_regions_2025-05.csv.gz") {
		name := row["region"]
		if name == "us-east-1" || name[:5] == "us-go" {
			continue // these come from a newer list
		}
		if _, seen := regions[name]; !seen {
			regions[name], _ = Load(name) // local zones are not in the catalog
		}
		if regions[name] == nil {
			continue
		}
		typ, ok := regions[name].Type(row["instance_type"])
		if !ok {
			continue
		}
		compared++
		if !samePrice(row["ondemand"], typ.OnDemand) || !samePrice(row["spot_avg"], typ.Spot.Avg) {
			t.Errorf("%s %s: on-demand %v spot %v, want %s and %s", name, typ.Name, typ.OnDemand, typ.Spot.Avg, row["ondemand"], row["spot_avg"])
		}
		if typ.Spot.Known() {
			spots++
		}
	}
	if compared < 12_000 || spots < 10_000 {
		t.Errorf("compared only %d prices, %d of spot", compared, spots)
	}
}

func TestOnDemandPricesAgreeWithTheNewerList(t *testing.T) {
	r := load(t, "us-east-1")
	same, changed := 0, 0
	for _, row := range shared(t, "ondemand_us-east-1_2026-07-20.csv.gz") {
		typ, ok := r.Type(row["instance_type"])
		switch {
		case !ok:
		case samePrice(row["ondemand_usd_hour"], typ.OnDemand):
			same++
		default:
			changed++ // the list is two weeks younger
		}
	}
	if same < 800 || changed > same/50 {
		t.Errorf("%d prices are the same, %d differ", same, changed)
	}
}

func samePrice(want string, got float64) bool {
	w, err := strconv.ParseFloat(want, 64)
	if err != nil || w == 0 {
		return math.IsNaN(got)
	}
	return math.Abs(w-got) < 1e-9
}
