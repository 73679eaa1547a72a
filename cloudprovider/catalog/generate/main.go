// Command generate writes the embedded catalog of instance types and prices.
//
// It is a module of its own, run by `make catalog`, so that nobody who builds
// Supercargo downloads its sources (about 100 MB). It takes them from two Go
// modules at fixed versions, whose checksums the go command verifies, and its
// output depends on nothing else: the same versions give the same bytes.
//
//	go run . -o ../catalog.zip
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	out := flag.String("o", "catalog.zip", "file to write")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	karpenter, err := download("github.com/aws/karpenter-provider-aws", "v1.14.1")
	if err != nil {
		return err
	}
	info, err := download("github.com/cristim/ec2-instances-info", "v0.0.0-20250528091325-32acf84f42eb")
	if err != nil {
		return err
	}
	prices, err := readPrices(karpenter.Dir)
	if err != nil {
		return err
	}
	limits, err := readLimits(karpenter.Dir)
	if err != nil {
		return err
	}
	bandwidth, err := readBandwidth(karpenter.Dir)
	if err != nil {
		return err
	}
	instances, err := readInstances(info.Dir)
	if err != nil {
		return err
	}
	c := build(instances, prices, limits, bandwidth, info.date())
	c.Sources = []source{
		{
			Module: karpenter.Path, Version: karpenter.Version, Sum: karpenter.Sum, Date: karpenter.date(), Licence: "Apache-2.0",
			What: "on-demand prices of us-east-1 and the us-gov regions, network interface limits, network bandwidth",
		},
		{
			Module: info.Path, Version: info.Version, Sum: info.Sum, Date: info.date(), Licence: "MIT (data of ec2instances.info)",
			What: "vCPU, memory, GPUs, storage; on-demand prices elsewhere; spot prices, interruption bands and zones",
		},
	}
	if err := write(out, c); err != nil {
		return err
	}
	fmt.Printf("%s: %d types, %d regions; left out: %d without limits, %d not Linux\n", out, len(c.types), len(c.regions), c.noLimits, c.notLinux)
	return nil
}
