package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
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
	path := filepath.Join(f.TempDir(), "graviton.conf")
	f.Fuzz(func(t *testing.T, text, set, variable string) {
		environ := []string{"HOME=/home/someone", "GRAVITON_PG_PASSWORD=" + variable, "GRAVITON_S3_KEY_PREFIX=" + variable}
		settings, errs := parse(text, "file x", environment(environ))
		if len(errs) == 0 && settings == nil && strings.Contains(text, "=") && !strings.ContainsAny(text, "#/") {
			t.Errorf("%q was read as nothing", text)
		}
		load := func(text string, set ...string) (*Config, error) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return Load(Options{Path: path, Environ: environ, Set: set})
		}
		c, err := load(text, set)
		if err != nil {
			checkErrors(t, err)
			return
		}
		var shown, again bytes.Buffer
		if err := c.Show(&shown); err != nil {
			t.Fatal(err)
		}
		d, err := load(shown.String(), "postgres.password="+c.Postgres.Password.Reveal(),
			"s3.secret-access-key="+c.S3.SecretAccessKey.Reveal())
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
