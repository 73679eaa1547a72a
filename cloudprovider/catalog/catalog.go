// Package catalog is an embedded table of real instance types, their prices and
// their interruption frequencies, per region.
//
// It needs no network and no cloud SDK. What it says is as old as its sources:
// every region carries the dates, NOTICE the provenance. An unknown price is NaN,
// never zero. Prices of a running cluster come from cloudprovider.Market; this
// table is the fallback for list prices, the ground of the simulated cloud, and
// what the offline planner reads.
package catalog

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed catalog.zip
var archive []byte

// Region is what one region offers. It is read only.
type Region struct {
	// Name is the region's name, e.g. us-east-1.
	Name string
	// Zones are the names of its zones, sorted. The sources know zones by id (use1-az1) and which name an
	// account sees for an id is the account's own; here az1 is a, az2 is b and so on. A region whose zones the
	// sources do not know has three: a, b and c.
	Zones []string
	// Types are its instance types, sorted by name.
	Types []Type
	// OnDemandAt and SpotAt are the days the prices were read.
	OnDemandAt, SpotAt time.Time

	index map[string]int
}

// Type is an instance type as one region offers it.
type Type struct {
	// Name is e.g. m5.large; Family is what is before its dot and Size what is after.
	Name, Family, Size string
	// Arch is amd64 or arm64.
	Arch string
	// VCPU is the number of virtual CPUs.
	VCPU int
	// MemoryMiB is the memory the vendor names; see Resources for what a node has of it.
	MemoryMiB int
	// GPUs are the accelerators; Count 0 when there are none.
	GPUs GPUs
	// ENIs are the network interfaces of the default network card, IPsPerENI the IPv4 addresses of each.
	ENIs, IPsPerENI int
	// LocalStorageGB is the size of all local disks, 0 when there are none.
	LocalStorageGB int
	// NetworkMbps is the network bandwidth, 0 when the vendor does not state it.
	NetworkMbps int
	// Hypervisor is nitro, xen or empty for bare metal.
	Hypervisor string
	// BareMetal says that the machine is not virtual.
	BareMetal bool

	// Zones are the zones that offer the type. It is never empty.
	Zones []string
	// OnDemand is the list price in USD per hour for Linux, NaN when unknown.
	OnDemand float64
	// Spot is the range of spot prices in USD per hour; NaN throughout when unknown.
	Spot Range
	// Interruption is how often spot capacity of this type is taken back.
	Interruption Band
}

// GPUs are the accelerators of a type, which are all alike.
type GPUs struct {
	// Name is the model, e.g. "NVIDIA T4 Tensor Core".
	Name string `json:"name"`
	// Count is their number.
	Count int `json:"count"`
	// MemoryMiB is the memory of one of them, 0 when unknown.
	MemoryMiB int `json:"memoryMiB,omitempty"`
}

// Range is where a spot price moved, in USD per hour.
type Range struct{ Min, Avg, Max float64 }

// Known says that there is a spot price at all.
func (r Range) Known() bool { return r.Avg > 0 }

// Load reads one region. It takes a few milliseconds; keep what it returns.
// The error of an unknown region names the known ones.
func Load(region string) (*Region, error) {
	z, err := open()
	if err != nil {
		return nil, err
	}
	data, err := read(z, "regions/"+region+".csv")
	if err != nil {
		names, e := Regions()
		if e != nil {
			return nil, e
		}
		return nil, fmt.Errorf("region %q is not in the catalog, which has %s", region, strings.Join(names, ", "))
	}
	meta, err := readMeta(z)
	if err != nil {
		return nil, err
	}
	hardware, err := read(z, "types.csv")
	if err != nil {
		return nil, err
	}
	types, err := parseTypes(hardware)
	if err != nil {
		return nil, err
	}
	r, err := parseRegion(region, data, types)
	if err != nil {
		return nil, err
	}
	r.OnDemandAt, r.SpotAt = meta.Regions[region].dates()
	return r, nil
}

// Regions names the regions of the catalog, sorted.
func Regions() ([]string, error) {
	z, err := open()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range z.File {
		if dir, file := path.Split(f.Name); dir == "regions/" {
			names = append(names, strings.TrimSuffix(file, ".csv"))
		}
	}
	slices.Sort(names)
	return names, nil
}

// Type looks a type up by name.
func (r *Region) Type(name string) (*Type, bool) {
	i, ok := r.index[name]
	if !ok {
		return nil, false
	}
	return &r.Types[i], true
}

// Source is where a part of the catalog comes from.
type Source struct {
	Module, Version, Sum, Date, Licence, What string
}

// Sources tells where the catalog comes from.
func Sources() ([]Source, error) {
	z, err := open()
	if err != nil {
		return nil, err
	}
	meta, err := readMeta(z)
	if err != nil {
		return nil, err
	}
	return meta.Sources, nil
}

type metadata struct {
	Sources []Source
	Regions map[string]regionMetadata
}

type regionMetadata struct{ OnDemandAt, SpotAt string }

// dates are zero where unknown.
func (m regionMetadata) dates() (onDemand, spot time.Time) {
	onDemand, _ = time.Parse(time.DateOnly, m.OnDemandAt) // zero time says unknown
	spot, _ = time.Parse(time.DateOnly, m.SpotAt)         // zero time says unknown
	return onDemand, spot
}

func open() (*zip.Reader, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("opening the instance catalog, %w", err)
	}
	return z, nil
}

func readMeta(z *zip.Reader) (metadata, error) {
	var m metadata
	data, err := read(z, "meta.json")
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("reading the catalog's metadata, %w", err)
	}
	return m, nil
}

func read(z *zip.Reader, name string) (data []byte, err error) {
	f, err := z.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the instance catalog, %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	return io.ReadAll(f)
}

func unknownRange() Range { return Range{Min: math.NaN(), Avg: math.NaN(), Max: math.NaN()} }
