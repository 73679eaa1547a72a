package report

import (
	"fmt"
	"math"
)

// Bar is a figure that a benchmark is to reach, and what was measured.
type Bar struct {
	// Name says what is measured, on what.
	Name string
	// Limit to reach; AtLeast when more is better.
	Limit   float64
	AtLeast bool
	// Got is what was measured; NaN when this run did not measure it.
	Got float64
	// Format shows Limit and Got; nil means three significant digits.
	Format func(float64) string
	// Note adds what a figure alone does not say, such as which case it comes from.
	Note string
}

// Met tells whether the bar was reached. A bar that was not measured is not met.
func (b Bar) Met() bool {
	switch {
	case math.IsNaN(b.Got):
		return false
	case b.AtLeast:
		return b.Got >= b.Limit
	default:
		return b.Got <= b.Limit
	}
}

// Verdict is "met", "MISSED" or "not measured".
func (b Bar) Verdict() string {
	switch {
	case math.IsNaN(b.Got):
		return "not measured"
	case b.Met():
		return "met"
	default:
		return "MISSED"
	}
}

func (b Bar) show(v float64) string {
	if math.IsNaN(v) {
		return None
	}
	if b.Format != nil {
		return b.Format(v)
	}
	return Significant(v)
}

// Bars is the table of bars.
func Bars() Table[Bar] {
	return Table[Bar]{
		{Name: "bar", Left: true, Cell: func(b Bar) string { return b.Name }},
		{Name: "wanted", Cell: func(b Bar) string {
			sign := "≤"
			if b.AtLeast {
				sign = "≥"
			}
			return fmt.Sprintf("%s %s", sign, b.show(b.Limit))
		}},
		{Name: "measured", Cell: func(b Bar) string { return b.show(b.Got) }},
		{Name: "", Left: true, Cell: Bar.Verdict},
		{Name: "note", Left: true, Cell: func(b Bar) string { return b.Note }},
	}
}
