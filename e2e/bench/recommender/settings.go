package recommender

import (
	"fmt"
	"time"

	"supercargo.dev/recommender/estimate"
)

// Setting of an engine.
type Setting struct {
	// Engine is supercargo or vpa, Name what its row is called.
	Engine, Name string
	// New makes an engine for one workload.
	New func() (Engine, error)
	// Curve is whether the setting is a point of its engine's curve in plots.
	Curve bool
}

// Engines of rows.
const (
	Supercargo = "supercargo"
	VPA        = "vpa"
	Kruize     = "kruize"
	// Hindsight is no engine but a bound: the least that could be reserved at a peer's violations.
	Hindsight = "hindsight"
)

// Names of settings that bars refer to.
const (
	settingDefault  = "default"
	settingNoFloors = "no-floors"
)

// Lean is a policy for those who want less reserved at VPA's violation rates: memory has 3% on its maximum once the workload
// is no newcomer. Burst is what a percent of samples may cost and newcomer what a newcomer gets on top, in thousandths of
// a core. manifests/examples has it as an object.
func Lean(burst, newcomer int64) estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Burst, p.CPU.Floor = burst, 1
	p.Memory.Overhead, p.Memory.Floor = 0.03, 4*mib
	p.Newcomer.MilliCPU = newcomer
	return p
}

// Following is a policy whose CPU follows the load of the last hours instead of a week's, for workloads that may be
// changed often. manifests/examples has it as an object.
func Following(lookback time.Duration) estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile, p.CPU.Burst, p.CPU.Lookback = 85, 12, lookback
	return p
}

// thrifty is lean with less for bursts and newcomers, by the last hours.
func thrifty() estimate.Policy {
	p := Lean(2, 1)
	p.CPU.Lookback = 6 * time.Hour
	p.Newcomer.MemoryBytes, p.Newcomer.MinMemoryBytes = 32*mib, 96*mib
	return p
}

// plain is percentile and maximum of 7 d, each plus 10%, and no more.
func plain() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile = 95
	p.CPU.Burst, p.Newcomer = 0, estimate.Newcomer{}
	return p
}

// cautious reserves about what VPA does as it ships.
func cautious() estimate.Policy {
	p := Lean(30, 18)
	p.Newcomer.MinMemoryBytes = 480 * mib
	return p
}

// steady is for workloads of whole cores, beside which memory costs little: bursts worth more, and more memory.
func steady() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Burst, p.Memory.Overhead, p.Newcomer.MemoryBytes = 12, 0.15, 256*mib
	return p
}

// Settings are the points that are replayed.
func Settings() []Setting {
	var out []Setting
	ours := func(name string, curve bool, p estimate.Policy) {
		out = append(out, Setting{Supercargo, name, func() (Engine, error) { return NewSupercargo(p), nil }, curve})
	}
	ours(settingDefault, false, estimate.DefaultPolicy())
	ours("percentile-only", false, plain())
	ours("thrifty", true, thrifty())
	for _, m := range [][2]int64{{2, 2}, {3, 2}, {5, 2}, {6, 2}, {6, 4}, {8, 4}, {8, 6}, {10, 6}, {12, 8}, {20, 8}, {20, 14}, {30, 18}} {
		ours(fmt.Sprintf("lean-%dm+%dm", m[0], m[1]), true, Lean(m[0], m[1]))
	}
	ours("cautious", true, cautious())
	ours("steady", false, steady())
	ours("following-3h", false, Following(3*time.Hour))
	ours("following-6h", false, Following(6*time.Hour))
	recent := Lean(6, 2)
	recent.CPU.Lookback = 6 * time.Hour
	ours("lean-6m+2m-6h", false, recent)
	theirs := func(name string, curve bool, s VPASettings) {
		out = append(out, Setting{VPA, name, func() (Engine, error) { return NewVPA(s) }, curve})
	}
	theirs(settingDefault, true, VPAShipped())
	theirs(settingNoFloors, true, VPAShipped().WithoutFloors())
	for _, p := range []float64{0.5, 0.8, 0.95, 0.98, 0.99} {
		s := VPAShipped().WithoutFloors()
		s.Percentile = p
		theirs(fmt.Sprintf("p%g-no-floors", 100*p), true, s)
	}
	for _, margin := range []float64{0, 0.3} {
		s := VPAShipped().WithoutFloors()
		s.Margin = margin
		theirs(fmt.Sprintf("margin-%g%%-no-floors", 100*margin), false, s)
	}
	return out
}
