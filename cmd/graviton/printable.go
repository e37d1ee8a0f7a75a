package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// stdout and stderr take text. Names in it are whatever users of the volume and processes of the host call things, and
// must not reach a terminal as commands to it. Bytes that are no text go to os.Stdout.
var (
	stdout io.Writer = printable{os.Stdout}
	stderr io.Writer = printable{os.Stderr}
)

// printable is a writer of text in which characters that are not to be seen, but for ends of lines and tabs, are written
// as \uXXXX and bytes that are no UTF-8 as \xXX. JSON stays the same JSON.
type printable struct{ w io.Writer }

// Write implements io.Writer. A character must not be divided between two calls.
func (p printable) Write(text []byte) (int, error) {
	out := make([]byte, 0, len(text))
	for rest := text; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			out = fmt.Appendf(out, `\x%02x`, rest[0])
		case r == '\n' || r == '\t' || unicode.IsGraphic(r):
			out = append(out, rest[:size]...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[size:]
	}
	_, err := p.w.Write(out)
	return len(text), err
}

// quote returns a name as it is to stand in a line or a table: as it is, or as a Go string if it has anything that isn't to
// be seen, such as the end of a line that would begin another one.
func quote(name string) string {
	hidden := func(r rune) bool { return !unicode.IsGraphic(r) }
	if utf8.ValidString(name) && !strings.ContainsFunc(name, hidden) && !strings.HasPrefix(name, `"`) {
		return name
	}
	return strconv.Quote(name)
}

// oneLine joins the lines of a message, such as an error's, that is to stand in a line or a table.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\t' }), " ")
}
