package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Show writes the effective configuration as HOCON that loads again, with the origin of each value that is no
// default. A secret that is set stands in a comment, masked.
func (c *Config) Show(w io.Writer) error {
	var b bytes.Buffer
	if c.source != "" {
		fmt.Fprintf(&b, "# from %q\n", c.source)
	}
	b.WriteString(root + " {\n")
	var open []string // sections
	for i := range keys {
		k := &keys[i]
		names := strings.Split(k.path, ".")
		sections, name := names[:len(names)-1], names[len(names)-1]
		keep := 0
		for keep < min(len(open), len(sections)) && open[keep] == sections[keep] {
			keep++
		}
		for n := len(open); n > keep; n-- {
			b.WriteString(indent(n) + "}\n")
		}
		for n := keep; n < len(sections); n++ {
			b.WriteString(indent(n+1) + sections[n] + " {\n")
		}
		open = sections
		b.WriteString(indent(len(open) + 1))
		value := k.field(c)
		if secret, ok := value.(*Secret); ok && *secret != "" {
			b.WriteString("# ")
		}
		fmt.Fprintf(&b, "%s = %s", name, format(value))
		if origin := c.origins[k.name()]; origin != "" {
			b.WriteString("  # " + strings.Trim(strconv.Quote(origin), `"`))
		}
		b.WriteByte('\n')
	}
	for n := len(open); n >= 0; n-- {
		b.WriteString(indent(n) + "}\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

func indent(n int) string { return strings.Repeat("  ", n) }

// format writes a field's value as HOCON.
func format(field any) string {
	switch f := field.(type) {
	case *string:
		return quote(*f)
	case *Secret:
		return quote(f.String())
	case *bool:
		return strconv.FormatBool(*f)
	case *int:
		return strconv.Itoa(*f)
	case *Dollars:
		return strconv.FormatFloat(float64(*f), 'f', -1, 64)
	case *Size:
		return f.String()
	case *time.Duration:
		return formatDuration(*f)
	case *[]Rule:
		var rules []string
		for _, r := range *f {
			rules = append(rules, fmt.Sprintf("{ path = %s, age = %s, tier = %s }", quote(r.Path), formatDuration(r.Age), quote(r.Tier)))
		}
		return "[" + strings.Join(rules, ", ") + "]"
	}
	panic(fmt.Sprintf("config: no format for %T", field))
}

// quote writes a HOCON string, which is a JSON string.
func quote(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
