package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// FuzzLoad checks that no input makes the loader panic or print more than one line an error, and that what it
// accepts is shown as text that it accepts again, with the same values.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"rocksdb", "postgres", "s3"} {
		text, err := os.ReadFile("testdata/seed-" + name + ".conf")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "graviton.cache.memory=1GB", "12ab#x")
	}
	bad, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		f.Fatal(err)
	}
	for block := range strings.SplitSeq(string(bad), "====\n") {
		text, _, _ := strings.Cut(block, "----\n")
		f.Add(text, "tiered.rules=[{path=/a,tier=cold}]", "")
	}
	f.Fuzz(func(t *testing.T, text, set, variable string) {
		env := map[string]string{"HOME": "/home/someone", "GRAVITON_PG_PASSWORD": variable, "GRAVITON_S3_KEY_PREFIX": variable}
		settings, errs := parse(text, "file x", env)
		if len(errs) == 0 && settings == nil && strings.Contains(text, "=") && !strings.ContainsAny(text, "#/") {
			t.Errorf("%q was read as nothing", text)
		}
		c, err := loadText("x", text, 0, []string{set}, env)
		if err != nil {
			checkErrors(t, err)
			return
		}
		var shown, again bytes.Buffer
		if err := c.Show(&shown); err != nil {
			t.Fatal(err)
		}
		d, err := loadText("x", shown.String(), 0, []string{"postgres.password=" + c.Postgres.Password.Reveal(),
			"s3.secret-access-key=" + c.S3.SecretAccessKey.Reveal()}, env)
		if err != nil {
			t.Fatalf("%v\n%s", err, &shown)
		}
		d.origins, d.source = c.origins, c.source
		if err := d.Show(&again); err != nil {
			t.Fatal(err)
		}
		if shown.String() != again.String() {
			t.Errorf("shown as\n%s\nand loaded as\n%s", &shown, &again)
		}
	})
}

// checkErrors checks each error that was joined.
func checkErrors(t *testing.T, err error) {
	t.Helper()
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range joined.Unwrap() {
			checkErrors(t, err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || strings.ContainsAny(err.Error(), "\n\x00") {
		t.Errorf("not one line of *config.Error: %q", err)
	}
}
