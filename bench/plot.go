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
		values := make(plotter.Values, len(names))
		for j, name := range names {
			if l := pickLines(lines, name, t.Name); len(l) > 0 {
				values[j] = l[0].Ratio
			}
		}
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		bars.Color = barColors[i%len(barColors)]
		bars.LineStyle.Width = 0
		bars.Offset = width * vg.Length(float64(i)-float64(len(targets)-2)/2)
		p.Add(bars)
		p.Legend.Add(t.Name, bars)
	}
	one := plotter.NewFunction(func(float64) float64 { return 1 })
	one.Dashes = []vg.Length{vg.Points(4), vg.Points(4)}
	p.Add(one)
	p.Legend.Top = true
	p.NominalX(names...)
	// Room for the outer bars, and for the line at 1.
	p.X.Min, p.X.Max = -0.7, float64(len(names))-0.3
	p.Y.Max = max(p.Y.Max, 1.05)
	p.X.Tick.Label.Rotation = 0.6
	p.X.Tick.Label.XAlign = -1
	return p.Save(vg.Length(len(names)+3)*vg.Points(48), vg.Points(320), file)
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
