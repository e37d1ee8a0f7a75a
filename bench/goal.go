package bench

import (
	"encoding/json"
	"fmt"
	"os"
)

// Goal is what a work is to reach on the first target.
type Goal struct {
	Work  string  `json:"work"`
	Share float64 `json:"share,omitempty"` // of the last target's rate, at least
	Beats string  `json:"beats,omitempty"` // another target, whose rate is to be reached
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
		if _, err := selectWorks([]string{g.Work}); err != nil {
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
		if g.Beats != "" {
			other := pickLines(lines, l.Work, g.Beats)
			if len(other) == 0 {
				return ""
			}
			want, text = other[0].Ratio, fmt.Sprintf("≥ %s's %.2f", g.Beats, other[0].Ratio)
		}
		if l.Ratio >= want {
			return text + ", reached"
		}
		return text + ", short"
	}
	return ""
}
