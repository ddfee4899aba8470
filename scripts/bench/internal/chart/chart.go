// Package chart draws the charts of the benchmarks, as SVG and PNG.
package chart

import (
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"k3s-aws-auth/scripts/bench/internal/summary"
)

// colours that colour-blind readers tell apart (Okabe and Ito).
var colours = []color.RGBA{
	{0, 114, 178, 255}, {230, 159, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {213, 94, 0, 255},
}

var formats = []string{"svg", "png"}

// save writes a chart in all formats and returns the files' names.
func save(p *plot.Plot, width, height vg.Length, dir, name string) ([]string, error) {
	var files []string
	for _, format := range formats {
		file := name + "." + format
		if err := p.Save(width, height, filepath.Join(dir, file)); err != nil {
			return files, fmt.Errorf("chart %s: %w", file, err)
		}
		files = append(files, file)
	}
	return files, nil
}

func height(cases int) vg.Length { return vg.Length(cases)*1.6*vg.Centimeter + 3*vg.Centimeter }

const width = 24 * vg.Centimeter

// Points draws every run of every case as a point, with a box of the quartiles and the median behind them. metric is an
// index of the summaries' entries.
func Points(cases []*summary.Case, metric int, title, dir, name string) ([]string, error) {
	p := newPlot(title)
	jitter := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // places points beside each other
	var names []string
	for i := len(cases) - 1; i >= 0; i-- { // the first case on top
		c := cases[i]
		row := float64(len(names))
		names = append(names, label(c.Name))
		values := c.Entries[metric].Values
		if len(values) == 0 {
			continue
		}
		box, err := plotter.NewBoxPlot(0.9*vg.Centimeter, row, plotter.Values(values))
		if err != nil {
			return nil, err
		}
		box.Horizontal = true
		box.GlyphStyle.Radius = 0 // the points are all there
		box.BoxStyle.Color, box.WhiskerStyle.Color = color.Gray{150}, color.Gray{150}
		box.MedianStyle.Width = vg.Points(2)
		points := make(plotter.XYs, len(values))
		for k, v := range values {
			points[k] = plotter.XY{X: v, Y: row + 0.3*(jitter.Float64()-0.5)}
		}
		scatter, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		scatter.GlyphStyle = draw.GlyphStyle{Color: translucent(colours[i%len(colours)]), Radius: vg.Points(2.5), Shape: draw.CircleGlyph{}}
		p.Add(box, scatter)
	}
	p.NominalY(names...)
	p.X.Min = 0
	p.X.Max *= 1.03 // room for the last point
	return save(p, width, height(len(cases)), dir, name)
}

// Phases draws the medians of each case's phases one after the other.
func Phases(cases []*summary.Case, title, dir, name string) ([]string, error) {
	p := newPlot(title)
	p.Legend.Top, p.Legend.Left = false, false
	depth, names := 0, []string{}
	for i := len(cases) - 1; i >= 0; i-- {
		names = append(names, label(cases[i].Name))
		depth = max(depth, len(cases[i].Phases))
	}
	var below *plotter.BarChart
	for k := range depth {
		values, phase := plotter.Values{}, ""
		for i := len(cases) - 1; i >= 0; i-- {
			v := 0.0
			if k < len(cases[i].Phases) {
				phase = cases[i].Phases[k].Name
				if s := cases[i].Phases[k].Seconds; !math.IsNaN(s) {
					v = max(s, 0)
				}
			}
			values = append(values, v)
		}
		bars, err := plotter.NewBarChart(values, 0.8*vg.Centimeter)
		if err != nil {
			return nil, err
		}
		bars.Horizontal, bars.Color, bars.LineStyle.Width = true, colours[k%len(colours)], 0
		if below != nil {
			bars.StackOn(below)
		}
		below = bars
		p.Add(bars)
		p.Legend.Add(phase, bars)
	}
	p.NominalY(names...)
	p.X.Min = 0
	p.X.Max *= 1.3 // room for the legend
	return save(p, width, height(len(cases)), dir, name)
}

func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.X.Label.Text = "seconds"
	p.BackgroundColor = color.White
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	grid.Vertical.Color = color.Gray{220}
	p.Add(grid)
	return p
}

// label leaves room before a name, which the renderer would cut.
func label(name string) string { return "  " + name }

func translucent(c color.RGBA) color.NRGBA { return color.NRGBA{c.R, c.G, c.B, 150} }
