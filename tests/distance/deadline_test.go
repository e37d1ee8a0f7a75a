package distance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// ioTimeout is that of the test's mounts. A call that fails may take slack longer, far less than a second io-timeout.
const (
	ioTimeout = 8 * time.Second
	slack     = ioTimeout * 6 / 10
	// openSlack is that of calls on open files that several programs make at once, where the creation of files waits for their
	// first close or fsync: each commits the others' too, and one of about six runs has a call that waits a second time.
	openSlack = ioTimeout * 16 / 10
)

// call is one that needs the servers, in a folder of its own. Prepare is what it needs before they are gone.
type call struct {
	name    string
	prepare func(dir string) error
	do      func(dir string) error
}

// slack is how much longer than io-timeout the call may take.
func (c *call) slack() time.Duration {
	if c.prepare == nil && strings.HasPrefix(c.name, "open ") {
		return openSlack
	}
	return slack
}

var calls = []call{
	{"read", putLarge, func(dir string) error {
		_, err := os.ReadFile(filepath.Join(dir, "large"))
		return err
	}},
	{"read direct", putLarge, func(dir string) error { return readDirect(filepath.Join(dir, "large")) }},
	{"mkdir", nil, func(dir string) error { return os.Mkdir(filepath.Join(dir, "new"), 0o755) }},
	{"stat", putLarge, func(dir string) error { _, err := os.Stat(filepath.Join(dir, "large")); return err }},
	{"unlink", putLarge, func(dir string) error { return unix.Unlink(filepath.Join(dir, "large")) }},
	{"small fsync", nil, func(dir string) error { return store(filepath.Join(dir, "small"), 5000, true) }},
	{"small close", nil, func(dir string) error { return store(filepath.Join(dir, "small"), 5000, false) }},
	{"large fsync", nil, func(dir string) error { return store(filepath.Join(dir, "large"), 3<<20, true) }},
	{"large close", nil, func(dir string) error { return store(filepath.Join(dir, "large"), 3<<20, false) }},
	{"rename", putLarge, func(dir string) error {
		return unix.Rename(filepath.Join(dir, "large"), filepath.Join(dir, "other"))
	}},
	{"stream close", nil, func(dir string) error { return store(filepath.Join(dir, "large"), 20<<20, false) }},
}

func putLarge(dir string) error { return store(filepath.Join(dir, "large"), 3<<20, true) }

// store writes a file, and returns the error of the call that fails last.
func store(path string, size int, sync bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(harness.Noise(size))
	if sync && err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func readDirect(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	_, err = unix.Pread(fd, make([]byte, 64<<10), 0)
	return err
}

// openCall is a call on a file that was opened while the servers were there.
type openCall struct {
	name string
	open func(dir string) (*os.File, error)
	do   func(f *os.File) error
}

var openCalls = []openCall{
	{"open read", func(dir string) (*os.File, error) { return os.Open(filepath.Join(dir, "large")) }, func(f *os.File) error {
		_, err := f.ReadAt(make([]byte, 10_000), 1<<20)
		return err
	}},
	{"open small fsync", written(5000), (*os.File).Sync},
	{"open small close", written(5000), (*os.File).Close},
	{"open large fsync", written(3 << 20), (*os.File).Sync},
	{"open large close", written(3 << 20), (*os.File).Close},
}

// written makes a file and leaves it open.
func written(size int) func(dir string) (*os.File, error) {
	return func(dir string) (*os.File, error) {
		f, err := os.Create(filepath.Join(dir, "written"))
		if err == nil {
			_, err = f.Write(harness.Noise(size))
		}
		return f, err
	}
}

// prepare makes what the calls need.
func prepare(t *testing.T, m *harness.Mount) {
	t.Helper()
	for _, c := range calls {
		dir := filepath.Join(m.Dir, c.name)
		harness.Check(t, os.Mkdir(dir, 0o755))
		if c.prepare != nil {
			harness.Check(t, c.prepare(dir))
		}
	}
	for _, c := range openCalls {
		dir := filepath.Join(m.Dir, c.name)
		harness.Check(t, os.Mkdir(dir, 0o755))
		harness.Check(t, putLarge(dir))
	}
}

// opened makes calls of openCalls.
func opened(t *testing.T, m *harness.Mount) (list []call) {
	t.Helper()
	for _, c := range openCalls {
		dir := filepath.Join(m.Dir, c.name)
		f, err := c.open(dir)
		harness.Check(t, err)
		t.Cleanup(func() { _ = f.Close() }) // if it isn't yet
		list = append(list, call{name: c.name, do: func(string) error { return c.do(f) }})
	}
	return list
}

// TestDeadline has the servers not answer, and wants each call to end within io-timeout, whatever it does on its way down:
// with EIO, or done if it needs them for nothing. Afterwards the mount works.
func TestDeadline(t *testing.T) {
	t.Parallel()
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			cfg, distance := p.make(t)
			defer distance(0)
			m := harness.Start(t, cfg.With("--set", "io-timeout="+ioTimeout.String(), "--set", "postgres.pool.connection-timeout=2s"))
			prepare(t, m)
			m.Remount()               // with nothing in memory
			for _, c := range calls { // names that the kernel knows, and may not believe for long
				_, err := os.ReadDir(filepath.Join(m.Dir, c.name))
				harness.Check(t, err)
			}
			time.Sleep(1200 * time.Millisecond)
			for _, list := range [][]call{opened(t, m), calls} {
				distance(gone)
				var wg sync.WaitGroup
				for _, c := range list {
					wg.Go(func() { inTime(t, c, filepath.Join(m.Dir, c.name)) })
				}
				wg.Wait()
				distance(0)
				harness.Soon(t, 20*time.Second, "the mount heals", func() bool { return store(filepath.Join(m.Dir, "healed"), 3<<20, true) == nil })
			}
		})
	}
}

func inTime(t *testing.T, c call, dir string) {
	t.Helper()
	begun := time.Now()
	err := c.do(dir)
	took := time.Since(begun)
	t.Logf("%s: %v after %v", c.name, err, took)
	if err != nil && !errors.Is(err, unix.EIO) || took > ioTimeout+c.slack() {
		t.Errorf("%s ended with %v after %v, want %v within %v", c.name, err, took, unix.EIO, ioTimeout)
	}
}
