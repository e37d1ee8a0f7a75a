package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write what is printed to testdata and to the documentation")

// TestBadInput compares with testdata/errors.txt: inputs, each with the lines that the user sees after "----".
// A line "$ NAME=VALUE" sets a variable, "--set KEY=VALUE" is a flag; all else is the file, graviton.conf.
func TestBadInput(t *testing.T) {
	t.Chdir(t.TempDir())
	golden := filepath.Join(testdata, "errors.txt")
	all, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSuffix(string(all), "====\n"), "====\n") {
		input, wanted, _ := strings.Cut(block, "----\n")
		got := badInput(t, input)
		if got != wanted && !*update {
			t.Errorf("%s--- got\n%s--- want\n%s", input, got, wanted)
		}
		out.WriteString(input + "----\n" + got + "====\n")
	}
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// testdata is absolute because some tests change the directory.
var testdata, _ = filepath.Abs("testdata")

// badInput loads one block and returns its errors.
func badInput(t *testing.T, input string) string {
	t.Helper()
	var text strings.Builder
	opts := Options{Path: "graviton.conf", Environ: []string{"HOME=/home/someone"}}
	for line := range strings.Lines(input) {
		if variable, ok := strings.CutPrefix(line, "$ "); ok {
			opts.Environ = append(opts.Environ, strings.TrimSuffix(variable, "\n"))
		} else if flag, ok := strings.CutPrefix(line, "--set "); ok {
			opts.Set = append(opts.Set, strings.TrimSuffix(flag, "\n"))
		} else {
			text.WriteString(line)
		}
	}
	if err := os.WriteFile(opts.Path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(opts)
	if err == nil {
		t.Errorf("no error for\n%s", input)
		return ""
	}
	var e *Error
	if !errors.As(err, &e) || e.Problem == "" || e.Origin == "" {
		t.Errorf("not a *config.Error: %v", err)
	}
	return err.Error() + "\n"
}

func TestGarbledFile(t *testing.T) {
	for text, problem := range map[string]string{
		"graviton\x00 {}":                           "UTF-8",
		"graviton { log.level = \"\xff\" }":         "UTF-8",
		strings.Repeat("a {", 40):                   "too deep",
		"a" + strings.Repeat(".a", 1000) + " = 1":   "key is garbled",
		strings.Repeat("# a comment\n", maxFile/10): "larger than 1MB",
	} {
		_, err := load(t, text, nil, nil)
		if err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want %q: %v", problem, err)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for origin, opts := range map[string]Options{
		"-c /no/such.conf": {Path: "/no/such.conf"},
		"-c .":             {Path: "."},
		"environment GRAVITON_CONFIG=/no/such.conf": {Environ: []string{"GRAVITON_CONFIG=/no/such.conf"}},
	} {
		if opts.Environ == nil {
			opts.Environ = []string{}
		}
		_, err := Load(opts)
		if err == nil || !strings.HasPrefix(err.Error(), origin+": cannot read the configuration: ") {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

// Without a home directory there is no place for the state of a user.
func TestNoHome(t *testing.T) {
	t.Chdir(t.TempDir())
	asUser(t, 1000)
	_, err := Load(Options{Environ: []string{}})
	if err == nil || !strings.Contains(err.Error(), "default: graviton.state-dir: the path is empty") {
		t.Error(err)
	}
}
