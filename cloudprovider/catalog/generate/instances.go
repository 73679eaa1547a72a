package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// instance is one record of ec2-instances-info's instances.json, as far as it is used.
type instance struct {
	Name      string   `json:"instance_type"`
	Arch      []string `json:"arch"`
	VCPU      int      `json:"vCPU"`
	MemoryGiB float64  `json:"memory"`
	GPUs      int      `json:"GPU"`
	GPUModel  string   `json:"GPU_model"`
	// GPUMemoryGiB is the sum over all GPUs.
	GPUMemoryGiB float64 `json:"GPU_memory"`
	Storage      *struct {
		Devices int    `json:"devices"`
		Size    int    `json:"size"`
		Unit    string `json:"size_unit"`
	} `json:"storage"`
	VPC *struct {
		IPs  int `json:"ips_per_eni"`
		ENIs int `json:"max_enis"`
	} `json:"vpc"`
	// Zones are zone ids (use1-az1) by region.
	Zones   map[string][]string `json:"availability_zones"`
	Pricing map[string]struct {
		Linux *struct {
			OnDemand string `json:"ondemand"`
			SpotMin  string `json:"spot_min"`
			SpotAvg  string `json:"spot_avg"`
			SpotMax  string `json:"spot_max"`
			Band     string `json:"pct_interrupt"`
		} `json:"linux"`
	} `json:"pricing"`
}

// readInstances decodes record by record: the file is 96 MB.
func readInstances(dir string) (_ []instance, err error) {
	f, err := os.Open(filepath.Join(dir, "data/instances.json"))
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	d := json.NewDecoder(f)
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("reading instances, %w", err)
	}
	var all []instance
	for d.More() {
		var i instance
		if err := d.Decode(&i); err != nil {
			return nil, fmt.Errorf("reading instance %d, %w", len(all), err)
		}
		all = append(all, i)
	}
	return all, nil
}
