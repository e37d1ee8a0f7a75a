package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gurkankaymak/hocon"
)

// setting is a key's value as it was written, with where.
type setting struct {
	origin string
	parts  []part
	list   []map[string]setting // for a list of sections
	isList bool
}

// document is a parsed text: the settings by full path.
type document struct {
	settings map[string]setting
	scalars  []scalar
	file     string
	text     string // as the library has read it
	errs     []error
}

// parse reads HOCON. file begins the origin of messages ("file graviton.conf"); env resolves ${X}.
// It returns what it could read together with all that is wrong with the rest.
func parse(src, file string, env map[string]string) (map[string]setting, []error) {
	if !utf8.ValidString(src) || strings.ContainsRune(src, 0) {
		return nil, []error{&Error{Origin: file, Problem: "not a text file in UTF-8"}}
	}
	src = strings.TrimPrefix(src, "\ufeff")
	masked, scalars, err := scan(src, file, env)
	if err != nil {
		return nil, []error{err}
	}
	if strings.TrimSpace(masked) == "" {
		return nil, nil
	}
	tree, err := structure(masked, file)
	if err != nil {
		return nil, []error{err}
	}
	d := &document{settings: map[string]setting{}, scalars: scalars, file: file, text: masked}
	d.walk("", tree)
	d.findLost()
	return d.settings, d.errs
}

var parserLine = regexp.MustCompile(`at: (\d+):\d+, (.*)`)

// structure is the library's part. Its panics are errors of the text.
func structure(masked, file string) (tree hocon.Object, err error) {
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, &Error{Origin: file, Problem: fmt.Sprintf("the syntax is garbled: %v", p)}
		}
	}()
	c, err := hocon.ParseString(masked)
	if err != nil {
		line, problem := 0, err.Error()
		if m := parserLine.FindStringSubmatch(problem); m != nil {
			line, _ = strconv.Atoi(m[1])
			problem = m[2]
		}
		return nil, &Error{Origin: at(file, line), Problem: "the syntax is garbled: " + problem,
			Fix: "write one key = value a line"}
	}
	tree, ok := c.GetRoot().(hocon.Object)
	if !ok {
		return nil, &Error{Origin: file, Problem: "no section at the top", Fix: "write graviton { … }"}
	}
	return tree, nil
}

// walk collects the settings below path.
func (d *document) walk(path string, section hocon.Object) {
	for _, name := range slices.Sorted(maps.Keys(section)) {
		full := strings.TrimPrefix(path+"."+name, ".")
		switch v := section[name].(type) {
		case hocon.Object:
			if len(v) == 0 && full != root && !isSection(full) {
				d.fail(&Error{Origin: at(d.file, d.lineOf(name)), Key: full, Problem: "there is no such section", Fix: meantSection(full)})
			}
			d.walk(full, v)
		case hocon.Array:
			d.settings[full] = d.list(full, v)
		default:
			if v != hocon.String(unset) {
				d.settings[full] = d.single(v)
			}
		}
	}
}

// lineOf finds where a section begins that holds no value to tell it.
func (d *document) lineOf(name string) int {
	before, _, _ := strings.Cut(d.text, name)
	return 1 + strings.Count(before, "\n")
}

// list reads a list of sections.
func (d *document) list(path string, elements hocon.Array) setting {
	s := setting{origin: d.firstOrigin(elements), isList: true}
	if k := keyNamed(path); k == nil || !k.isList() {
		return s // reported as an unknown key or as a value of the wrong kind
	}
	for i, e := range elements {
		var fields map[string]setting
		if section, ok := e.(hocon.Object); ok {
			fields = map[string]setting{}
			for name, v := range section {
				if v != hocon.String(unset) {
					fields[name] = d.single(v)
				}
			}
		} else if e != hocon.String(unset) {
			d.fail(&Error{Origin: d.firstOrigin(e), Key: fmt.Sprintf("%s[%d]", path, i), Problem: "not a section",
				Fix: "write { name = value, … }"})
		}
		s.list = append(s.list, fields)
	}
	return s
}

// single returns the value that a placeholder stands for; for anything else a setting that no key accepts.
func (d *document) single(v hocon.Value) setting {
	placeholder, ok := v.(hocon.String)
	n, err := strconv.Atoi(strings.TrimPrefix(string(placeholder), "@"))
	if !ok || err != nil || n < 0 || n >= len(d.scalars) {
		return setting{origin: d.firstOrigin(v), isList: true}
	}
	d.scalars[n].used = true
	return setting{origin: at(d.file, d.scalars[n].line), parts: d.scalars[n].parts}
}

// firstOrigin is where the first value in v stands. It marks all of them as used, so that findLost is silent on them.
func (d *document) firstOrigin(v hocon.Value) string {
	var elements []hocon.Value
	switch v := v.(type) {
	case hocon.String:
		return d.single(v).origin
	case hocon.Object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			elements = append(elements, v[name])
		}
	case hocon.Array:
		elements = v
	}
	first := d.file
	for _, e := range elements {
		if e == hocon.String(unset) {
			continue
		}
		if origin := d.firstOrigin(e); first == d.file {
			first = origin
		}
	}
	return first
}

// findLost reports each value of the text that is in no setting: something further down replaced it. HOCON allows
// that, but in one file it is a mistake, unless an optional variable was meant to override the value.
func (d *document) findLost() {
	for i, s := range d.scalars {
		if s.used {
			continue
		}
		problem := "set again further down, so this value has no effect"
		meant := false
		for _, later := range d.scalars[i+1:] {
			if lastSegment(later.key) == lastSegment(s.key) {
				problem = fmt.Sprintf("set again in line %d, so this value has no effect", later.line)
				meant = later.optional
				break
			}
		}
		if !meant {
			d.fail(&Error{Origin: at(d.file, s.line), Key: s.key, Problem: problem, Fix: "remove one of the two"})
		}
	}
}

func (d *document) fail(err *Error) { d.errs = append(d.errs, err) }

// unknownKeys reports each setting that is no key.
func unknownKeys(settings map[string]setting) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if keyNamed(name) != nil {
			continue
		}
		e := &Error{Origin: settings[name].origin, Key: name, Problem: "there is no such key", Fix: meant(name)}
		if isSection(name) || name == root {
			e.Problem, e.Fix = "a section, not a value", "write "+lastSegment(name)+" { key = value }"
		}
		for parent := name; strings.Contains(parent, "."); {
			parent = parent[:strings.LastIndexByte(parent, '.')]
			if keyNamed(parent) != nil {
				e.Fix = parent + " takes a value, not a section"
			}
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// meantSection is the fix for an unknown section.
func meantSection(name string) string {
	var sections []string
	for i := range keys {
		section := keys[i].name()
		section = section[:strings.LastIndexByte(section, '.')]
		if section != root && !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
	}
	return didYouMean(name, sections)
}

// meant is the fix for an unknown name.
func meant(name string) string {
	if k := nearestKey(name); k != "" {
		return "did you mean " + k + "?"
	}
	return "graviton config show lists all keys"
}
