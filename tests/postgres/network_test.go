package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

const ioTimeout = 2 * time.Second

// TestNoAnswer makes the network a black hole, and then stops the server's processes, for longer than io-timeout. A call
// that waits can be interrupted, and fails with EIO in the end; the mount heals by itself.
func TestNoAnswer(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	m, p := behind(t, s, "--set", fmt.Sprint("io-timeout=", ioTimeout), "--set", "postgres.pool.connection-timeout=1s")
	for _, outage := range []struct {
		name       string
		begin, end func() error
	}{
		{"black hole", func() error { p.Hold(); return nil }, func() error { p.Release(); return nil }},
		{"stopped server", s.Pause, s.Resume},
	} {
		t.Run(outage.name, func(t *testing.T) {
			dir := filepath.Join(m.Dir, strings.ReplaceAll(outage.name, " ", "-"))
			harness.Check(t, os.Mkdir(dir, 0o755))
			data := harness.Noise(300_000)
			for _, c := range calls {
				harness.Check(t, os.MkdirAll(filepath.Join(dir, c.name, "empty"), 0o755))
				harness.Check(t, writeSynced(filepath.Join(dir, c.name, "file"), data))
			}
			harness.Check(t, outage.begin())
			defer func() { _ = outage.end() }() // so that the mount can be unmounted whatever fails
			for _, command := range []string{"mkdir interrupted", "touch interrupted-too",
				"dd if=read/file iflag=direct of=/dev/null status=none"} {
				wantInterruptible(t, dir, command)
			}
			wantEIO(t, dir)
			harness.Check(t, outage.end())
			took := harness.Soon(t, 20*time.Second, "the mount heals", func() bool { return writeSynced(filepath.Join(dir, "new"), data) == nil })
			t.Logf("healed after %v", took)
			harness.WantFile(t, data, dir, "new")
			harness.WantFile(t, data, dir, "read", "file")
			// What failed may have been done, in whole.
			eitherFile(t, data, filepath.Join(dir, "rename", "file"), filepath.Join(dir, "rename", "new"))
			harness.Check(t, os.RemoveAll(dir))
			if res := m.RunStore("fsck", "--data"); res.Code != 0 {
				t.Errorf("%v", res)
			}
		})
	}
}

// wantInterruptible runs a command that has to wait, and wants it to end when it is told to, long before io-timeout.
func wantInterruptible(t *testing.T, dir, command string) {
	t.Helper()
	words := strings.Fields(command)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	harness.Check(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Errorf("%s doesn't wait: %v", command, err)
		return
	case <-time.After(300 * time.Millisecond):
	}
	harness.Check(t, cmd.Process.Signal(unix.SIGTERM))
	told := time.Now()
	if err := <-ended; err == nil || time.Since(told) > time.Second {
		t.Errorf("%s ended with %v, %v after it was told to", command, err, time.Since(told))
	}
}

// call is a call that needs the server, in a directory of its own: the kernel makes calls that change one directory one
// after the other.
type call struct {
	name string
	do   func(path string) error
}

var calls = []call{
	{"mkdir", func(p string) error { return os.Mkdir(p, 0o755) }},
	{"rmdir", func(p string) error { return unix.Rmdir(filepath.Join(filepath.Dir(p), "empty")) }},
	{"create", func(p string) error { return writeSynced(p, []byte("x")) }},
	{"rename", func(p string) error { return unix.Rename(filepath.Join(filepath.Dir(p), "file"), p) }},
	{"unlink", func(p string) error { return unix.Unlink(filepath.Join(filepath.Dir(p), "file")) }},
	{"read", func(p string) error { return readDirect(filepath.Join(filepath.Dir(p), "file")) }},
}

// wantEIO makes all calls at the same time, and wants each to fail with EIO after io-timeout.
func wantEIO(t *testing.T, dir string) {
	t.Helper()
	var wg sync.WaitGroup
	for _, c := range calls {
		wg.Go(func() {
			begun := time.Now()
			err := c.do(filepath.Join(dir, c.name, "new"))
			took := time.Since(begun)
			t.Logf("%s: %v after %v", c.name, err, took)
			// The kernel asks twice for a name that it knows: whether it is still so, and then anew.
			if !errors.Is(err, unix.EIO) || took < ioTimeout*8/10 || took > 3*ioTimeout {
				t.Errorf("%s ended with %v after %v, want %v after %v", c.name, err, took, unix.EIO, ioTimeout)
			}
		})
	}
	wg.Wait()
}

// readDirect reads a file past the kernel's cache.
func readDirect(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if _, err = unix.Pread(fd, make([]byte, 64<<10), 0); err != nil {
		return fmt.Errorf("pread: %w", err)
	}
	return nil
}

// eitherFile wants one of two names to be there, with the data.
func eitherFile(t *testing.T, data []byte, one, other string) {
	t.Helper()
	a, aerr := os.ReadFile(one)
	b, berr := os.ReadFile(other)
	if (aerr == nil) == (berr == nil) || !bytes.Equal(append(a, b...), data) {
		t.Errorf("%s: %d bytes, %v; %s: %d bytes, %v", one, len(a), aerr, other, len(b), berr)
	}
}
