// Package differential runs the same random system calls on a mount and on a native filesystem
// and compares what each says and leaves behind.
package differential

import (
	"fmt"
	"strconv"
	"strings"
)

// Op is one system call of a sequence. A call uses the fields that its entry in the table names
// and ignores the others. Files are named by slot: a sequence's own file descriptors.
type Op struct {
	Call  string
	As    int // user id of the caller: 0, other or third
	Slot  int // descriptor used, or filled
	Slot2 int
	Path  string
	Path2 string
	Name  string // of an extended attribute
	Off   int64
	Len   int64
	Seed  int // selects the bytes that are written, or an id
	Flags int
	Mode  uint32
	Times [2]int64 // nanoseconds, or one of the UTIME values
}

// slots is how many descriptors a sequence has: few, so that calls meet on the same file.
const slots = 4

// other and third are the users of the sequences beside root; otherGroup is a group that the one is in, and thirdGroup one
// that the other is in.
const (
	other      = 1000
	otherGroup = 1001
	third      = 1002
	thirdGroup = 4242
)

// groupsOf are a user's groups beside its own, which has the user's number.
var groupsOf = map[int][]uint32{other: {otherGroup}, third: {thirdGroup, other}}

// bit is one named bit (or value) of a call's flags.
type bit struct {
	name  string
	value int
}

// formatFlags names the bits set in v.
func formatFlags(set []bit, v int) string {
	for _, f := range set {
		if f.value == v {
			return f.name
		}
	}
	var names []string
	rest := v
	for _, f := range set {
		if f.value != 0 && rest&f.value == f.value {
			names = append(names, f.name)
			rest &^= f.value
		}
	}
	if rest != 0 {
		names = append(names, fmt.Sprintf("%#x", rest))
	}
	if len(names) == 0 {
		return "0"
	}
	return strings.Join(names, "|")
}

// parseFlags is the inverse of formatFlags.
func parseFlags(set []bit, s string) (int, error) {
	for _, f := range set {
		if f.name == s {
			return f.value, nil
		}
	}
	v := 0
next:
	for name := range strings.SplitSeq(s, "|") {
		for _, f := range set {
			if f.name == name {
				v |= f.value
				continue next
			}
		}
		n, err := strconv.ParseInt(name, 0, 64)
		if err != nil {
			return 0, fmt.Errorf("unknown flag %q", name)
		}
		v |= int(n)
	}
	return v, nil
}

// String prints the call as one line that Parse reads back, for example
//
//	open slot=0 path="d/a" flags=O_RDWR|O_CREAT mode=0644
//
// A line that starts with "as=1000" is made by that user.
func (op Op) String() string {
	var b strings.Builder
	b.WriteString(op.Call)
	if op.As != 0 {
		fmt.Fprintf(&b, " as=%d", op.As)
	}
	c := calls[op.Call]
	for _, field := range c.fields {
		switch field {
		case "slot":
			fmt.Fprintf(&b, " slot=%d", op.Slot)
		case "slot2":
			fmt.Fprintf(&b, " slot2=%d", op.Slot2)
		case "path":
			fmt.Fprintf(&b, " path=%q", op.Path)
		case "path2":
			fmt.Fprintf(&b, " path2=%q", op.Path2)
		case "name":
			fmt.Fprintf(&b, " name=%q", op.Name)
		case "off":
			fmt.Fprintf(&b, " off=%d", op.Off)
		case "len":
			fmt.Fprintf(&b, " len=%d", op.Len)
		case "seed":
			fmt.Fprintf(&b, " seed=%d", op.Seed)
		case "flags":
			fmt.Fprintf(&b, " flags=%s", formatFlags(c.flags, op.Flags))
		case "mode":
			fmt.Fprintf(&b, " mode=%#o", op.Mode)
		case "times":
			fmt.Fprintf(&b, " times=%s,%s", formatTime(op.Times[0]), formatTime(op.Times[1]))
		}
	}
	return b.String()
}

// Parse reads one line of a trace. An empty line or a comment gives ok == false.
func Parse(line string) (op Op, ok bool, err error) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return Op{}, false, nil
	}
	name, rest, _ := strings.Cut(line, " ")
	c := calls[name]
	if c == nil {
		return Op{}, false, fmt.Errorf("unknown call %q", name)
	}
	op.Call = name
	for rest = strings.TrimSpace(rest); rest != ""; rest = strings.TrimSpace(rest) {
		key, tail, found := strings.Cut(rest, "=")
		if !found {
			return Op{}, false, fmt.Errorf("%q: want key=value", rest)
		}
		value := tail
		if strings.HasPrefix(tail, `"`) {
			if value, err = strconv.QuotedPrefix(tail); err != nil {
				return Op{}, false, fmt.Errorf("%q: %w", tail, err)
			}
		} else if i := strings.IndexByte(tail, ' '); i >= 0 {
			value = tail[:i]
		}
		rest = tail[len(value):]
		if err := op.set(c, key, value); err != nil {
			return Op{}, false, fmt.Errorf("%s: %w", line, err)
		}
	}
	return op, true, nil
}

// set assigns one parsed field.
func (op *Op) set(c *call, key, value string) (err error) {
	number := func(bits int) (n int64) {
		n, err = strconv.ParseInt(value, 0, bits)
		return n
	}
	text := func() (s string) {
		s, err = strconv.Unquote(value)
		return s
	}
	switch key {
	case "as":
		op.As = int(number(32))
	case "slot":
		op.Slot = int(number(8))
	case "slot2":
		op.Slot2 = int(number(8))
	case "path":
		op.Path = text()
	case "path2":
		op.Path2 = text()
	case "name":
		op.Name = text()
	case "off":
		op.Off = number(64)
	case "len":
		op.Len = number(64)
	case "seed":
		op.Seed = int(number(32))
	case "flags":
		op.Flags, err = parseFlags(c.flags, value)
	case "mode":
		op.Mode = uint32(number(32))
	case "times":
		a, b, _ := strings.Cut(value, ",")
		if op.Times[0], err = parseTime(a); err == nil {
			op.Times[1], err = parseTime(b)
		}
	default:
		err = fmt.Errorf("unknown field %q", key)
	}
	return err
}

// ParseTrace reads a whole trace.
func ParseTrace(text string) ([]Op, error) {
	var ops []Op
	for line := range strings.Lines(text) {
		op, ok, err := Parse(line)
		if err != nil {
			return nil, err
		}
		if ok {
			ops = append(ops, op)
		}
	}
	return ops, nil
}
