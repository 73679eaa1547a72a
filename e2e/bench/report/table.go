package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Column is one column of a table of T.
type Column[T any] struct {
	Name string
	// Left aligns the column to the left, as words are; figures are aligned to the right.
	Left bool
	Cell func(T) string
}

// Table shows rows of T.
type Table[T any] []Column[T]

// Text writes the table for a terminal.
func (t Table[T]) Text(w io.Writer, rows []T) error {
	cells, widths := t.cells(rows)
	for i, row := range cells {
		var line strings.Builder
		for c, cell := range row {
			if c > 0 {
				line.WriteString("  ")
			}
			line.WriteString(pad(cell, widths[c], t[c].Left))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return fmt.Errorf("writing row %d of a table, %w", i, err)
		}
	}
	return nil
}

// Markdown is the table as a page of docs/ has it, with a line break at its end.
func (t Table[T]) Markdown(rows []T) string {
	cells, widths := t.cells(rows)
	var out strings.Builder
	for i, row := range cells {
		out.WriteString("|")
		for c, cell := range row {
			out.WriteString(" " + pad(cell, widths[c], t[c].Left) + " |")
		}
		out.WriteString("\n")
		if i > 0 {
			continue
		}
		out.WriteString("|")
		for c := range t {
			rule := strings.Repeat("-", widths[c]+1)
			if t[c].Left {
				out.WriteString(":" + rule + "|")
			} else {
				out.WriteString(rule + ":|")
			}
		}
		out.WriteString("\n")
	}
	return out.String()
}

// cells are the texts of head and rows, and how wide each column has to be in characters.
func (t Table[T]) cells(rows []T) (cells [][]string, widths []int) {
	head := make([]string, len(t))
	widths = make([]int, len(t))
	for c := range t {
		head[c] = t[c].Name
		widths[c] = max(2, utf8.RuneCountInString(head[c]))
	}
	cells = append(cells, head)
	for _, row := range rows {
		line := make([]string, len(t))
		for c := range t {
			line[c] = strings.ReplaceAll(strings.ReplaceAll(t[c].Cell(row), "|", "/"), "\n", " ")
			widths[c] = max(widths[c], utf8.RuneCountInString(line[c]))
		}
		cells = append(cells, line)
	}
	return cells, widths
}

func pad(s string, width int, left bool) string {
	fill := strings.Repeat(" ", width-utf8.RuneCountInString(s))
	if left {
		return s + fill
	}
	return fill + s
}
