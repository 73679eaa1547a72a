package main

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

type source struct {
	Module  string `json:"module"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
	Date    string `json:"date"`
	Licence string `json:"licence"`
	What    string `json:"what"`
}

type regionInfo struct {
	OnDemandAt string `json:"onDemandAt"`
	SpotAt     string `json:"spotAt,omitempty"`
}

type catalog struct {
	Sources []source              `json:"sources"`
	Regions map[string]regionInfo `json:"regions"`

	types              [][]string
	regions            map[string][][]string
	noLimits, notLinux int
}

var (
	// wholeRegion leaves out local zones and wavelength zones (us-east-1-dfw-1, us-east-1-wl1-nyc1).
	wholeRegion = regexp.MustCompile(`^[a-z]{2}(-gov)?-[a-z]+-\d$`)
	zoneID      = regexp.MustCompile(`-az([1-9])$`)
	bands       = []string{"<5%", "5-10%", "10-15%", "15-20%", ">20%"}
)

func build(instances []instance, prices map[string]priceList, limits map[string]vpcLimits, bandwidth map[string]int, infoDate string) *catalog {
	slices.SortFunc(instances, func(a, b instance) int { return strings.Compare(a.Name, b.Name) })
	c := &catalog{Regions: map[string]regionInfo{}, regions: map[string][][]string{}}
	for _, i := range instances {
		arch := architecture(i.Arch)
		l, known := limits[i.Name]
		if !known && i.VPC != nil {
			l, known = vpcLimits{interfaces: i.VPC.ENIs, ips: i.VPC.IPs}, true
		}
		switch {
		case arch == "":
			c.notLinux++
			continue
		case !known || l.interfaces == 0 || l.ips == 0 || i.VCPU == 0 || i.MemoryGiB == 0:
			c.noLimits++
			continue
		}
		c.types = append(c.types, typeRow(i, arch, l, bandwidth[i.Name]))
		regions := map[string]bool{}
		for r, p := range i.Pricing {
			regions[r] = wholeRegion.MatchString(r) && p.Linux != nil
		}
		for r, list := range prices {
			regions[r] = regions[r] || list.usd[i.Name] != ""
		}
		for r, offered := range regions {
			if row := regionRow(i, r, prices[r]); offered && row != nil {
				c.regions[r] = append(c.regions[r], row)
			}
		}
	}
	for r := range c.regions {
		info := regionInfo{OnDemandAt: infoDate, SpotAt: infoDate}
		if list, ok := prices[r]; ok {
			info.OnDemandAt = list.date
		}
		c.Regions[r] = info
	}
	return c
}

func typeRow(i instance, arch string, l vpcLimits, mbps int) []string {
	gpuName, gpuMemory := "", ""
	gpus := i.GPUs
	if gpus > 0 && i.GPUModel == "" {
		gpus = 0 // of unknown make: which resource it is cannot be told
	}
	if gpus > 0 {
		gpuName = i.GPUModel
		gpuMemory = strconv.Itoa(int(math.Round(i.GPUMemoryGiB * 1024 / float64(gpus))))
	}
	storage := 0
	if i.Storage != nil && i.Storage.Unit == "GB" {
		storage = i.Storage.Devices * i.Storage.Size
	}
	return []string{
		i.Name, arch, strconv.Itoa(i.VCPU), strconv.Itoa(int(math.Round(i.MemoryGiB * 1024))),
		number(gpus), gpuName, gpuMemory, strconv.Itoa(l.interfaces), strconv.Itoa(l.ips),
		number(storage), number(mbps), l.hypervisor, flag01(l.bareMetal),
	}
}

// regionRow is nil when no price is known at all.
func regionRow(i instance, region string, list priceList) []string {
	row := []string{i.Name, list.usd[i.Name], "", "", "", "", zones(i.Zones[region])}
	if l := i.Pricing[region].Linux; l != nil {
		if row[1] == "" {
			row[1] = l.OnDemand
		}
		row[2], row[3], row[4] = l.SpotMin, l.SpotAvg, l.SpotMax
		if b := slices.Index(bands, l.Band); b >= 0 {
			row[5] = strconv.Itoa(b)
		}
	}
	for n := 1; n <= 4; n++ {
		row[n] = price(row[n])
	}
	if row[1] == "" && row[3] == "" {
		return nil
	}
	return row
}

// price drops trailing zeros, and what is not a positive number: an unknown price is empty, never 0.
func price(s string) string {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f > 0) || math.IsInf(f, 0) {
		return ""
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// zones keeps the digits of zone ids: "use1-az1, use1-az4" is "14".
func zones(ids []string) string {
	var digits []string
	for _, id := range ids {
		if m := zoneID.FindStringSubmatch(id); m != nil {
			digits = append(digits, m[1])
		}
	}
	slices.Sort(digits)
	return strings.Join(slices.Compact(digits), "")
}

func architecture(archs []string) string {
	switch {
	case slices.Contains(archs, "x86_64"):
		return "amd64"
	case slices.Contains(archs, "arm64"):
		return "arm64"
	}
	return "" // macOS hosts
}

// number leaves zero empty.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func flag01(b bool) string {
	if b {
		return "1"
	}
	return ""
}
