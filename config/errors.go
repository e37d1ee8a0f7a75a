package config

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/agnivade/levenshtein"
)

// Error is one thing that is wrong with the configuration. Load joins all that it finds (errors.Join),
// so that each prints as one line. It never holds the value of a secret.
type Error struct {
	// Origin is where the value comes from: "file graviton.conf line 12", "environment GRAVITON_CACHE_MEMORY",
	// "--set graviton.cache.memory" or "default".
	Origin string
	// Key is the full path, such as graviton.cache.memory; empty where no key is concerned.
	Key string
	// Problem says what is wrong, Fix what to do about it (may be empty).
	Problem, Fix string
}

// Error is one line: origin, key, problem, fix.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Origin)
	if e.Key != "" && !strings.HasSuffix(e.Origin, " "+e.Key) {
		fmt.Fprintf(&b, ": %s", e.Key)
	}
	fmt.Fprintf(&b, ": %s", e.Problem)
	if e.Fix != "" {
		fmt.Fprintf(&b, "; %s", e.Fix)
	}
	return strings.Map(func(r rune) rune { // names of files and flags may hold anything
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, b.String())
}

// shorten quotes a value for a message: on one line, and no longer than a person wants to read.
func shorten(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// nearest returns the candidate that someone who wrote name most likely meant, or "" if none is close.
func nearest(name string, candidates []string) string {
	return closeTo(name, candidates, min(len(name)-1, max(len(name)/3, 2)))
}

// closeTo returns the candidate nearest to name if at most that many letters differ, else "".
func closeTo(name string, candidates []string, most int) string {
	best, bestScore := "", most+1
	for _, c := range candidates {
		if score := levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(c)); score < bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

// nearestKey is nearest for a key's full path. It also finds a key that stands in the wrong section
// or lacks its graviton prefix.
func nearestKey(path string) string {
	if k := root + "." + path; keyNamed(k) != nil {
		return k
	}
	last := lastSegment(path)
	best, bestScore := "", max(len(last)/3, 1)+1
	for i := range keys {
		c := keys[i].name()
		score := min(
			levenshtein.ComputeDistance(strings.ToLower(path), c),
			levenshtein.ComputeDistance(strings.ToLower(last), lastSegment(c))+1)
		if score < bestScore {
			best, bestScore = c, score
		}
	}
	return best
}

func lastSegment(path string) string {
	return path[strings.LastIndexByte(path, '.')+1:]
}

// didYouMean is the fix that names the nearest of candidates, or lists them all if none is near.
func didYouMean(name string, candidates []string) string {
	list := strings.Join(candidates, ", ")
	if n := nearest(name, candidates); n != "" {
		return fmt.Sprintf("did you mean %q? (one of %s)", n, list)
	}
	return "write one of " + list
}
