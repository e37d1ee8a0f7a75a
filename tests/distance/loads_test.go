package distance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// load is work in a folder of its own. What begin returns ends it, so that nothing keeps the mount from being unmounted.
type load struct {
	name  string
	begin func(t *testing.T, m *harness.Mount, dir string) (end func() error)
}

var loads = []load{
	{"unlink", unlink}, {"write", write}, {"lock", lock}, {"rename", rename}, {"gc", collect},
}

// many is n, or what a long run does instead.
func many(n int) int {
	if long {
		return 16 * n
	}
	return n
}

// files makes open files of a size.
func files(t *testing.T, dir string, n, size int) []*os.File {
	t.Helper()
	open := make([]*os.File, n)
	data := harness.Noise(size)
	harness.Check(t, each(n, func(i int) error {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		open[i] = f
		_, err = f.Write(data)
		return err
	}))
	return open
}

func closeAll(open []*os.File) func() error {
	return func() error { return each(len(open), func(i int) error { return open[i].Close() }) }
}

// unlink leaves files without a name that are open until the end.
func unlink(t *testing.T, _ *harness.Mount, dir string) func() error {
	open := files(t, dir, many(400), 9000)
	harness.Check(t, each(len(open), func(i int) error { return open[i].Sync() }))
	harness.Check(t, each(len(open), func(i int) error { return os.Remove(open[i].Name()) }))
	return closeAll(open)
}

// write leaves data that only the last close commits: small, and large enough for blobs.
func write(t *testing.T, _ *harness.Mount, dir string) func() error {
	small := files(t, dir, many(80), 5000)
	harness.Check(t, os.Mkdir(filepath.Join(dir, "large"), 0o755))
	large := files(t, filepath.Join(dir, "large"), 8, 3<<20)
	return closeAll(append(small, large...))
}

// lock leaves record locks and flocks to the close of their files.
func lock(t *testing.T, _ *harness.Mount, dir string) func() error {
	open := files(t, dir, many(16), 10)
	harness.Check(t, each(len(open), func(i int) error {
		for n := range 10 {
			l := unix.Flock_t{Type: unix.F_WRLCK, Start: int64(2 * n), Len: 1}
			if err := unix.FcntlFlock(open[i].Fd(), unix.F_SETLK, &l); err != nil {
				return err
			}
		}
		return unix.Flock(int(open[i].Fd()), unix.LOCK_EX)
	}))
	return closeAll(open)
}

// rename changes names until the end.
func rename(t *testing.T, _ *harness.Mount, dir string) func() error {
	open := files(t, dir, many(20), 10)
	harness.Check(t, closeAll(open)())
	return func() error {
		return each(len(open), func(i int) error { return os.Rename(open[i].Name(), open[i].Name()+"-new") })
	}
}

// collect has a gc be under way when the mount is unmounted: it ends too, with or without success.
func collect(t *testing.T, m *harness.Mount, dir string) func() error {
	open := files(t, dir, many(100), 20_000)
	harness.Check(t, closeAll(open)())
	harness.Check(t, each(len(open), func(i int) error { return os.Remove(open[i].Name()) }))
	return func() error {
		ended := make(chan harness.Result, 1)
		go func() { ended <- m.RunStore("gc", "--grace", "0s") }()
		t.Cleanup(func() { t.Logf("gc: %v", <-ended) })
		return nil
	}
}
