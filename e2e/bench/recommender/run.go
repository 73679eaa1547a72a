package recommender

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"supercargo.dev/e2e/bench/report"
)

// Options of a run.
type Options struct {
	// Data is the folder that holds usage-nezha and usage-kruize.
	Data string
	// Traces are folders with more traces in the same formats.
	Traces []string
	// Short measures smaller scales, so that all takes less than a minute.
	Short bool
	// JSON is the file that rows are written to, Docs the folder of docs/ for plots and the generated block; empty: none.
	JSON, Docs string
	// Out is what people read.
	Out io.Writer
	// Now is the time of the run.
	Now time.Time
}

// Run measures quality and scale, and writes rows, plots and docs. It returns an error where something could not be
// measured; a bar that was missed is in the output.
func Run(o Options) error {
	cases, found, err := StandardCases(o.Data)
	if err != nil {
		return err
	}
	if !found {
		if _, err := fmt.Fprintf(o.Out, "SKIPPED: there is no usage-nezha in %s; quality is not measured on it\n", o.Data); err != nil {
			return err
		}
	}
	for _, folder := range o.Traces {
		more, skipped, err := ReadFolder(folder)
		if err != nil {
			return err
		}
		for _, s := range skipped {
			if _, err := fmt.Fprintf(o.Out, "SKIPPED: %s\n", s); err != nil {
				return err
			}
		}
		cases = append(cases, more...)
	}
	var rows []Row
	for _, c := range cases {
		r, err := Quality(c, Settings())
		if err != nil {
			return err
		}
		rows = append(rows, r...)
	}
	for _, s := range scales(o.Short) {
		row, err := s.Measure()
		if err != nil {
			return fmt.Errorf("measuring %s with %d containers, %w", s.Engine, s.Containers, err)
		}
		rows = append(rows, row)
	}
	return o.write(rows, cases)
}

// scales that are measured: both engines at the same sizes, then Supercargo with eight days of history.
func scales(short bool) []Scale {
	sizes, large := []int{5_000, 10_000, 20_000, 40_000}, 1_000_000
	if short {
		sizes, large = []int{2_500, 5_000, 10_000}, 100_000
	}
	var out []Scale
	for _, n := range sizes {
		out = append(out, Scale{Engine: Supercargo, Containers: n, Rounds: 20}, Scale{Engine: VPA, Containers: n, Rounds: 20})
	}
	// A whole hour: histories are condensed once in each.
	return append(out, Scale{Engine: Supercargo, Containers: large, Rounds: 60, Filled: true})
}

func (o Options) write(rows []Row, cases []Case) error {
	quality, scale := tables()
	isQuality := func(r Row) bool { return r.CPUViolationRate != nil }
	var measured, scaled []Row
	for _, r := range rows {
		if isQuality(r) {
			measured = append(measured, r)
		} else {
			scaled = append(scaled, r)
		}
	}
	bars := Bars(rows)
	machine := report.ThisMachine(o.Now).String()
	if o.JSON != "" {
		if err := report.WriteJSON(o.JSON, rows); err != nil {
			return err
		}
	}
	var failed error
	say := func(format string, args ...any) {
		_, err := fmt.Fprintf(o.Out, format, args...)
		failed = errors.Join(failed, err)
	}
	say("%s\n\n", machine)
	failed = errors.Join(failed, quality.Text(o.Out, measured))
	say("\n")
	failed = errors.Join(failed, scale.Text(o.Out, scaled))
	say("\n")
	failed = errors.Join(failed, report.Bars().Text(o.Out, bars))
	if failed != nil || o.Docs == "" {
		return failed
	}
	if err := plots(o.Docs, rows, cases); err != nil {
		return err
	}
	shown := slices.DeleteFunc(slices.Clone(measured), func(r Row) bool { return !inDocs(r) })
	var page strings.Builder
	fmt.Fprintf(&page, "Measured on %s by `make bench-recommender`.\n\n%s\n%s\n%s\n%s", machine, report.Bars().Markdown(bars),
		quality.Markdown(shown), scale.Markdown(scaled), images(cases))
	return report.WriteBlock(filepath.Join(o.Docs, "benchmarks.md"), "recommender", page.String())
}

// inDocs keeps the table of the page short; the JSON has all rows.
func inDocs(r Row) bool {
	switch r.Setting {
	case settingDefault, settingNoFloors, "percentile-only", "steady", "following-3h", "following-6h", "thrifty", "lean-6m+2m", "lean-6m+2m-6h", "cautious",
		"p99-no-floors", hindsightSetting(hindsightConstant, settingDefault), hindsightSetting(hindsightHalfHourly, settingDefault):
		return true
	}
	return r.Engine == Kruize
}

func count(n *int) string {
	if n == nil {
		return report.None
	}
	return fmt.Sprint(*n)
}

func tables() (quality, scale report.Table[Row]) {
	head := report.Table[Row]{
		{Name: "case", Left: true, Cell: func(r Row) string { return r.Case }},
		{Name: "engine", Left: true, Cell: func(r Row) string { return r.Engine }},
	}
	quality = append(slices.Clone(head), report.Table[Row]{
		{Name: "setting", Left: true, Cell: func(r Row) string { return r.Setting }},
		{Name: "reserved / used", Cell: func(r Row) string { return fmt.Sprintf("%.3f", r.Ratio()) }},
		{Name: "CPU above", Cell: func(r Row) string { return fmt.Sprintf("%.3f%%", 100**r.CPUViolationRate) }},
		{Name: "memory above", Cell: func(r Row) string { return fmt.Sprintf("%.4f%%", 100**r.MemoryViolationRate) }},
		{Name: "OOMs", Cell: func(r Row) string { return count(r.OOMEvents) }},
		{Name: "caused", Cell: func(r Row) string { return count(r.OOMsCaused) }},
		{Name: "changes / day", Cell: func(r Row) string {
			if r.ChangesPerDay == nil {
				return report.None
			}
			return fmt.Sprintf("%.2f", *r.ChangesPerDay)
		}},
	}...)
	scale = append(slices.Clone(head), report.Table[Row]{
		{Name: "bytes / container", Cell: func(r Row) string { return report.Significant(r.BytesPerContainer) }},
		{Name: "ns / sample", Cell: func(r Row) string { return report.Significant(r.NsPerSample) }},
		{Name: "allocs / sample", Cell: func(r Row) string { return fmt.Sprintf("%g", *r.AllocsPerSample) }},
		{Name: "containers / s", Cell: func(r Row) string { return report.Significant(r.ContainersPerSecond) }},
		{Name: "registered in s", Cell: func(r Row) string {
			if r.RegisterSeconds == 0 {
				return report.None
			}
			return report.Significant(r.RegisterSeconds)
		}},
	}...)
	return quality, scale
}
