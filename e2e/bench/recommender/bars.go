package recommender

import (
	"fmt"
	"math"
	"slices"

	"supercargo.dev/e2e/bench/report"
)

// Bars are the figures to reach, from the rows of a run.
func Bars(rows []Row) []report.Bar {
	var out []report.Bar
	for _, c := range []string{caseAll, caseHeldOut, caseRecorded, caseKruize} {
		for _, than := range []struct {
			setting string
			saving  float64
		}{{settingDefault, 0.20}, {settingNoFloors, 0.10}} {
			peer, ok := find(rows, c, VPA, than.setting)
			if !ok {
				continue
			}
			got, note := atRates(rows, c, peer)
			note += bounded(rows, c, peer)
			out = append(out, report.Bar{
				Name: fmt.Sprintf("%s: reserved less than VPA %s, at its violation rates", c, than.setting), Limit: than.saving, AtLeast: true,
				Got: got, Format: percent, Note: note,
			})
		}
		for _, setting := range []string{settingDefault, settingNoFloors} {
			peer, ok := find(rows, c, VPA, setting)
			if !ok {
				continue
			}
			got, note := atCost(rows, c, peer)
			out = append(out, report.Bar{
				Name: fmt.Sprintf("%s: fewer violations than VPA %s, at its cost", c, setting), Limit: 0.5, AtLeast: true,
				Got: got, Format: percent, Note: note,
			})
		}
	}
	if r, ok := find(rows, caseLeaks, Supercargo, settingDefault); ok {
		bar := report.Bar{Name: "OOM kills caused, with leaks injected", Limit: 0, Got: float64(*r.OOMsCaused)}
		if peer, ok := find(rows, caseLeaks, VPA, settingDefault); ok {
			bar.Note = fmt.Sprintf("VPA: %d", *peer.OOMsCaused)
		}
		out = append(out, bar)
	}
	return append(out, scaleBars(rows)...)
}

// bounded says how much less than a peer could have been reserved at its violations by somebody who knew the trace.
func bounded(rows []Row, c string, peer Row) string {
	constant, ok := find(rows, c, Hindsight, hindsightSetting(hindsightConstant, peer.Setting))
	halfHourly, both := find(rows, c, Hindsight, hindsightSetting(hindsightHalfHourly, peer.Setting))
	if !ok || !both {
		return ""
	}
	less := func(r Row) string { return percent(1 - r.Ratio()/peer.Ratio()) }
	return fmt.Sprintf("; in hindsight %s by one request for each workload, %s by one for each half hour", less(constant), less(halfHourly))
}

func percent(v float64) string { return fmt.Sprintf("%.1f%%", 100*v) }

func find(rows []Row, c, engine, setting string) (Row, bool) {
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Case == c && r.Engine == engine && r.Setting == setting })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// atRates is the most that any setting of ours reserves less than a peer while neither of its violation rates is higher.
func atRates(rows []Row, c string, peer Row) (saving float64, note string) {
	saving = math.NaN()
	for _, r := range rows {
		if r.Case != c || r.Engine != Supercargo || *r.CPUViolationRate > *peer.CPUViolationRate || *r.MemoryViolationRate > *peer.MemoryViolationRate {
			continue
		}
		if s := 1 - r.Ratio()/peer.Ratio(); math.IsNaN(saving) || s > saving {
			saving, note = s, fmt.Sprintf("%s %.3f, VPA %.3f", r.Setting, r.Ratio(), peer.Ratio())
		}
	}
	if math.IsNaN(saving) {
		return 0, "no setting has rates as low"
	}
	return saving, note
}

