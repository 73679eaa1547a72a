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
)

// Names of settings that bars refer to.
const (
	settingDefault  = "default"
	settingNoFloors = "no-floors"
)

// Lean is a policy for those who want less reserved at VPA's violation rates: bursts alone decide on CPU beyond its 90th
// percentile, and memory has 3% on its maximum once the workload is no newcomer. Burst is what a percent of samples may
// cost and newcomer what a newcomer gets on top, in thousandths of a core. manifests/examples has it as an object.
func Lean(burst, newcomer int64) estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile, p.CPU.Burst, p.CPU.Floor = 90, burst, 1
	p.Memory.Overhead, p.Memory.Floor = 0.03, 4*mib
	p.Newcomer.MilliCPU = newcomer
	return p
}

// thrifty is lean with less for newcomers.
func thrifty() estimate.Policy {
	p := Lean(1, 1)
	p.Newcomer.MemoryBytes, p.Newcomer.MinMemoryBytes = 32*mib, 96*mib
	return p
}

// plain is what the rows of the documents state and no more: percentile and maximum of 7 d, each plus 10%.
func plain() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Burst, p.Newcomer = 0, estimate.Newcomer{}
	return p
}

// cautious reserves about what VPA does as it ships.
func cautious() estimate.Policy {
	p := Lean(20, 18)
	p.Newcomer.MinMemoryBytes = 480 * mib
	return p
}

// steady is for workloads of whole cores: a lower percentile, bursts worth more, and more on the maximum of memory.
func steady() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile, p.CPU.Burst, p.Memory.Overhead = 90, 12, 0.15
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
	for _, m := range [][2]int64{{1, 3}, {2, 3}, {3, 3}, {3, 5}, {4, 5}, {4, 7}, {6, 7}, {6, 12}, {20, 9}, {20, 14}} {
		ours(fmt.Sprintf("lean-%dm+%dm", m[0], m[1]), true, Lean(m[0], m[1]))
	}
	ours("cautious", true, cautious())
	ours("steady", false, steady())
	recent := estimate.DefaultPolicy()
	recent.CPU.Lookback = 6 * time.Hour
	ours("lookback-6h", false, recent)
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
