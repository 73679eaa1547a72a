package report

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Point of a curve.
type Point struct{ X, Y float64 }

// Curve is a named row of points, in the order in which they are joined.
type Curve struct {
	Name   string
	Points []Point
}

// Plot is a chart of curves. Logarithmic axes need values above 0.
type Plot struct {
	Title, X, Y string
	LogX, LogY  bool
	// Bare draws lines without a mark at each point, for curves of many.
	Bare   bool
	Curves []Curve
}

// Group is a group of bars of a Columns chart.
type Group struct {
	Name string
	// Values has one for each of Columns.Series.
	Values []float64
}

// Columns is a chart of groups of bars, such as two engines on several cases.
type Columns struct {
	Title, Y string
	// Series names the bars of each group.
	Series []string
	Groups []Group
	// Base is where bars start, 0 unless a ratio is shown. Line, when not 0, is drawn across at that height.
	Base, Line float64
}

// Size of the drawings.
const (
	width  = 18 * vg.Centimeter
	height = 11 * vg.Centimeter
)

// palette can be told apart by colour-blind readers (Okabe and Ito 2008).
var palette = [...]color.RGBA{
	{R: 0, G: 114, B: 178, A: 255},
	{R: 213, G: 94, B: 0, A: 255},
	{R: 0, G: 158, B: 115, A: 255},
	{R: 204, G: 121, B: 167, A: 255},
	{R: 230, G: 159, B: 0, A: 255},
	{R: 86, G: 180, B: 233, A: 255},
}

// WriteSVG draws the plot into a file. A point that is not finite, or not above 0 on a logarithmic axis, is an error.
func (c Plot) WriteSVG(path string) error {
	p := newPlot(c.Title, c.Y)
	p.X.Label.Text = c.X
	if c.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if c.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	for i, curve := range c.Curves {
		points := make(plotter.XYs, len(curve.Points))
		for k, at := range curve.Points {
			if !drawable(at.X, c.LogX) || !drawable(at.Y, c.LogY) {
				return fmt.Errorf("drawing %s, point %d of %q cannot be shown: %v", path, k, curve.Name, at)
			}
			points[k].X, points[k].Y = at.X, at.Y
		}
		line, marks, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("drawing %q, %w", curve.Name, err)
		}
		line.Color = palette[i%len(palette)]
		line.Width = vg.Points(1.5)
		marks.Color, marks.Shape = line.Color, draw.CircleGlyph{}
		if c.Bare {
			p.Add(line)
			p.Legend.Add(curve.Name, line)
			continue
		}
		p.Add(line, marks)
		p.Legend.Add(curve.Name, line, marks)
	}
	return save(p, path)
}

func drawable(v float64, log bool) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!log || v > 0)
}

// WriteSVG draws the chart into a file. A value that is not finite leaves its place empty.
func (c Columns) WriteSVG(path string) error {
	p := newPlot(c.Title, c.Y)
	names := make([]string, len(c.Groups))
	for i := range c.Groups {
		names[i] = c.Groups[i].Name
		if len(c.Groups[i].Values) != len(c.Series) {
			return fmt.Errorf("drawing %s, group %q has %d values for %d series", path, names[i], len(c.Groups[i].Values), len(c.Series))
		}
	}
	bar := min(vg.Points(18), width*0.7/vg.Length(max(1, len(c.Groups)*max(1, len(c.Series)))))
	for s, name := range c.Series {
		values := make(plotter.Values, len(c.Groups))
		for i := range c.Groups {
			if v := c.Groups[i].Values[s]; drawable(v, false) {
				values[i] = v - c.Base
			}
		}
		bars, err := plotter.NewBarChart(values, bar)
		if err != nil {
			return fmt.Errorf("drawing %q, %w", name, err)
		}
		bars.Color, bars.LineStyle.Width = palette[s%len(palette)], 0
		bars.Offset = bar * vg.Length(float64(s)-float64(len(c.Series)-1)/2)
		p.Add(bars)
		p.Legend.Add(name, bars)
	}
	if c.Line != 0 {
		line := plotter.NewFunction(func(float64) float64 { return c.Line - c.Base })
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		p.Add(line)
	}
	p.NominalX(names...)
	p.Y.Tick.Marker = shifted{c.Base}
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/8, draw.XRight, draw.YTop
	return save(p, path)
}

// shifted labels an axis whose zero stands for base.
type shifted struct{ base float64 }

// Ticks implements plot.Ticker.
func (s shifted) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low+s.base, high+s.base)
	for i := range ticks {
		ticks[i].Value -= s.base
	}
	return ticks
}

func newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text = title, y
	p.Title.Padding = vg.Points(6)
	p.Legend.Top, p.Legend.Left = true, true
	p.BackgroundColor = color.White
	p.Add(plotter.NewGrid())
	return p
}

func save(p *plot.Plot, path string) error {
	w, err := p.WriterTo(width, height, "svg")
	if err != nil {
		return fmt.Errorf("drawing %s, %w", path, err)
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		return fmt.Errorf("drawing %s, %w", path, err)
	}
	return WriteFile(path, out.Bytes())
}
