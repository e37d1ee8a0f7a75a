package contenttype

import (
	"bytes"
	"testing"
)

func TestDetect(t *testing.T) {
	for first, want := range map[string]string{
		"":                        "text/plain",
		"plain\n":                 "text/plain; charset=utf-8",
		"\x89PNG\r\n\x1a\n":       "image/png",
		"\x00\x01\x02\xfe\xff":    "application/octet-stream",
		"{\"a\": [1, 2, null]}\n": "application/json",
	} {
		if got := Detect([]byte(first)); got != want {
			t.Errorf("%q is %s, want %s", first, got, want)
		}
	}
	// What is behind the first bytes doesn't count.
	long := append(bytes.Repeat([]byte("text "), SniffLen), 0, 1, 2)
	if got := Detect(long); got != "text/plain; charset=utf-8" {
		t.Errorf("a long text is %s", got)
	}
}
