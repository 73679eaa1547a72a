package recommender

import (
	"testing"

	"supercargo.dev/recommender/estimate"
)

func TestTmp(t *testing.T) {
	cases, ok, err := StandardCases("../../../../shared/data")
	if err != nil || !ok { t.Fatal(ok, err) }
	for _, o := range []float64{.03, .05, .1} { for _, b := range []int64{20, 30, 40, 60} { for _, n := range []int64{5, 8, 12} { for _, m := range []int64{400, 512} {
		p := Lean(b); p.Memory.Overhead = o; p.Newcomer.MilliCPU = n; p.Newcomer.MinMemoryBytes = m * mib
		for _, c := range cases[:1] {
			rows, _ := Quality(c, []Setting{{Supercargo, "x", func() (Engine, error) { return NewSupercargo(p), nil }, true}})
			for _, r := range rows { t.Logf("%v %v %v %v %.3f cpu %.3f%% mem %.4f%%", o, b, n, m, r.Ratio(), 100**r.CPUViolationRate, 100**r.MemoryViolationRate) }
		}
	}}}}
	_ = estimate.DefaultPolicy
}
