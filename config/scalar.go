package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// scalar is one value of the text: pieces to be joined.
type scalar struct {
	parts    []part
	line     int
	key      string // as written before it; empty for an element of a list
	optional bool   // holds ${?X}: HOCON's idiom for a value that overrides the one above it
	used     bool   // reached in the parsed tree
}

// part is a piece of a value: text, a reference to another key, or a variable that isn't set.
type part struct {
	text     string
	ref      string // full path of the key whose value goes here
	missing  string // environment variable without which there is no value
	unquoted bool
	env      bool // the text is an environment variable's
}

// unset is the placeholder of a value that consists of optional variables that are not set. The key before it is
// replaced as well, so that whatever it was set to further up stays: the library forgets that when it merges sections.
const unset = "@"

// scalar reads a value up to its end and writes a placeholder for it.
func (s *scanner) scalar() error {
	v := scalar{line: s.line}
	if !s.inList() {
		v.key = s.key
	}
	for s.pos < len(s.src) && strings.IndexByte("\n,}]", s.src[s.pos]) < 0 && !s.comment() {
		p, err := s.piece(&v)
		if err != nil {
			return err
		}
		if p != (part{}) || !v.optional { // an optional variable that isn't set, or is empty, adds nothing
			v.parts = append(v.parts, p)
		}
	}
	if n := len(v.parts); n > 0 && v.parts[n-1].unquoted {
		if v.parts[n-1].text = strings.TrimRight(v.parts[n-1].text, " \t\r"); v.parts[n-1].text == "" {
			v.parts = v.parts[:n-1]
		}
	}
	s.value, s.done = false, true
	if len(v.parts) == 0 || len(v.parts) == 1 && v.parts[0].unquoted && v.parts[0].text == "null" {
		if !s.inList() {
			s.out = append(s.out[:s.keyAt], "unset ="...)
		}
		s.out = append(s.out, `"`+unset+`"`...)
		return nil
	}
	s.out = fmt.Appendf(s.out, `"@%d"`, len(s.found))
	s.found = append(s.found, v)
	return nil
}

// piece reads a quoted string, a substitution, or plain text up to either.
func (s *scanner) piece(v *scalar) (part, error) {
	rest := s.src[s.pos:]
	switch {
	case strings.HasPrefix(rest, `"""`):
		return s.multiLine()
	case rest[0] == '"':
		return s.quoted()
	case strings.HasPrefix(rest, "${"):
		return s.substitution(v)
	case strings.IndexByte("$\"{[]:=+#`^?!@*&\\", rest[0]) >= 0:
		return part{}, s.fail(fmt.Sprintf("%q in a value that is not quoted", rest[0]), "put the value in double quotes, and the next key on a line of its own")
	}
	end := 1
	for end < len(rest) && strings.IndexByte("\n,}$\"{[]:=+#`^?!@*&\\", rest[end]) < 0 &&
		!strings.HasPrefix(rest[end:], "//") {
		end++
	}
	s.pos += end
	return part{text: rest[:end], unquoted: true}, nil
}

func (s *scanner) quoted() (part, error) {
	end := s.pos + 1
	for end < len(s.src) && s.src[end] != '"' && s.src[end] != '\n' {
		if s.src[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(s.src) || s.src[end] != '"' {
		return part{}, s.fail("a double quote is never closed on its line", `add the closing "`)
	}
	var text string
	if err := json.Unmarshal([]byte(strings.ReplaceAll(s.src[s.pos:end+1], "\t", `\t`)), &text); err != nil {
		return part{}, s.fail("garbled escape in a quoted value", `write a backslash as \\ and a double quote as \"`)
	}
	s.pos = end + 1
	return part{text: text}, nil
}

func (s *scanner) multiLine() (part, error) {
	text, _, ok := strings.Cut(s.src[s.pos+3:], `"""`)
	if !ok {
		return part{}, s.fail(`""" is never closed`, `add the closing """`)
	}
	s.pos += len(text) + 6
	for strings.HasPrefix(s.src[s.pos:], `"`) { // quotes before the closing three belong to the text
		text += `"`
		s.pos++
	}
	s.line += strings.Count(text, "\n")
	return part{text: text}, nil
}

// substitution reads ${X} or ${?X}: another key if X begins with graviton, else an environment variable.
func (s *scanner) substitution(v *scalar) (part, error) {
	name, _, ok := strings.Cut(s.src[s.pos+2:], "}")
	if !ok || strings.ContainsAny(name, "\n{$\"") {
		return part{}, s.fail("${ is never closed", "write ${NAME}")
	}
	s.pos += len(name) + 3
	name, optional := strings.CutPrefix(strings.TrimSpace(name), "?")
	name = strings.TrimSpace(name)
	v.optional = v.optional || optional
	if strings.HasPrefix(name, root+".") {
		return part{ref: name}, nil
	}
	if name == "" {
		return part{}, s.fail("${} names no variable", "write ${NAME}")
	}
	text, set := s.env[name]
	if !set && !optional {
		return part{missing: name}, nil
	}
	return part{text: text, env: text != ""}, nil
}
