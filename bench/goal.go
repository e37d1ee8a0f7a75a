package bench

import (
	"encoding/json"
	"fmt"
	"os"
)

// Goal is what a work is to reach on the targets that aren't peers.
type Goal struct {
	Work  string  `json:"work"`
	Share float64 `json:"share,omitempty"` // of the last target's rate, at least
	Of    string  `json:"of,omitempty"`    // with Share, another target instead of the last
	Than  string  `json:"than,omitempty"`  // with Share, the same target's rate in another work instead
	Beats string  `json:"beats,omitempty"` // another target, whose rate is to be reached
	Rate  float64 `json:"rate,omitempty"`  // bytes or operations a second, at least
}

// ReadGoals reads a list of goals in JSON.
func ReadGoals(file string) ([]Goal, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []Goal
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, g := range list {
		works := []string{g.Work}
		if g.Than != "" {
			works = append(works, g.Than)
		}
		if _, err := selectWorks(works); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return list, nil
}

// judge says what the goal of a line is, and whether it was reached; "" if it has none.
func judge(goals []Goal, lines []Line, l Line) string {
	for _, g := range goals {
		if g.Work != l.Work {
			continue
		}
		want, text := g.Share, fmt.Sprintf("≥ %.2f", g.Share)
		other, name := pickLines(lines, l.Work, g.Of), g.Of
		if g.Than != "" {
			other, name = pickLines(lines, g.Than, l.Target), g.Than
		}
		if name != "" {
			if len(other) == 0 || other[0].Rate == 0 {
				return ""
			}
			return verdict(fmt.Sprintf("≥ %.2f of %s's, is %.2f", g.Share, name, l.Rate/other[0].Rate), l.Rate/other[0].Rate >= g.Share)
		}
		if g.Rate > 0 {
			return verdict("≥ "+rate(Line{Work: g.Work, Rate: g.Rate}), l.Rate >= g.Rate)
		}
		if g.Beats != "" {
			other := pickLines(lines, l.Work, g.Beats)
			if len(other) == 0 {
				return ""
			}
			want, text = other[0].Ratio, fmt.Sprintf("≥ %s's %.2f", g.Beats, other[0].Ratio)
		}
		return verdict(text, l.Ratio >= want)
	}
	return ""
}

func verdict(goal string, reached bool) string {
	if reached {
		return goal + ", reached"
	}
	return goal + ", short"
}
