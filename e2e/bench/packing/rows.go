package main

import (
	"fmt"
	"math"
	"path/filepath"

	"supercargo.dev/e2e/bench/packing/contest"
	"supercargo.dev/e2e/bench/program"
	"supercargo.dev/e2e/bench/report"
)

// line is what one engine made of one trial.
type line struct {
	trial
	contest.Result
	// rival is the other engine's result, nil when it did not take part.
	rival *contest.Result
}

// row is a line as packing.json has it. Ratio is per placed pod where pods are left out; there are no nodes beforehand. Seconds are
// those of one run, from the inputs as the engine reads them to the plan.
type row struct {
	program.Row
	// Unplaced pods; left out when there are none.
	Unplaced int `json:"unplaced,omitempty"`
}

// ratio of cost to the lower bound. Where the engines left out different numbers of pods, both are per pod that got a node;
// 0 when nothing was to be bought.
func (l *line) ratio() float64 {
	ours := &l.Result
	if l.Engine != contest.Supercargo && l.rival != nil {
		ours = l.rival
	}
	if l.LowerBound <= 0 || l.Placed() == 0 || ours.Placed() == 0 {
		return 0
	}
	return (l.CostPerHour / float64(l.Placed())) / (l.LowerBound / float64(ours.Placed()))
}

func (l *line) row() row {
	return row{
		Row: program.Row{
			Case: l.name, Engine: string(l.Engine), Pods: l.Pods, Types: l.Types, Seconds: l.Phases.Total().Seconds(),
			PodsPerSecond: l.PodsPerSecond(), CostPerHour: l.CostPerHour, LowerBound: l.LowerBound, Ratio: l.ratio(),
			NodesUsed: l.NodesUsed, Violations: len(l.Violations), PeakBytes: l.PeakBytes,
		},
		Unplaced: l.Unplaced,
	}
}

// detail is what packing-runs.json says beyond a row.
type detail struct {
	Case          string   `json:"case"`
	Engine        string   `json:"engine"`
	Pods          int      `json:"pods"`
	Runs          int      `json:"runs"`
	InputsSeconds float64  `json:"inputsSeconds"`
	BuildSeconds  float64  `json:"buildSeconds"`
	SolveSeconds  float64  `json:"solveSeconds"`
	CPUSeconds    float64  `json:"cpuSeconds"`
	HeapBytes     int64    `json:"heapBytes"`
	Violations    []string `json:"violations,omitempty"`
}

func (l *line) detail() detail {
	d := detail{
		Case: l.name, Engine: string(l.Engine), Pods: l.Pods, Runs: l.Runs, InputsSeconds: l.Phases.Inputs.Seconds(),
		BuildSeconds: l.Phases.Build.Seconds(), SolveSeconds: l.Phases.Solve.Seconds(), CPUSeconds: l.CPU.Seconds(), HeapBytes: l.HeapBytes,
	}
	for _, v := range l.Violations {
		d.Violations = append(d.Violations, v.String())
	}
	return d
}

// write puts the rows into the folder for output.
func (s *settings) write(lines []line) error {
	rows, details := make([]row, len(lines)), make([]detail, len(lines))
	for i := range lines {
		rows[i], details[i] = lines[i].row(), lines[i].detail()
	}
	if err := report.WriteJSON(filepath.Join(s.Out, "packing.json"), rows); err != nil {
		return err
	}
	return report.WriteJSON(filepath.Join(s.Out, "packing-runs.json"), details)
}

func table() report.Table[line] {
	return report.Table[line]{
		{Name: "case", Left: true, Cell: func(l line) string { return l.name }},
		{Name: "pods", Cell: func(l line) string { return report.Int(l.Pods) }},
		{Name: "engine", Left: true, Cell: func(l line) string { return string(l.Engine) }},
		{Name: "runs", Cell: func(l line) string { return report.Int(l.Runs) }},
		{Name: "time", Cell: func(l line) string { return report.Duration(l.Phases.Total()) }},
		{Name: "with inputs", Cell: func(l line) string { return report.Duration(l.Phases.Total() + l.Phases.Inputs) }},
		{Name: "CPU", Cell: func(l line) string { return report.Duration(l.CPU) }},
		{Name: "pods/s", Cell: func(l line) string { return report.Significant(l.PodsPerSecond()) }},
		{Name: "$/h", Cell: func(l line) string { return report.Float(l.CostPerHour, 2) }},
		{Name: "cost/bound", Cell: func(l line) string { return report.Float(l.ratio(), 4) + mark(l) }},
		{Name: "nodes", Cell: func(l line) string { return report.Int(l.NodesUsed) }},
		{Name: "unplaced", Cell: func(l line) string { return report.Int(l.Unplaced) }},
		{Name: "violations", Cell: func(l line) string { return report.Int(len(l.Violations)) }},
		{Name: "peak heap", Cell: func(l line) string { return report.Bytes(l.PeakBytes) }},
	}
}

// mark marks a line whose engines placed different numbers of pods.
func mark(l line) string {
	if l.uneven() {
		return "*"
	}
	return ""
}

func (l *line) uneven() bool { return l.rival != nil && l.rival.Unplaced != l.Unplaced }

// notes explain marks of the table.
func notes(lines []line) []string {
	var out []string
	for i := range lines {
		if l := &lines[i]; l.uneven() && l.Engine == contest.Supercargo {
			out = append(out, fmt.Sprintf("* %s, %s pods: supercargo leaves out %d and karpenter %d; cost/bound is per placed pod ($%.5f/h and $%.5f/h)",
				l.name, report.Int(l.Pods), l.Unplaced, l.rival.Unplaced, per(&l.Result), per(l.rival)))
		}
	}
	return out
}

// per is the cost of one placed pod, NaN when there is none.
func per(r *contest.Result) float64 {
	if r.Placed() == 0 {
		return math.NaN()
	}
	return r.CostPerHour / float64(r.Placed())
}
