package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain, ünïcode, 日本, 🙂\tand\nlines\n": "plain, ünïcode, 日本, 🙂\tand\nlines\n",
		"\x1b]0;title\x07":  `\u001b]0;title\u0007`,
		"over\rwritten":     `over\u000dwritten`,
		"\u009b31m":         `\u009b31m`, // a CSI of one character
		"\x9b31m":           `\x9b31m`,   // and of one byte
		"file\u202etxt.exe": `file\u202etxt.exe`,
		"\x7f\x00":          `\u007f\u0000`,
		"tag\U000e0041":     `tag\udb40\udc41`,
	} {
		var b bytes.Buffer
		if n, err := (printable{&b}).Write([]byte(text)); n != len(text) || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
		if b.String() != want {
			t.Errorf("%q: %q", text, b.String())
		}
	}
}

// TestPrintableJSON has JSON come out as the same JSON.
func TestPrintableJSON(t *testing.T) {
	name := "a\x1b\n\t\"\\\u007f\u009b\u202e\U000e0041é"
	var b bytes.Buffer
	if err := printJSON(printable{&b}, map[string]string{"path": name}); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.String() {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
			t.Errorf("%q has %q", b.String(), r)
		}
	}
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got["path"] != name {
		t.Errorf("%q, %v", got["path"], err)
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"/a b/'c'":      "/a b/'c'",
		`/back\slash`:   `/back\slash`,
		"/mid\"quote":   "/mid\"quote",
		`"quoted"`:      `"\"quoted\""`,
		"/two\nlines":   `"/two\nlines"`,
		"/tab\tstop":    `"/tab\tstop"`,
		"/bell\x07":     `"/bell\a"`,
		"/latin1\xe9":   `"/latin1\xe9"`,
		"/right\u202el": `"/right\u202el"`,
		"":              "",
	} {
		if got := quote(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if got := oneLine("two\n\tlines"); got != "two lines" {
		t.Errorf("%q", got)
	}
}
