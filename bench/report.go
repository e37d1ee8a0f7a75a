package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
)

// Line is a work's outcome on one target over all rounds.
type Line struct {
	Work   string        `json:"work"`
	Target string        `json:"target"`
	Rate   float64       `json:"rate"` // median, bytes or operations a second
	P50    time.Duration `json:"p50Nanoseconds"`
	P99    time.Duration `json:"p99Nanoseconds"`
	// Ratio is the median of the rounds' rates as shares of the last target's in the same round; Low and High are the
	// least and the largest of them. They are 0 for the last target itself.
	Ratio float64 `json:"ratio,omitempty"`
	Low   float64 `json:"low,omitempty"`
	High  float64 `json:"high,omitempty"`
	// Requests is their median number, if they were counted.
	Requests int64 `json:"requests,omitempty"`
}

// Summarize makes the lines of a run, in the order of Works and of the targets.
func Summarize(samples []Sample, targets []Target) []Line {
	var lines []Line
	base := targets[len(targets)-1].Name
	for _, w := range Works {
		for _, t := range targets {
			mine := pick(samples, w.Name, t.Name)
			if len(mine) == 0 {
				continue
			}
			l := Line{Work: w.Name, Target: t.Name}
			l.Rate = median(mine, func(s Sample) float64 { return s.Rate(w) })
			l.P50 = time.Duration(median(mine, func(s Sample) float64 { return float64(s.P50) }))
			l.P99 = time.Duration(median(mine, func(s Sample) float64 { return float64(s.P99) }))
			l.Requests = int64(median(mine, func(s Sample) float64 { return float64(s.Requests) }))
			if t.Name != base {
				l.compare(w, mine, pick(samples, w.Name, base))
			}
			lines = append(lines, l)
		}
	}
	return lines
}

func (l *Line) compare(w Work, mine, base []Sample) {
	var ratios []float64
	for _, s := range mine {
		for _, b := range base {
			if b.Round == s.Round {
				ratios = append(ratios, s.Rate(w)/b.Rate(w))
			}
		}
	}
	if len(ratios) == 0 {
		return
	}
	slices.Sort(ratios)
	l.Ratio, l.Low, l.High = middle(ratios), ratios[0], ratios[len(ratios)-1]
}

func pick(samples []Sample, work, target string) []Sample {
	var list []Sample
	for _, s := range samples {
		if s.Work == work && s.Target == target {
			list = append(list, s)
		}
	}
	return list
}

func median(list []Sample, of func(Sample) float64) float64 {
	values := make([]float64, len(list))
	for i, s := range list {
		values[i] = of(s)
	}
	slices.Sort(values)
	return middle(values)
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// Print writes the lines as a table, with the goals of the targets that aren't peers.
func Print(out io.Writer, lines []Line, targets []Target, goals []Goal) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	last := targets[len(targets)-1].Name
	head := "work\ttarget\trate\tp50\tp99"
	counted := slices.ContainsFunc(lines, func(l Line) bool { return l.Requests > 0 })
	if counted {
		head += "\trequests"
	}
	if len(targets) > 1 {
		head += "\tof " + last + "\tspread"
	}
	if len(goals) > 0 {
		head += "\tgoal"
	}
	fmt.Fprintln(w, head)
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s", l.Work, l.Target, rate(l), short(l.P50), short(l.P99))
		if counted {
			fmt.Fprintf(w, "\t%s", humanize.Comma(l.Requests))
		}
		if l.Ratio > 0 {
			fmt.Fprintf(w, "\t%.2f\t%.2f–%.2f", l.Ratio, l.Low, l.High)
		}
		if goal := judge(goals, lines, l); goal != "" && !isPeer(targets, l.Target) {
			fmt.Fprintf(w, "\t%s", goal)
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func isPeer(targets []Target, name string) bool {
	return slices.ContainsFunc(targets, func(t Target) bool { return t.Name == name && t.Peer })
}

func rate(l Line) string {
	for _, w := range Works {
		if w.Name == l.Work && w.Bytes {
			return humanize.IBytes(uint64(l.Rate)) + "/s"
		}
	}
	return humanize.CommafWithDigits(l.Rate, 0) + "/s"
}

// short rounds a latency to three digits.
func short(d time.Duration) time.Duration {
	for unit := time.Duration(1); unit < time.Hour; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
	return d
}