// atCost is by how much the rarer of both violations is rarer than a peer's, at the best setting of ours that costs no
// more. Where the peer has none of one kind, ours must have none either.
func atCost(rows []Row, c string, peer Row) (fewer float64, note string) {
	fewer = math.NaN()
	for _, r := range rows {
		if r.Case != c || r.Engine != Supercargo || r.Ratio() > peer.Ratio() {
			continue
		}
		f := math.Min(rarer(*r.CPUViolationRate, *peer.CPUViolationRate), rarer(*r.MemoryViolationRate, *peer.MemoryViolationRate))
		if math.IsNaN(fewer) || f > fewer {
			fewer = f
			note = fmt.Sprintf("%s: CPU %.3f%% for %.3f%%, memory %.4f%% for %.4f%%", r.Setting,
				100**r.CPUViolationRate, 100**peer.CPUViolationRate, 100**r.MemoryViolationRate, 100**peer.MemoryViolationRate)
		}
	}
	if math.IsNaN(fewer) {
		return 0, "no setting costs as little"
	}
	return fewer, note
}

func rarer(ours, theirs float64) float64 {
	switch {
	case theirs > 0:
		return 1 - ours/theirs
	case ours == 0:
		return 1
	default:
		return math.Inf(-1)
	}
}

// scaleBars are judged at the largest scale that was measured with histories of eight days.
func scaleBars(rows []Row) []report.Bar {
	var largest *Row
	var out []report.Bar
	for i := range rows {
		if r := &rows[i]; r.Engine == Supercargo && r.BytesPerContainer > 0 && (largest == nil || r.Containers > largest.Containers) {
			largest = r
		}
	}
	if largest == nil {
		return nil
	}
	at := fmt.Sprintf("%d containers", largest.Containers)
	out = append(out,
		report.Bar{Name: "bytes per container with 8 d of history", Limit: 1024, Got: largest.BytesPerContainer, Note: at},
		report.Bar{Name: "ns per sample (processor time)", Limit: 250, Got: largest.NsPerSample, Note: at},
		report.Bar{
			Name: "allocations per sample", Limit: 0, Got: math.Round(*largest.AllocsPerSample*10) / 10,
			Note: fmt.Sprintf("%s; histories grow in steps: %g", at, *largest.AllocsPerSample),
		},
		report.Bar{Name: "containers recomputed per second and core", Limit: 200_000, AtLeast: true, Got: largest.ContainersPerSecond, Note: at},
	)
	var registered, peer *Row
	for i := range rows {
		r := &rows[i]
		if r.RegisterSeconds == 0 {
			continue
		}
		if r.Engine == Supercargo && (registered == nil || r.Containers > registered.Containers) {
			registered = r
		}
		if r.Engine == VPA && (peer == nil || r.Containers > peer.Containers) {
			peer = r
		}
	}
	if registered != nil {
		bar := report.Bar{
			Name: fmt.Sprintf("seconds to register %d scalers × %d pods", registered.Containers/podsPerScaler, podsPerScaler), Limit: 1,
			Got: registered.RegisterSeconds,
		}
		if peer != nil {
			bar.Note = fmt.Sprintf("VPA: %s s for %d scalers", report.Significant(peer.RegisterSeconds), peer.Containers/podsPerScaler)
		}
		out = append(out, bar)
	}
	if growth := registerGrowth(rows, Supercargo); growth > 0 {
		bar := report.Bar{Name: "times the time to register when scalers double (2: linear)", Limit: 3, Got: growth}
		if peer := registerGrowth(rows, VPA); peer > 0 {
			bar.Note = "VPA: " + report.Significant(peer)
		}
		out = append(out, bar)
	}
	return out
}

// registerGrowth is by how many times the time to register grew from half the largest scale to the largest; 0 where there
// are not both. Smaller scales take too few milliseconds to say much.
func registerGrowth(rows []Row, engine string) float64 {
	at := map[int]float64{}
	largest := 0
	for _, r := range rows {
		if r.Engine == engine && r.RegisterSeconds > 0 {
			at[r.Containers] = r.RegisterSeconds
			largest = max(largest, r.Containers)
		}
	}
	if at[largest/2] == 0 {
		return 0
	}
	return at[largest] / at[largest/2]
}
