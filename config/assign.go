package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// assign gives every field its value. The error joins one *Error for each setting that is wrong.
func (c *Config) assign(settings map[string]setting) error {
	var errs []error
	r := resolver{settings: settings}
	for i := range keys {
		k := &keys[i]
		s, ok := settings[k.name()]
		if !ok {
			continue // a default that is an optional variable: the field stays empty
		}
		if s.origin != "default" {
			c.origins[k.name()] = s.origin
		}
		if rules, ok := k.field(c).(*[]Rule); ok {
			var err error
			if *rules, err = r.rules(k, s); err != nil {
				errs = append(errs, err)
			}
			continue
		}
		text, e := r.text(k.name(), s)
		if e == nil {
			e = k.set(k.field(c), text)
		}
		if e != nil {
			e.Origin, e.Key = s.origin, k.name()
			errs = append(errs, e)
		}
	}
	return errors.Join(errs...)
}

// resolver joins the parts of values and follows references between keys, after all layers were merged, so that
// rocksdb.path follows a state-dir that a flag sets.
type resolver struct {
	settings map[string]setting
	active   []string // keys being resolved, to find cycles
}

func (r *resolver) text(name string, s setting) (string, *Error) {
	if s.isList {
		return "", &Error{Problem: "not a single value", Fix: "write " + lastSegment(name) + " = value"}
	}
	if slices.Contains(r.active, name) {
		return "", &Error{Problem: "refers to itself: " + strings.Join(append(r.active, name), " → "), Fix: "write the value"}
	}
	r.active = append(r.active, name)
	defer func() { r.active = r.active[:len(r.active)-1] }()
	var b strings.Builder
	for _, p := range s.parts {
		switch {
		case p.missing != "":
			return "", &Error{Problem: "the environment variable " + p.missing + " is not set",
				Fix: fmt.Sprintf("set it, or write ${?%s} if it may be missing", p.missing)}
		case p.ref != "" && keyNamed(p.ref) == nil:
			return "", &Error{Problem: "${" + p.ref + "} refers to no key", Fix: meant(p.ref)}
		case p.ref != "" && keyNamed(p.ref).secret() && (keyNamed(name) == nil || !keyNamed(name).secret()):
			return "", &Error{Problem: "${" + p.ref + "} is a secret", Fix: "only another secret may refer to it"}
		case p.ref != "":
			text, err := r.text(p.ref, r.settings[p.ref])
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		default:
			b.WriteString(p.text)
		}
		if b.Len() > maxFile {
			return "", &Error{Problem: "far too long"}
		}
	}
	return b.String(), nil
}

var ruleFields = []string{"path", "age", "tier"}

// rules reads tiered.rules.
func (r *resolver) rules(k *key, s setting) ([]Rule, error) {
	if !s.isList {
		return nil, &Error{Origin: s.origin, Key: k.name(), Problem: "not a list", Fix: `write [ { path = "/backups/**", age = 30d, tier = "cold" } ]`}
	}
	var errs []error
	rules := make([]Rule, len(s.list))
	for i, fields := range s.list {
		if fields == nil {
			continue // reported, or an optional variable
		}
		prefix := fmt.Sprintf("%s[%d]", k.name(), i)
		at := s.origin
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			f := fields[name]
			at = f.origin
			text, e := r.text(prefix+"."+name, f)
			if e == nil {
				e = rules[i].set(name, text)
			}
			if e != nil {
				e.Origin, e.Key = f.origin, prefix+"."+name
				errs = append(errs, e)
			}
		}
		for _, name := range []string{"path", "tier"} {
			if _, ok := fields[name]; !ok {
				errs = append(errs, &Error{Origin: at, Key: prefix, Problem: "has no " + name, Fix: "add " + name + " = value"})
			}
		}
	}
	return rules, errors.Join(errs...)
}

// set gives one field of a rule its value.
func (r *Rule) set(name, text string) *Error {
	switch name {
	case "path":
		k := key{check: absolutePattern}
		return k.set(&r.Path, text)
	case "age":
		k := key{def: "30d", max: 100 * year}
		return k.set(&r.Age, text)
	case "tier":
		k := key{enum: tiers}
		return k.set(&r.Tier, text)
	}
	return &Error{Problem: "a rule has no such field", Fix: didYouMean(name, ruleFields)}
}

// set parses text into the field, whose type says how. The error lacks its origin and key.
func (k *key) set(field any, text string) *Error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return &Error{Problem: "not a text in UTF-8"}
	}
	switch f := field.(type) {
	case *Secret:
		*f = Secret(text)
		return nil
	case *string:
		*f = text
		return k.checkString(text)
	case *bool:
		v, ok := booleans[strings.ToLower(text)]
		*f = v
		if !ok {
			return &Error{Problem: shorten(text) + " is neither on nor off", Fix: "write true or false"}
		}
		return nil
	case *int:
		n, err := strconv.Atoi(text)
		*f = n
		if err != nil {
			return &Error{Problem: shorten(text) + " is no whole number", Fix: "write for example " + k.def}
		}
		return k.checkBounds(int64(n), func(n int64) string { return strconv.FormatInt(n, 10) })
	case *Dollars:
		d, err := strconv.ParseFloat(text, 64)
		*f = Dollars(d)
		if err != nil || math.IsNaN(d) || math.IsInf(d, 0) || d < 0 {
			return &Error{Problem: shorten(text) + " is no price", Fix: "write dollars, for example " + k.def}
		}
		return nil
	case *Size:
		n, err := ParseSize(text)
		*f = n
		if err != nil {
			return &Error{Problem: err.Error(), Fix: "write for example " + k.def + "; units are KB, MB, GB, TB"}
		}
		return k.checkBounds(int64(n), func(n int64) string { return Size(n).String() })
	case *time.Duration:
		d, err := ParseDuration(text)
		*f = d
		if err != nil {
			return &Error{Problem: err.Error(), Fix: "write for example " + k.def + "; units are ms, s, m, h, d"}
		}
		return k.checkBounds(int64(d), func(n int64) string { return formatDuration(time.Duration(n)) })
	}
	panic(fmt.Sprintf("config: no parser for %T", field))
}

var booleans = map[string]bool{"true": true, "yes": true, "on": true, "false": false, "no": false, "off": false}

func (k *key) checkString(text string) *Error {
	if k.enum != nil && !slices.Contains(k.enum, text) {
		return &Error{Problem: "unknown value " + shorten(text), Fix: didYouMean(text, k.enum)}
	}
	if k.check != nil {
		return k.check(text)
	}
	return nil
}

func (k *key) checkBounds(n int64, format func(int64) string) *Error {
	switch {
	case k.min == 0 && k.max == 0:
	case n < k.min:
		return &Error{Problem: format(n) + " is too small", Fix: "write at least " + format(k.min)}
	case n > k.max:
		return &Error{Problem: format(n) + " is too large", Fix: "write at most " + format(k.max)}
	}
	return nil
}

// absolute checks a directory. A relative one would depend on where a command was started.
func absolute(text string) *Error {
	if text == "" {
		return &Error{Problem: "the path is empty", Fix: "write an absolute path, such as " + rootStateDir}
	}
	return absolutePattern(text)
}

func absolutePattern(text string) *Error {
	if !path.IsAbs(text) {
		return &Error{Problem: shorten(text) + " is not an absolute path", Fix: "begin it with /"}
	}
	return nil
}
