package catalog

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The columns are written by generate/build.go.
const (
	typeColumns   = 13
	regionColumns = 7
)

// fields walks the columns of one row and keeps the first error.
type fields struct {
	row []string
	err error
}

func (f *fields) text() string {
	if len(f.row) == 0 {
		return ""
	}
	s := f.row[0]
	f.row = f.row[1:]
	return s
}

// count reads a whole number; empty is 0.
func (f *fields) count() int {
	s := f.text()
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err == nil && (n < 0 || n > 1<<40) {
		err = fmt.Errorf("%d is out of range", n)
	}
	if err != nil && f.err == nil {
		f.err = err
	}
	return n
}

// price reads USD per hour; empty is unknown.
func (f *fields) price() float64 {
	s := f.text()
	if s == "" {
		return math.NaN()
	}
	p, err := strconv.ParseFloat(s, 64)
	if err == nil && !(p > 0 && p < 1e6) {
		err = fmt.Errorf("%s is not a price", s)
	}
	if err != nil && f.err == nil {
		f.err = err
	}
	return p
}

// rows calls visit with the columns of each line. No field of the catalog holds a comma, a quote or a line break.
func rows(data []byte, columns int, visit func(*fields)) error {
	row := make([]string, 0, columns)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		row = row[:0]
		for field := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), ",") {
			row = append(row, field)
		}
		if len(row) != columns {
			return fmt.Errorf("catalog line %d has %d columns, want %d", n, len(row), columns)
		}
		f := &fields{row: row}
		visit(f)
		if f.err != nil {
			return fmt.Errorf("catalog line %d, %w", n, f.err)
		}
	}
	return nil
}

func parseTypes(data []byte) (map[string]Type, error) {
	types := make(map[string]Type, 1024)
	err := rows(data, typeColumns, func(f *fields) {
		t := Type{
			Name: f.text(), Arch: f.text(), VCPU: f.count(), MemoryMiB: f.count(),
			GPUs: GPUs{Count: f.count(), Name: f.text(), MemoryMiB: f.count()},
			ENIs: f.count(), IPsPerENI: f.count(),
			LocalStorageGB: f.count(), NetworkMbps: f.count(),
			Hypervisor: f.text(), BareMetal: f.text() != "",
			OnDemand: math.NaN(), Spot: unknownRange(), Interruption: unknownBand(),
		}
		t.Family, t.Size, _ = strings.Cut(t.Name, ".")
		if t.Name == "" || t.VCPU == 0 || t.MemoryMiB == 0 || t.ENIs == 0 || t.IPsPerENI == 0 {
			f.err = fmt.Errorf("type %q lacks a name, vCPU, memory or interfaces", t.Name)
		}
		types[t.Name] = t
	})
	return types, err
}

func parseRegion(name string, data []byte, types map[string]Type) (*Region, error) {
	r := &Region{Name: name}
	digits := map[string]bool{}
	offered := map[string][]string{} // zone names by their digits, shared by the types
	var zoneDigits []string
	err := rows(data, regionColumns, func(f *fields) {
		id := f.text()
		t, ok := types[id]
		if !ok {
			f.err = fmt.Errorf("type %q is not described", id)
			return
		}
		t.OnDemand = f.price()
		t.Spot = spotRange(f.price(), f.price(), f.price())
		t.Interruption = f.band()
		zones := f.text()
		for _, d := range zones {
			if d < '1' || d > '9' {
				f.err = fmt.Errorf("zone %q is not a digit", d)
				return
			}
			digits[string(d)] = true
		}
		r.Types = append(r.Types, t)
		zoneDigits = append(zoneDigits, zones)
	})
	if err != nil {
		return nil, fmt.Errorf("region %s, %w", name, err)
	}
	for d := range digits {
		r.Zones = append(r.Zones, zoneName(name, d[0]))
	}
	slices.Sort(r.Zones)
	if len(r.Zones) == 0 {
		r.Zones = []string{name + "a", name + "b", name + "c"}
	}
	offered[""] = r.Zones // not known where: everywhere
	r.index = make(map[string]int, len(r.Types))
	for i := range r.Types {
		zones, ok := offered[zoneDigits[i]]
		if !ok {
			for _, d := range []byte(zoneDigits[i]) {
				zones = append(zones, zoneName(name, d))
			}
			offered[zoneDigits[i]] = zones
		}
		r.Types[i].Zones = zones
		if _, twice := r.index[r.Types[i].Name]; twice {
			return nil, fmt.Errorf("region %s has type %s twice", name, r.Types[i].Name)
		}
		r.index[r.Types[i].Name] = i
	}
	return r, nil
}

func zoneName(region string, digit byte) string { return region + string('a'+digit-'1') }

// spotRange makes a range of what is known: the average is taken over a longer time than the extremes, so it may
// lie outside them, and some regions have only the average.
func spotRange(low, avg, high float64) Range {
	switch {
	case math.IsNaN(avg) && (math.IsNaN(low) || math.IsNaN(high)):
		return unknownRange()
	case math.IsNaN(avg):
		avg = (low + high) / 2
	}
	if math.IsNaN(low) {
		low = avg
	}
	if math.IsNaN(high) {
		high = avg
	}
	return Range{Min: min(low, avg, high), Avg: avg, Max: max(low, avg, high)}
}
