package posix

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestPrivate is a mount that nobody but root may use, for which the kernel checks no permissions.
func TestPrivate(t *testing.T) {
	m := harness.Start(t, harness.Config{})
	checkAccess(t, m.Dir)

	name := filepath.Join(m.Dir, "open")
	open, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	as(t, 12345, func() {
		if _, err := os.Open(name); !errors.Is(err, unix.EACCES) {
			t.Errorf("open for another user: %v, not EACCES", err)
		}
		if err := os.WriteFile(filepath.Join(m.Dir, "new"), nil, 0o666); !errors.Is(err, unix.EACCES) {
			t.Errorf("create for another user: %v, not EACCES", err)
		}
		if err := os.Remove(name); !errors.Is(err, unix.EACCES) {
			t.Errorf("remove for another user: %v, not EACCES", err)
		}
		// What was opened before stays usable, as everywhere.
		if _, err := open.WriteString("text"); err != nil {
			t.Errorf("write to an open file for another user: %v", err)
		}
		if err := open.Close(); err != nil {
			t.Errorf("close for another user: %v", err)
		}
	})
	if got, err := os.ReadFile(name); err != nil || string(got) != "text" {
		t.Errorf("the file has %q, %v", got, err)
	}
}

// TestChecked is the same mount with the kernel's checks.
func TestChecked(t *testing.T) {
	m := harness.Start(t, harness.Config{}.With("-o", "default_permissions"))
	checkAccess(t, m.Dir)
	name := filepath.Join(m.Dir, "readable")
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	as(t, 12345, func() {
		if got, err := os.ReadFile(name); err != nil || string(got) != "text" {
			t.Errorf("what everybody may read: %q, %v", got, err)
		}
		if err := os.WriteFile(name, nil, 0o644); !errors.Is(err, unix.EACCES) {
			t.Errorf("write for another user: %v, not EACCES", err)
		}
	})
}

// checkAccess compares access(2) by root with what access(2) says about it.
func checkAccess(t *testing.T, dir string) {
	t.Helper()
	for _, c := range []struct {
		mode    os.FileMode
		x       error
		comment string
	}{{0o644, unix.EACCES, "a file that nobody may execute"}, {0o745, nil, "a file that others may execute"}} {
		name := filepath.Join(dir, c.comment)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, c.mode); err != nil {
			t.Fatal(err)
		}
		if err := unix.Access(name, unix.X_OK); !errors.Is(err, c.x) {
			t.Errorf("access %s: %v, not %v", c.comment, err, c.x)
		}
		if err := unix.Access(name, unix.R_OK|unix.W_OK); err != nil {
			t.Errorf("access to read and write: %v", err)
		}
	}
	if err := unix.Access(dir, unix.X_OK|unix.R_OK|unix.W_OK); err != nil {
		t.Errorf("access to the directory: %v", err)
	}
	if err := unix.Access(filepath.Join(dir, "missing"), unix.F_OK); !errors.Is(err, unix.ENOENT) {
		t.Errorf("access to what is missing: %v", err)
	}
}

// as runs a function whose file accesses are another user's, as a file server's are.
func as(t *testing.T, uid int, what func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and the thread ends with the goroutine
		if err := unix.Setfsuid(uid); err != nil {
			t.Error(err)
			return
		}
		what()
	}()
	<-done
}
