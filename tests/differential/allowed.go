package differential

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Diff is one difference between the two sides.
type Diff struct {
	Where  string // the call's line, or "tree PATH"
	Field  string // errno, ret, data, hole; in a tree: missing, stat, content, xattrs, target, blocks, same-inode, atime, mtime, ctime
	Native string
	Mount  string
}

// String prints the difference over three lines.
func (d Diff) String() string {
	return fmt.Sprintf("%s: %s differs\n  native: %s\n  mount:  %s", d.Where, d.Field, d.Native, d.Mount)
}

// rule is one line of the list of allowed differences.
type rule struct {
	line                         int
	where, field, native, mounts string
	reason                       string
	used                         atomic.Int64
}

// allowed is the checked-in list. Its rules count how often they were used.
type allowed struct{ rules []*rule }

// parseAllowed reads a list: five columns a line, separated by " | ": call, field, native, mount,
// reason; "*" in a column stands for any text. Empty lines and lines that start with "#" don't count.
func parseAllowed(text string) (*allowed, error) {
	list := &allowed{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		cols := strings.Split(line, " | ")
		if len(cols) != 5 || strings.TrimSpace(cols[4]) == "" {
			return nil, fmt.Errorf("line %d: want call | field | native | mount | reason", number)
		}
		for i := range cols {
			cols[i] = strings.TrimSpace(cols[i])
		}
		list.rules = append(list.rules, &rule{line: number, where: cols[0], field: cols[1], native: cols[2], mounts: cols[3], reason: cols[4]})
	}
	return list, nil
}

// allows says whether a rule covers the difference, and counts its use.
func (a *allowed) allows(d Diff) bool {
	for _, r := range a.rules {
		if match(r.where, d.Where) && match(r.field, d.Field) && match(r.native, d.Native) && match(r.mounts, d.Mount) {
			r.used.Add(1)
			return true
		}
	}
	return false
}

// unused lists the rules that no difference has used: they claim something that isn't so (any more).
func (a *allowed) unused() []string {
	var out []string
	for _, r := range a.rules {
		if r.used.Load() == 0 {
			out = append(out, fmt.Sprintf("line %d: %s | %s | %s | %s", r.line, r.where, r.field, r.native, r.mounts))
		}
	}
	return out
}

// match compares text with a pattern in which "*" stands for any text.
func match(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	if !strings.HasPrefix(text, parts[0]) {
		return false
	}
	text = text[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, last)
}
