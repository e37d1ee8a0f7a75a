package bench

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

var barColors = []color.Color{
	color.RGBA{R: 0x1f, G: 0x77, B: 0xb4, A: 0xff}, color.RGBA{R: 0xff, G: 0x7f, B: 0x0e, A: 0xff},
	color.RGBA{R: 0x2c, G: 0xa0, B: 0x2c, A: 0xff}, color.RGBA{R: 0x94, G: 0x67, B: 0xbd, A: 0xff},
}

// Plot draws each target's rates as shares of the last one's, one group of bars a work, to an SVG or PNG file by its
// ending. It needs at least two targets.
func Plot(file string, lines []Line, targets []Target) error {
	if len(targets) < 2 {
		return fmt.Errorf("a plot compares: name another directory with --against")
	}
	p := plot.New()
	p.Title.Text = "Rates as shares of " + targets[len(targets)-1].Name
	p.Y.Label.Text = "share (1 is as fast)"
	p.Y.Min = 0
	var names []string
	for _, w := range Works {
		if len(pickLines(lines, w.Name, targets[0].Name)) > 0 {
			names = append(names, w.Name)
		}
	}
	width := vg.Points(36 / float64(len(targets)-1))
	for i, t := range targets[:len(targets)-1] {
		offset := width * vg.Length(float64(i)-float64(len(targets)-2)/2)
		if err := addBars(p, t.Name, shares(lines, names, t.Name), width, offset, barColors[i%len(barColors)]); err != nil {
			return err
		}
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(4)}
	p.Add(one)
	p.Legend.Top = true
	p.NominalX(names...)
	// Room for the outer bars, for the legend, and for the line at 1.
	p.X.Min, p.X.Max = -0.7, 1.1*float64(len(names))
	p.Y.Max = max(p.Y.Max, 1.05)
	if p.Y.Max >= mostShare { // room for the figures
		p.Y.Max = mostShare * 1.08
	}
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign = -1
	return p.Save(vg.Length(len(names)+3)*vg.Points(48), vg.Points(320), file)
}

// mostShare is where bars end: one work that a cache does many times as fast would make the others too small to see.
const mostShare = 2

// shares are a target's rates in each work; 0 where it wasn't measured.
func shares(lines []Line, works []string, target string) plotter.Values {
	values := make(plotter.Values, len(works))
	for i, work := range works {
		if l := pickLines(lines, work, target); len(l) > 0 {
			values[i] = l[0].Ratio
		}
	}
	return values
}

// addBars draws a target's bars, with the figure on those that are cut off.
func addBars(p *plot.Plot, name string, values plotter.Values, width, offset vg.Length, fill color.Color) error {
	var cut plotter.XYLabels
	for i, v := range values {
		if v > mostShare {
			values[i] = mostShare
			cut.XYs = append(cut.XYs, plotter.XY{X: float64(i), Y: mostShare})
			cut.Labels = append(cut.Labels, fmt.Sprintf("%.1f", v))
		}
	}
	bars, err := plotter.NewBarChart(values, width)
	if err != nil {
		return err
	}
	bars.Color, bars.Offset, bars.LineStyle.Width = fill, offset, 0
	figures, err := plotter.NewLabels(cut)
	if err != nil {
		return err
	}
	figures.Offset = vg.Point{X: offset - width/2}
	p.Add(bars, figures)
	p.Legend.Add(name, bars)
	return nil
}

func pickLines(lines []Line, work, target string) []Line {
	var list []Line
	for _, l := range lines {
		if l.Work == work && l.Target == target {
			list = append(list, l)
		}
	}
	return list
}
