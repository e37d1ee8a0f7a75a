package security

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestDocumentedTests looks for each test that the tables of promises name in their last column. In docs/posix.md a line
// without one says what there is not.
func TestDocumentedTests(t *testing.T) {
	for doc, tested := range map[string]int{"security.md": 10, "posix.md": 20} {
		rows, without := checkTables(t, doc)
		if rows-without < tested {
			t.Errorf("%s: only %d rows with a test found", doc, rows-without)
		}
		if without > 0 && doc == "security.md" {
			t.Errorf("%s: %d rows without a test", doc, without)
		}
	}
}

// checkTables looks for the tests of a document's tables, and counts its rows and those that name none.
func checkTables(t *testing.T, doc string) (rows, without int) {
	t.Helper()
	root := harness.Root(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", doc))
	if err != nil {
		t.Fatal(err)
	}
	inTable := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.HasSuffix(line, "| the test |") {
			inTable = strings.HasSuffix(line, "| the test |")
			continue
		}
		if !inTable || strings.HasPrefix(line, "|---") {
			continue
		}
		rows++
		cells := strings.Split(strings.Trim(line, "|"), "|")
		tests := regexp.MustCompile("`[^`]+`").FindAllString(cells[len(cells)-1], -1)
		if len(tests) == 0 {
			without++
		}
		for _, test := range tests {
			if test = strings.Trim(test, "`"); !exists(t, root, test) {
				t.Errorf("%s: there is no %s: %s", doc, test, line)
			}
		}
	}
	return rows, without
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
