package security

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestDocumentedTests looks for each test that docs/security.md names.
func TestDocumentedTests(t *testing.T) {
	root := harness.Root(t)
	doc, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(doc), "\n| promise |")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || !strings.HasPrefix(line, "| ") {
			continue
		}
		rows++
		tests := regexp.MustCompile("`[^`]+`").FindAllString(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("no test: %s", line)
		}
		for _, test := range tests {
			if test = strings.Trim(test, "`"); !exists(t, root, test) {
				t.Errorf("there is no %s: %s", test, line)
			}
		}
	}
	if rows < 10 {
		t.Errorf("only %d rows found", rows)
	}
}

// exists looks for a test: package:TestName, or a file.
func exists(t *testing.T, root, test string) bool {
	t.Helper()
	pkg, name, ok := strings.Cut(test, ":")
	if !ok {
		_, err := os.Stat(filepath.Join(root, test))
		return err == nil
	}
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return true
		}
	}
	return false
}
