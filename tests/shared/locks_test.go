package shared

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// sh runs a shell command and returns its exit code.
func sh(t *testing.T, command string) int {
	t.Helper()
	err := exec.Command("sh", "-c", command).Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

// TestFlock locks a file by flock(1) on both mounts.
func TestFlock(t *testing.T) {
	t.Parallel()
	two(t, testFlock)
}

func testFlock(t *testing.T, a, b *harness.Mount) {
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "lock"), nil, 0o644))
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "n"), []byte("0\n"), 0o644))
	holder := exec.Command("flock", "--no-fork", filepath.Join(a.Dir, "lock"), "sh", "-c", "echo locked; exec sleep 60")
	out, err := holder.StdoutPipe()
	harness.Check(t, err)
	harness.Check(t, holder.Start())
	_, err = out.Read(make([]byte, 6))
	harness.Check(t, err)
	lock := filepath.Join(b.Dir, "lock")
	if code := sh(t, "flock -n "+lock+" true"); code != 1 {
		t.Errorf("flock -n of what the other host has: exit code %d, want 1", code)
	}
	if code := sh(t, "timeout -s INT 1 flock "+lock+" true"); code != 124 {
		t.Errorf("an interrupted flock: exit code %d, want 124", code)
	}
	// The program that has the lock is killed, and the lock is free.
	waiting := make(chan int, 1)
	go func() { waiting <- sh(t, "timeout 20 flock "+lock+" true") }()
	time.Sleep(200 * time.Millisecond)
	harness.Check(t, holder.Process.Kill())
	_ = holder.Wait() // killed
	if code := <-waiting; code != 0 {
		t.Errorf("flock once it is free: exit code %d", code)
	}
	var g errgroup.Group
	for _, m := range []*harness.Mount{a, b} {
		g.Go(func() error {
			script := `for i in $(seq 10); do flock lock sh -c 'n=$(cat n); echo $((n + 1)) > n'; done`
			cmd := exec.Command("sh", "-ec", script)
			cmd.Dir = m.Dir
			return cmd.Run()
		})
	}
	harness.Check(t, g.Wait())
	got, err := os.ReadFile(filepath.Join(a.Dir, "n"))
	harness.Check(t, err)
	if string(got) != "20\n" {
		t.Errorf("the counter is %q, want 20", got)
	}
}

// TestFcntl takes locks of byte ranges, of a process and of an open file, on both mounts.
func TestFcntl(t *testing.T) {
	t.Parallel()
	two(t, testFcntl)
}

func testFcntl(t *testing.T, a, b *harness.Mount) {
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "f"), nil, 0o644))
	open := func(m *harness.Mount) *os.File {
		f, err := os.OpenFile(filepath.Join(m.Dir, "f"), os.O_RDWR, 0)
		harness.Check(t, err)
		return f
	}
	for _, kind := range []struct {
		name           string
		set, wait, get int
	}{
		{"posix", unix.F_SETLK, unix.F_SETLKW, unix.F_GETLK},
		{"ofd", unix.F_OFD_SETLK, unix.F_OFD_SETLKW, unix.F_OFD_GETLK},
	} {
		fa, fb := open(a), open(b)
		set := func(f *os.File, cmd int, typ int16, start, length int64) error {
			return unix.FcntlFlock(f.Fd(), cmd, &unix.Flock_t{Type: typ, Start: start, Len: length})
		}
		harness.Check(t, set(fa, kind.set, unix.F_WRLCK, 0, 10))
		if err := set(fb, kind.set, unix.F_RDLCK, 5, 10); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("%s: a lock that overlaps: %v, want EAGAIN", kind.name, err)
		}
		harness.Check(t, set(fb, kind.set, unix.F_WRLCK, 10, 10))
		probe := unix.Flock_t{Type: unix.F_WRLCK, Start: 3, Len: 1}
		harness.Check(t, unix.FcntlFlock(fb.Fd(), kind.get, &probe))
		if probe.Type != unix.F_WRLCK || probe.Start != 0 || probe.Len != 10 {
			t.Errorf("%s: F_GETLK says %+v", kind.name, probe)
		}
		done := make(chan error, 1)
		go func() { done <- set(fb, kind.wait, unix.F_WRLCK, 0, 5) }()
		select {
		case err := <-done:
			t.Fatalf("%s: a lock that isn't free was got: %v", kind.name, err)
		case <-time.After(200 * time.Millisecond):
		}
		harness.Check(t, fa.Close()) // gives the locks back
		harness.Check(t, <-done)
		harness.Check(t, fb.Close())
		fa = open(a)
		harness.Soon(t, 5*time.Second, kind.name+" lock after the other's close", func() bool {
			return set(fa, kind.set, unix.F_WRLCK, 0, 0) == nil
		})
		harness.Check(t, fa.Close())
	}
}
