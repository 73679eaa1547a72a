package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"sigs.k8s.io/karpenter/pkg/cloudprovider"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/packing/input"
	"supercargo.dev/e2e/bench/packing/mix"
	"supercargo.dev/e2e/bench/program"
)

// The cases, as packing.json names them. growth makes further rows of karpenter-mix and real-ondemand, for Supercargo alone.
const (
	karpenterMix = "karpenter-mix"
	realSpot     = "real-spot"
	realOnDemand = "real-ondemand"
	openb        = "openb"
	custom       = program.Custom
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

// trials are what the flags ask for.
func (s *settings) trials(w io.Writer) ([]trial, error) {
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
		return func(n int) (*contest.Input, error) { return mix.Real(n, s.Seed, m) }
	}
	own := func(n int) (*contest.Input, error) { return mix.KarpenterOwn(n, s.Seed), nil }
	if s.Wants(growth) {
		ours := []contest.Engine{contest.Supercargo}
		add(realOnDemand, ours, []int{10000, 100000}, onReal(mix.Market{}))
		add(karpenterMix, ours, sized(s.Short, nil, []int{100000}), own)
	}
	if s.Wants(realSpot) {
		add(realSpot, both(), sized(s.Short, []int{200, 1000}, []int{200, 1000, 5000}), onReal(mix.Market{Spot: true}))
	}
	if s.Wants(realOnDemand) {
		add(realOnDemand, both(), sized(s.Short, []int{200, 1000}, []int{200, 1000, 5000}), onReal(mix.Market{}))
	}
	if s.Wants(karpenterMix) {
		add(karpenterMix, both(), sized(s.Short, []int{500, 1000}, []int{500, 1000, 2000, 5000, 10000, 20000}), own)
	}
	if s.Wants(openb) {
		if _, err := os.Stat(filepath.Join(s.Data, mix.OpenbFile)); err != nil {
			fmt.Fprintf(w, "SKIPPED: the case openb, its trace is not there (%v); name its folder with --data\n", err)
		} else {
			add(openb, both(), sized(s.Short, []int{1000}, []int{1000, 5000}), func(n int) (*contest.Input, error) { return mix.Openb(s.Data, n, s.Seed) })
		}
	}
	if s.Wants(custom) {
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
	case s.Runs > 0:
		return s.Runs
	case s.Short:
		return 1
	case pods >= 10000:
		return 3
	default:
		return 5
	}
}

// custom reads the problem that somebody else states.
func (s *settings) custom(w io.Writer) (*contest.Input, error) {
	read, err := s.ReadPods(w)
	if err != nil {
		return nil, err
	}
	in := &contest.Input{Pods: read.Pods, Daemons: read.Daemons, Namespaces: read.Namespaces, Seed: s.Seed}
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
