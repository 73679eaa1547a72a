package demo

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// headers of the table.
func headers() []string {
	return []string{"stage", "nodes", "spot", "$/h", "lower bound", "requested vs used", "pods restarted", "PDB violations"}
}

// Table renders the stages as a Markdown table whose columns line up in a terminal too.
func Table(stages []Stage) string {
	rows := [][]string{headers()}
	for i := range stages {
		s := &stages[i]
		rows = append(rows, []string{
			s.Name, strconv.Itoa(s.Nodes), strconv.Itoa(s.Spot), fmt.Sprintf("%.4f", s.USDPerHour), fmt.Sprintf("%.4f", s.LowerBound),
			compare(s.Requested, s.Used), strconv.Itoa(s.Restarted), strconv.Itoa(len(s.Violations)),
		})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				fmt.Fprintf(&b, "| %s%s ", cell, padding)
			} else {
				fmt.Fprintf(&b, "| %s%s ", padding, cell)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths {
			line := strings.Repeat("-", width+1)
			if i == 0 {
				fmt.Fprintf(&b, "|:%s", line)
			} else {
				fmt.Fprintf(&b, "|%s:", line)
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// compare shows what is requested and the share of it that is used.
func compare(requested, used Amounts) string {
	share := func(part, of float64) string {
		if of == 0 {
			return "-"
		}
		return fmt.Sprintf("%.0f%%", 100*part/of)
	}
	return fmt.Sprintf("%.1f CPU %s, %.1f GiB %s", requested.Cores, share(used.Cores, requested.Cores),
		requested.MemoryGiB, share(used.MemoryGiB, requested.MemoryGiB))
}

// Summary is the table, what came of it in a sentence, and every invariant; where no step was reached, why.
func Summary(r *Report) string {
	if len(r.Stages) == 0 {
		return r.Failure + "\n"
	}
	var b strings.Builder
	b.WriteString(Table(r.Stages))
	b.WriteString("\nrequested vs used: what all pods request, and how much of it they use. pods restarted: within the step, by a restart or a move.\n")
	if r.stage(StageConsolidated) != nil {
		fmt.Fprintf(&b, "\nSaved %.0f%% of the bill", r.SavedPercent)
		if c := r.stage(StageConsolidated); c.LowerBound > 0 {
			fmt.Fprintf(&b, "; no packing of the same pods costs less than %.0f%% of what they cost now", 100*c.LowerBound/c.USDPerHour)
		}
		b.WriteString(".\n")
	}
	steps, rejected := make([]string, 0, len(r.Stages)), 0
	for i := range r.Stages {
		steps = append(steps, fmt.Sprintf("%s %.0f s", r.Stages[i].Name, r.Stages[i].Seconds))
		rejected += r.Stages[i].Rejected
	}
	fmt.Fprintf(&b, "Took %.0f s: %s.\n", r.Seconds, strings.Join(steps, ", "))
	if rejected > 0 {
		fmt.Fprintf(&b, "%d pods were bound by both schedulers at once to a node with room for one; kubelets turned them away before they ran, and others took their place.\n", rejected)
	}
	b.WriteString("\n")
	for _, i := range r.Invariants {
		mark := "ok    "
		if !i.OK {
			mark = "BROKEN"
		}
		fmt.Fprintf(&b, "%s  %s: %s\n", mark, i.Name, i.Detail)
	}
	if r.Failure != "" {
		fmt.Fprintf(&b, "\n%s\n", r.Failure)
	}
	return b.String()
}
