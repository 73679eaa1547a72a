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
// percentile, and memory has 3% on its maximum once the workload is no newcomer. manifests/examples has it as an object.
func Lean(burst int64) estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile, p.CPU.Burst, p.CPU.Floor = 90, burst, 1
	p.Memory.Overhead, p.Memory.Floor = 0.03, 4*mib
	return p
}

// thrifty is lean with less for newcomers.
func thrifty() estimate.Policy {
	p := Lean(1)
	p.Newcomer.MilliCPU, p.Newcomer.MemoryBytes, p.Newcomer.MinMemoryBytes = 1, 32*mib, 96*mib
	return p
}

// plain is what the rows of the documents state and no more: percentile and maximum of 7 d, each plus 10%.
func plain() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Burst, p.Newcomer = 0, estimate.Newcomer{}
	return p
}

// cautious reserves about what VPA without floors does at its 99th percentile.
func cautious() estimate.Policy {
	p := estimate.DefaultPolicy()
	p.CPU.Percentile, p.CPU.Burst, p.Newcomer.MilliCPU = 95, 30, 10
	p.Newcomer.MinMemoryBytes = 512 * mib
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
	for _, burst := range []int64{1, 2, 3, 4, 6, 8, 12} {
		ours(fmt.Sprintf("lean-%dm", burst), true, Lean(burst))
	}
	ours("cautious", true, cautious())
	seconds := estimate.DefaultPolicy()
	seconds.CPU.Lookback = 6 * time.Hour
	ours("lookback-6h", false, seconds)
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
