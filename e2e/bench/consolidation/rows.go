package main

import (
	"fmt"
	"math"
	"path/filepath"

	"supercargo.dev/e2e/bench/program"
	"supercargo.dev/e2e/bench/report"
)

// row is a line as consolidation.json has it. Seconds are those of one search, or of Karpenter's multi-node and single-node
// consolidation; costs and NodesUsed are after the engine has settled.
type row struct {
	program.Row
	// PodsMoved counts each move of each pod; SavedPerHour in USD; SecondsToFirst until the first command that saves.
	PodsMoved      int     `json:"podsMoved"`
	SavedPerHour   float64 `json:"savedPerHour"`
	SecondsToFirst float64 `json:"secondsToFirst"`
}

func (l *line) row() row {
	return row{
		Row: program.Row{
			Case: l.name, Engine: l.engine, Pods: l.left, Nodes: l.before, Types: l.types, Seconds: l.plan.Wall.Seconds(),
			PodsPerSecond: float64(l.left) / l.plan.Wall.Seconds(), CostPerHour: l.cost, LowerBound: l.bound, Ratio: l.ratio(),
			NodesUsed: l.after, Violations: l.Violations, PeakBytes: max(l.plan.PeakBytes, l.Computing.PeakBytes),
		},
		PodsMoved: l.Moved, SavedPerHour: l.Saved, SecondsToFirst: l.first.Seconds(),
	}
}

func (l *line) ratio() float64 { return l.cost / l.bound }

// perDollar is how many pods were moved for each USD per hour saved; NaN when nothing was.
func (l *line) perDollar() float64 { return perDollar(l.Moved, l.Saved) }

func perDollar(moved int, saved float64) float64 {
	if saved <= 1e-9 {
		return math.NaN()
	}
	return float64(moved) / saved
}

// equal is how many pods Supercargo had moved for each USD per hour when it had saved as much as Karpenter saved in the end,
// or all that it saved itself when that is less; NaN on other lines.
func (l *line) equal() float64 {
	if l.engine != supercargo || l.rival == nil {
		return math.NaN()
	}
	moved, ok := l.MovedFor(l.rival.Saved)
	if !ok {
		return l.perDollar()
	}
	return perDollar(moved, l.rival.Saved)
}

// loose is a row at another setting than the engine's defaults.
type loose struct {
	Setting string `json:"setting"`
	row
}

// detail is what consolidation-runs.json says beyond a row.
type detail struct {
	Case             string  `json:"case"`
	Engine           string  `json:"engine"`
	Setting          string  `json:"setting"`
	Nodes            int     `json:"nodes"`
	Pods             int     `json:"pods"`
	CostBefore       float64 `json:"costBefore"`
	PlanCPUSeconds   float64 `json:"planCPUSeconds"`
	SettleSeconds    float64 `json:"settleSeconds"`
	SettleCPUSeconds float64 `json:"settleCPUSeconds"`
	Rounds           int     `json:"rounds"`
	Commands         int     `json:"commands"`
	CommandsChecked  int     `json:"commandsChecked"`
	Settled          bool    `json:"settled"`
	Stopped          string  `json:"stopped,omitempty"`
	Violation        string  `json:"violation,omitempty"`
}

func (l *line) detail() detail {
	return detail{
		Case: l.name, Engine: l.engine, Setting: l.setting, Nodes: l.before, Pods: l.left, CostBefore: l.Course[0].Cost,
		PlanCPUSeconds: l.plan.CPU.Seconds(), SettleSeconds: l.Computing.Wall.Seconds(), SettleCPUSeconds: l.Computing.CPU.Seconds(),
		Rounds: l.Rounds, Commands: l.Commands, CommandsChecked: l.Checked, Settled: l.Settled, Stopped: l.Stopped, Violation: l.Example,
	}
}

// write puts the rows into the folder for output.
func (s *settings) write(lines []line) error {
	var rows []row
	var others []loose
	var details []detail
	for i := range lines {
		l := &lines[i]
		if l.setting == atDefaults {
			rows = append(rows, l.row())
		} else {
			others = append(others, loose{l.setting, l.row()})
		}
		details = append(details, l.detail())
	}
	if err := report.WriteJSON(filepath.Join(s.Out, "consolidation.json"), rows); err != nil {
		return err
	}
	if err := report.WriteJSON(filepath.Join(s.Out, "consolidation-settings.json"), others); err != nil {
		return err
	}
	return report.WriteJSON(filepath.Join(s.Out, "consolidation-runs.json"), details)
}

func table() report.Table[line] {
	return report.Table[line]{
		{Name: "case", Left: true, Cell: func(l line) string { return l.name }},
		{Name: "pods", Cell: func(l line) string { return report.Int(l.left) }},
		{Name: "engine", Left: true, Cell: func(l line) string {
			if l.setting != atDefaults {
				return fmt.Sprintf("%s, %s", l.engine, l.setting)
			}
			return l.engine
		}},
		{Name: "nodes", Cell: func(l line) string { return report.Int(l.before) + " → " + report.Int(l.after) }},
		{Name: "$/h", Cell: func(l line) string {
			return report.Float(l.Course[0].Cost, 2) + " → " + report.Float(l.cost, 2) + l.mark()
		}},
		{Name: "cost/bound", Cell: func(l line) string { return report.Float(l.ratio(), 4) }},
		{Name: "first command", Cell: func(l line) string { return report.Duration(l.first) }},
		{Name: "first plan", Cell: func(l line) string { return report.Duration(l.plan.Wall) }},
		{Name: "its CPU", Cell: func(l line) string { return report.Duration(l.plan.CPU) }},
		{Name: "all plans", Cell: func(l line) string { return report.Duration(l.Computing.Wall) }},
		{Name: "rounds", Cell: func(l line) string { return report.Int(l.Rounds) }},
		{Name: "pods moved", Cell: func(l line) string { return report.Int(l.Moved) }},
		{Name: "per $/h", Cell: func(l line) string { return report.Float(l.perDollar(), 1) }},
		{Name: "at equal saving", Cell: func(l line) string { return report.Float(l.equal(), 1) }},
		{Name: "violations", Cell: func(l line) string { return fmt.Sprintf("%d", l.Violations) }},
		{Name: "peak heap", Cell: func(l line) string { return report.Bytes(max(l.plan.PeakBytes, l.Computing.PeakBytes)) }},
	}
}

// mark marks a line whose engine was stopped before it came to rest.
func (l line) mark() string {
	if l.Settled || l.alone {
		return ""
	}
	return "*"
}

// notes explain marks of the table.
func notes(lines []line) []string {
	var out []string
	for _, l := range lines {
		if l.mark() != "" {
			out = append(out, fmt.Sprintf("* %s, %s pods, %s, %s: %s", l.name, report.Int(l.left), l.engine, l.setting, l.Stopped))
		}
		if l.Example != "" {
			out = append(out, fmt.Sprintf("%s, %s pods, %s, %s breaks a rule: %s", l.name, report.Int(l.left), l.engine, l.setting, l.Example))
		}
	}
	return out
}
