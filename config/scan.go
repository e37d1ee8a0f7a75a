package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// maxDepth bounds nesting, and so the library's recursion.
const maxDepth = 32

// keyName is one segment of a key and keyText a whole key, as far as any of ours could need it of what HOCON allows.
const keyName = `[A-Za-z_][A-Za-z0-9_-]*`

var (
	keyText   = regexp.MustCompile(`^(` + keyName + `|"` + keyName + `")(\.(` + keyName + `|"` + keyName + `"))*$`)
	firstWord = regexp.MustCompile(`^[A-Za-z0-9_.-]+`)
)

// scanner prepares HOCON for the library, which is trusted with the structure only: sections, dotted keys, merging,
// commas. Each value is replaced by a numbered placeholder ("@12"). This is what keeps exact text (the library turns
// 5MB into 5""MB, 1.5h into 1h and a variable's value 12ab into the number 12), gives every value a line for
// messages, keeps comments from being read (a backquote in one swallows all up to the next), and refuses what the
// library silently skips, such as a key without a value.
type scanner struct {
	src   string
	file  string
	env   map[string]string
	pos   int
	line  int
	out   []byte
	found []scalar

	open  []bracket // brackets not closed yet
	key   string    // last key
	keyAt int       // where it begins in out
	value bool      // a value is due here
	done  bool      // a value has ended: a separator is due
}

type bracket struct {
	char byte
	line int
}

// scan returns the text for the library and the values that its placeholders stand for. Any error is a *Error.
func scan(src, file string, env map[string]string) (string, []scalar, error) {
	s := &scanner{src: src, file: file, env: env, line: 1}
	for s.pos < len(s.src) {
		if err := s.step(); err != nil {
			return "", nil, err
		}
	}
	if n := len(s.open); n > 0 {
		b := s.open[n-1]
		s.line = b.line
		return "", nil, s.fail(fmt.Sprintf("the %q that opens here is never closed", b.char), "add the missing bracket")
	}
	return string(s.out), s.found, nil
}

// step reads one token. Line breaks and the order of tokens are kept, so that the library counts the same lines.
func (s *scanner) step() error {
	if s.blank() {
		return nil
	}
	c := s.src[s.pos]
	switch {
	case c == '\n' || c == ',':
		s.emit(c)
		s.value, s.done = s.inList(), false
		return nil
	case c == '}' || c == ']':
		return s.close(c)
	case s.done:
		return s.fail("there is more after the value", "put each key on a line of its own, and values with spaces in double quotes")
	case c == '{' || c == '[':
		if !s.value && (c == '[' || len(bytes.TrimSpace(s.out)) > 0) {
			return s.fail(fmt.Sprintf("%q without a key before it", c), "write key { … } or key = [ … ]")
		}
		return s.push(c)
	case s.value:
		return s.scalar()
	}
	return s.readKey()
}

func (s *scanner) emit(c byte) {
	if c == '\n' {
		s.line++
	}
	s.out = append(s.out, c)
	s.pos++
}

// blank skips spaces or a comment and tells whether there was one.
func (s *scanner) blank() bool {
	start := s.pos
	for s.pos < len(s.src) && strings.IndexByte(" \t\r", s.src[s.pos]) >= 0 {
		s.pos++
	}
	if s.comment() {
		for s.pos < len(s.src) && s.src[s.pos] != '\n' {
			s.pos++
		}
	}
	if s.pos > start {
		s.out = append(s.out, ' ')
	}
	return s.pos > start
}

func (s *scanner) comment() bool {
	return strings.HasPrefix(s.src[s.pos:], "#") || strings.HasPrefix(s.src[s.pos:], "//")
}

func (s *scanner) inList() bool {
	return len(s.open) > 0 && s.open[len(s.open)-1].char == '['
}

func (s *scanner) push(c byte) error {
	if len(s.open) == maxDepth {
		return s.fail("brackets are nested too deep", "no key needs more than a few levels")
	}
	s.open = append(s.open, bracket{c, s.line})
	s.emit(c)
	s.value, s.done = c == '[', false
	return nil
}

