package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/karpenter/pkg/cloudprovider"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/packing/input"
	"supercargo.dev/e2e/bench/packing/mix"
)

// The cases, as packing.json names them. growth makes further rows of karpenter-mix and real-ondemand, for Supercargo alone.
const (
	karpenterMix = "karpenter-mix"
	realSpot     = "real-spot"
	realOnDemand = "real-ondemand"
	openb        = "openb"
	custom       = "custom"
	growth       = "growth"
	sweep        = "sweep"
)

// trial is one problem to compare on.
type trial struct {
	name    string
	pods    int
	runs    int
	engines []contest.Engine
	input   func() (*contest.Input, error)
}

func both() []contest.Engine { return []contest.Engine{contest.Supercargo, contest.Karpenter} }

// wants says whether a case is to be run.
func (s *settings) wants(name string) bool {
	if s.pods != "" {
		return name == custom
	}
	if s.cases == "" {
		return name != custom
	}
	for _, c := range strings.Split(s.cases, ",") {
		if strings.TrimSpace(c) == name {
			return true
		}
	}
	return false
}

// trials are what the flags ask for.
func (s *settings) trials(w io.Writer) ([]trial, error) {
	for _, c := range strings.Split(s.cases, ",") {
		switch strings.TrimSpace(c) {
		case "", karpenterMix, realSpot, realOnDemand, openb, growth, sweep:
		case custom:
			if s.pods == "" {
				return nil, fmt.Errorf("the case custom wants --pods FILE")
			}
		default:
			return nil, fmt.Errorf("no case %q; there are karpenter-mix, real-spot, real-ondemand, openb, growth, sweep and, with --pods, custom", c)
		}
	}
	var out []trial
	add := func(name string, engines []contest.Engine, sizes []int, of func(n int) (*contest.Input, error)) {
		if s.engine != "" {
			engines = []contest.Engine{contest.Engine(s.engine)}
		}
		for _, n := range sizes {
			if s.most > 0 && n > s.most && len(engines) > 1 && name != custom {
				continue
			}
			out = append(out, trial{name, n, s.runsOf(n), engines, func() (*contest.Input, error) { return of(n) }})
		}
	}
	onReal := func(m mix.Market) func(int) (*contest.Input, error) {
		return func(n int) (*contest.Input, error) { return mix.Real(n, s.seed, m) }
	}
	own := func(n int) (*contest.Input, error) { return mix.KarpenterOwn(n, s.seed), nil }
	if s.wants(growth) {
		ours := []contest.Engine{contest.Supercargo}
		add(realOnDemand, ours, []int{10000, 100000}, onReal(mix.Market{}))
		add(karpenterMix, ours, sized(s.short, nil, []int{100000}), own)
	}
	if s.wants(realSpot) {
		add(realSpot, both(), sized(s.short, []int{200, 1000}, []int{200, 1000, 5000}), onReal(mix.Market{Spot: true}))
	}
	if s.wants(realOnDemand) {
		add(realOnDemand, both(), sized(s.short, []int{200, 1000}, []int{200, 1000, 5000}), onReal(mix.Market{}))
	}
	if s.wants(karpenterMix) {
		add(karpenterMix, both(), sized(s.short, []int{500, 1000}, []int{500, 1000, 2000, 5000, 10000, 20000}), own)
	}
	if s.wants(openb) {
		if _, err := os.Stat(filepath.Join(s.data, mix.OpenbFile)); err != nil {
			fmt.Fprintf(w, "SKIPPED: the case openb, its trace is not there (%v); name its folder with --data\n", err)
		} else {
			add(openb, both(), sized(s.short, []int{1000}, []int{1000, 5000}), func(n int) (*contest.Input, error) { return mix.Openb(s.data, n, s.seed) })
		}
	}
	if s.wants(custom) {
		in, err := s.custom(w)
		if err != nil {
			return nil, err
		}
		add(custom, both(), []int{len(in.Pods)}, func(int) (*contest.Input, error) { return in, nil })
	}
	return out, nil
}

func sized(short bool, few, all []int) []int {
	if short {
		return few
	}
	return all
}

func (s *settings) runsOf(pods int) int {
	switch {
	case s.runs > 0:
		return s.runs
	case s.short:
		return 1
	case pods >= 10000:
		return 3
	default:
		return 5
	}
}

// custom reads the problem that somebody else states.
func (s *settings) custom(w io.Writer) (*contest.Input, error) {
	f, err := os.Open(s.pods)
	if err != nil {
		return nil, fmt.Errorf("opening --pods, %w", err)
	}
	defer f.Close() // only read
	read, err := input.ReadPods(f)
	if err != nil {
		return nil, fmt.Errorf("reading --pods %s, %w", s.pods, err)
	}
	for _, note := range read.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	in := &contest.Input{Pods: read.Pods, Daemons: read.Daemons, Namespaces: read.Namespaces, Seed: s.seed}
	pool := contest.Pool{NodePool: mix.NodePool("default")}
	if pool.Types, err = s.instanceTypes(read); err != nil {
		return nil, err
	}
	in.Pools = []contest.Pool{pool}
	return in, nil
}

func (s *settings) instanceTypes(read *input.Pods) ([]*cloudprovider.InstanceType, error) {
	if s.types == "" {
		return mix.RealTypes(mix.Market{Spot: true, GPUs: mix.WantsGPUs(read.Pods)})
	}
	f, err := os.Open(s.types)
	if err != nil {
		return nil, fmt.Errorf("opening --types, %w", err)
	}
	defer f.Close() // only read
	types, err := input.ReadTypes(f)
	if err != nil {
		return nil, fmt.Errorf("reading --types %s, %w", s.types, err)
	}
	return types, nil
}
