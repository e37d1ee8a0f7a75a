package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// PrintGrowth writes the points as a table.
func PrintGrowth(out io.Writer, points []Point) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "growth\tat\toperation\tp50\tp99")
	for _, p := range points {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Growth, humanize.Comma(p.X), p.Op, short(p.P50), short(p.P99))
	}
	return w.Flush()
}

// shortTicks are those of a logarithmic axis, with labels like 100k and 1M.
type shortTicks struct{}

// Ticks implements plot.Ticker.
func (shortTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.LogTicks{}.Ticks(low, high)
	for i, t := range ticks {
		if t.Label != "" {
			ticks[i].Label = strings.ReplaceAll(humanize.SIWithDigits(t.Value, 0, ""), " ", "")
		}
	}
	return ticks
}

// PlotGrowth draws the medians of one growth's operations over its size, both logarithmic, to an SVG or PNG file.
func PlotGrowth(file string, points []Point) error {
	p := plot.New()
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = shortTicks{}, shortTicks{}
	p.Y.Label.Text = "median latency (µs)"
	series := map[string]plotter.XYs{}
	var names []string
	for _, pt := range points {
		if pt.P50 <= 0 {
			continue
		}
		if series[pt.Op] == nil {
			names = append(names, pt.Op)
		}
		series[pt.Op] = append(series[pt.Op], plotter.XY{X: float64(pt.X), Y: float64(pt.P50) / 1e3})
	}
	if len(names) == 0 {
		return fmt.Errorf("there is nothing to draw")
	}
	for _, g := range Growths {
		if g.Name == points[0].Growth {
			p.X.Label.Text = g.Unit
			p.Title.Text = "Growth of " + g.About
		}
	}
	var args []any
	for _, name := range names {
		args = append(args, name, series[name])
	}
	if err := plotutil.AddLinePoints(p, args...); err != nil {
		return err
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Y.Max *= 8   // room for the legend
	p.X.Max *= 1.5 // and for the last label
	return p.Save(vg.Points(460), vg.Points(320), file)
}