func (s *scanner) close(c byte) error {
	n := len(s.open)
	if n == 0 || s.open[n-1].char != c-2 { // in ASCII { and }, as [ and ], are 2 apart
		return s.fail(fmt.Sprintf("%q closes nothing that is open", c), "remove it, or add the bracket that it should close")
	}
	s.open = s.open[:n-1]
	s.emit(c)
	s.value, s.done = false, true
	return nil
}

// readKey copies a key and what follows it, up to where its value starts.
func (s *scanner) readKey() error {
	start := s.pos
	for s.pos < len(s.src) && strings.IndexByte("\n,{}[]=:+", s.src[s.pos]) < 0 && !s.comment() {
		s.pos++
	}
	written := strings.TrimSpace(s.src[start:s.pos])
	s.key = strings.ReplaceAll(written, `"`, "")
	if !keyText.MatchString(written) || len(written) > 200 {
		return s.badKey(written)
	}
	s.keyAt = len(s.out)
	s.out = append(s.out, s.key...)
	var breaks int // line breaks are allowed before a { or [
	for s.pos < len(s.src) && (s.src[s.pos] == '\n' || s.blank()) {
		if s.pos < len(s.src) && s.src[s.pos] == '\n' {
			s.pos++
			breaks++
		}
	}
	rest := s.src[s.pos:]
	switch {
	case strings.HasPrefix(rest, "{"):
	case breaks > 0:
		return s.noValue()
	case strings.HasPrefix(rest, "+="):
		s.out = append(s.out, "+="...)
		s.pos += 2
		return s.valueStart()
	case strings.HasPrefix(rest, "="), strings.HasPrefix(rest, ":"):
		s.emit(rest[0])
		return s.valueStart()
	default:
		return s.noValue()
	}
	if err := s.push('{'); err != nil {
		return err
	}
	s.skipped(breaks)
	return nil
}

// badKey says what is wrong with a key. What follows its first word may be a secret that lacks its "=", so only that
// word is named.
func (s *scanner) badKey(written string) error {
	word := firstWord.FindString(written)
	switch {
	case written == "":
		return s.fail("a value without a key", "write key = value")
	case word == "include":
		return s.fail("include is not supported", "write the keys into this file")
	case word == "" || word == written:
		return s.fail("a key is garbled", "a key is made of letters, digits and -, such as max-open-files")
	}
	return s.fail("there is no = after "+shorten(word), "write "+lastSegment(word)+" = value")
}

// valueStart moves to the value after a separator. Only { and [ may stand on a later line: after
// "path =" the next line is rarely meant to be the value.
func (s *scanner) valueStart() error {
	var breaks int
	for s.pos < len(s.src) && (s.src[s.pos] == '\n' || s.blank()) {
		if s.pos < len(s.src) && s.src[s.pos] == '\n' {
			s.pos++
			breaks++
		}
	}
	if s.pos == len(s.src) || strings.IndexByte(",}]", s.src[s.pos]) >= 0 ||
		breaks > 0 && strings.IndexByte("{[", s.src[s.pos]) < 0 {
		return s.noValue()
	}
	s.value = true
	if breaks > 0 {
		if err := s.push(s.src[s.pos]); err != nil {
			return err
		}
		s.skipped(breaks)
	}
	return nil
}

// skipped writes line breaks that were read ahead.
func (s *scanner) skipped(breaks int) {
	s.line += breaks
	s.open[len(s.open)-1].line = s.line
	s.out = append(s.out, strings.Repeat("\n", breaks)...)
}

func (s *scanner) noValue() error {
	return s.fail(fmt.Sprintf("the key %s has no value", s.key), "write "+lastSegment(s.key)+" = value")
}

func (s *scanner) fail(problem, fix string) error {
	return &Error{Origin: at(s.file, s.line), Problem: problem, Fix: fix}
}

// at names a line of a file.
func at(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s line %d", file, line)
}
