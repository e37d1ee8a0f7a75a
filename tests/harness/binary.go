// Package harness runs the real graviton binary for tests that go through the kernel: it builds
// the binary, mounts in a separate process on temporary folders, and leaves nothing behind.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// commandTimeout bounds one command of the binary: longer than any that a test runs, short enough
// that a daemon which hangs fails the test instead of the whole run.
const commandTimeout = 2 * time.Minute

// builds holds the path of each binary built by this process, by its build tags.
var builds struct {
	sync.Mutex
	paths map[string]string
}

// Require fails the test, in one clear line, when the machine lacks what a mount needs. It never
// skips: a suite that skipped its mounts would pass without having tested anything.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("mount tests need root (they mount, kill daemons and change owners): run them through sudo")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Fatalf("mount tests need FUSE: %v (try: modprobe fuse)", err)
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		t.Fatal("mount tests need fusermount3: install the package fuse3 (scripts/deps does)")
	}
}

// Root returns the repository's top folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}

// Binary returns the graviton binary: GRAVITON_BIN when it is set (a path), else one built from
// this tree, once a process.
func Binary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("GRAVITON_BIN"); bin != "" {
		if _, err := os.Stat(bin); err != nil {
			t.Fatalf("GRAVITON_BIN: %v", err)
		}
		return bin
	}
	return Build(t, "")
}

// Build returns a binary built from this tree with the given build tags (comma separated, may be
// empty). GRAVITON_BIN doesn't replace it: a caller that names tags wants that variant.
func Build(t testing.TB, tags string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if bin, ok := builds.paths[tags]; ok {
		return bin
	}
	dir, err := os.MkdirTemp("", "graviton-bin-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // other users run it too
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "graviton")
	cmd := exec.Command("go", "build", "-tags", tags, "-o", bin, "./cmd/graviton")
	cmd.Dir = Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		t.Fatalf("build graviton (tags %q): %v\n%s", tags, err, out)
	}
	if builds.paths == nil {
		builds.paths = make(map[string]string)
	}
	builds.paths[tags] = bin
	return bin
}

// RemoveBuilds deletes the binaries that this process built; TestMain calls it last.
func RemoveBuilds() {
	builds.Lock()
	defer builds.Unlock()
	for _, bin := range builds.paths {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	builds.paths = nil
}

// Main runs a package's tests and then removes what they built and started. Call it from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	RemoveBuilds()
	if err := pgtest.StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Result is what a finished command said.
type Result struct {
	Args   []string
	Stdout string
	Stderr string
	Code   int // exit code; -1 when it was killed at the time limit
}

// String gives the command with its exit code and output, for messages.
func (r Result) String() string {
	return fmt.Sprintf("graviton %q: exit %d\nstdout: %s\nstderr: %s", r.Args, r.Code, r.Stdout, r.Stderr)
}

// Command runs a binary to its end and returns what it said. It fails the test only when the
// binary can't be started; the caller judges the exit code.
func Command(t testing.TB, bin string, args ...string) Result {
	t.Helper()
	return command(t, bin, nil, args...)
}

// command is Command with NAME=VALUE added to the environment.
func command(t testing.TB, bin string, env []string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env = append(os.Environ(), env...)
	// The daemon inherits what it is given: files instead of pipes, so that Run returns when the
	// command ends and not when the daemon does.
	stdout, stderr := tempFile(t), tempFile(t)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err := cmd.Run()
	res := Result{Args: args, Stdout: drain(t, stdout), Stderr: drain(t, stderr)}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		res.Code = exit.ExitCode()
	default:
		t.Fatalf("%s: %v", bin, err)
	}
	if ctx.Err() != nil {
		res.Stderr += "\n(killed by the test after " + commandTimeout.String() + ")"
	}
	return res
}

// tempFile makes an unlinked temporary file.
func tempFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp("", "graviton-out-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	return f
}

// drain reads a temporary file from its start and closes it.
func drain(t testing.TB, f *os.File) string {
	t.Helper()
	var buf bytes.Buffer
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := buf.ReadFrom(f); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	return buf.String()
}
