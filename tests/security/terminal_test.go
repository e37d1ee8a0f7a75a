package security

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/graviton-fs/graviton/control"
	"github.com/graviton-fs/graviton/tests/harness"
)

// evilName is a file's and a process's: it sets a terminal's title, clears it, and looks like a line of its own.
const evilName = "\x1b]0;owned\x07\x1b[2J\u009b1m\u202e\nok"

// evilBytes is a name that is no UTF-8: CSI as one byte. JSON, and so the daemon's answers, have no way to write it.
const evilBytes = "\x9b31m"

// TestNamesOnTheTerminal has each command that prints names print those that a user of the mount has chosen.
func TestNamesOnTheTerminal(t *testing.T) {
	m := harness.Start(t, harness.Config{})
	for _, name := range []string{evilName, evilBytes} {
		if err := os.WriteFile(filepath.Join(m.Dir, name), bytes.Repeat([]byte{7}, 6<<20), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	evilFile := filepath.Join(m.Dir, evilName)
	if err := os.Symlink(evilName, evilFile+"link"); err != nil {
		t.Fatal(err)
	}
	inPieces(t, evilFile+"pieces")
	m.Remount() // so that nothing is in the kernel's cache
	damage(t, filepath.Join(m.State, "rocksdb", "files"))
	if _, err := os.ReadFile(evilFile); err == nil {
		t.Fatal("the damage isn't noticed")
	}

	show := func(code int, has string, args ...string) {
		t.Helper()
		res := m.Run(args...)
		text := res.Stdout + res.Stderr
		for _, r := range text {
			if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
				t.Fatalf("%q is printed: %q", r, text)
			}
		}
		if !utf8.ValidString(text) || strings.Contains(text, "\nok") {
			t.Errorf("printed %q", text)
		}
		if res.Code != code || !strings.Contains(text, has) {
			t.Errorf("not printed: %s: %q: %v", has, text, res)
		}
	}
	quoted := `\x1b]0;owned\a\x1b[2J\u009b1m\u202e\nok`
	show(0, quoted, "stat", evilFile)
	show(0, quoted, "stat", evilFile+"link")
	show(0, "/\ufffd31m\n", "stat", filepath.Join(m.Dir, evilBytes))
	show(1, `\u001b[2Jmissing`, "stat", filepath.Join(m.Dir, "\x1b[2Jmissing"))
	show(3, quoted, "fsck", "--data", m.Dir)
	show(3, `\u001b]0;owned`, "fsck", "--data", "--json", m.Dir)
	show(0, quoted, "status", m.Dir) // the error of the read above
	show(0, quoted, "compact", evilFile+"pieces")

	var info control.FileInfo
	if err := json.Unmarshal([]byte(m.Run("stat", "--json", evilFile).Stdout), &info); err != nil || info.Path != "/"+evilName {
		t.Errorf("--json has %q, %v", info.Path, err)
	}

	// A process whose name is evil uses the mount.
	evilProgram := filepath.Join(harness.TempDir(t), "\x1b]0;p\x07\nx")
	sleep, err := exec.LookPath("sleep")
	if err == nil {
		err = os.Link(sleep, evilProgram)
	}
	if err != nil { // on another file system
		err = exec.Command("cp", sleep, evilProgram).Run()
	}
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command(evilProgram, "600")
	holder.Dir = m.Dir
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	show(1, `"\x1b]0;p\a\nx" (process`, "unmount", m.Dir)
	_ = holder.Process.Kill()
	_ = holder.Wait()
}

// inPieces writes a file so that it has many extents.
func inPieces(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 40 {
		if _, err := f.Write(harness.Noise(64 << 10)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

// damage overwrites the beginning of all files in a directory.
func damage(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		f, err := os.OpenFile(filepath.Join(dir, file.Name()), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(harness.Noise(64<<10), 0)
		if cerr := f.Close(); err != nil || cerr != nil {
			t.Fatal(err, cerr)
		}
	}
}
