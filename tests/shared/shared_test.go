// Package shared tests one volume that two daemons have mounted. Most of a test is waiting, so they run at the same time,
// but for those that want something within a second.
package shared

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// both mounts one new volume twice, by two daemons.
func both(t *testing.T, on harness.Backend) (a, b *harness.Mount) {
	t.Helper()
	cfg := on.Config(t)
	return harness.Start(t, cfg), harness.Start(t, cfg)
}

// two runs a test with two mounts of a volume on each backend that allows it.
func two(t *testing.T, test func(t *testing.T, a, b *harness.Mount)) {
	t.Helper()
	harness.EachShared(t, func(t *testing.T, on harness.Backend) {
		a, b := both(t, on)
		test(t, a, b)
	})
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestCloseToOpen(t *testing.T) {
	t.Parallel()
	two(t, testCloseToOpen)
}

// testCloseToOpen reads what the other one wrote: data of the size that names have with them, of one that may be on its way
// to a blob, and of one that is a blob.
func testCloseToOpen(t *testing.T, a, b *harness.Mount) {
	dirs := []string{a.Dir, b.Dir}
	for i := range 60 {
		w, r := filepath.Join(dirs[i%2], "f"), filepath.Join(dirs[(i+1)%2], "f")
		size := []int{5000, 60_000, 1_500_000}[i/6%3] + i/3 // three times the same size
		want := bytes.Repeat([]byte{byte('a' + i%26)}, size)
		harness.Check(t, os.WriteFile(w, want, 0o644))
		for range 2 { // the second time from the kernel's cache
			got, err := os.ReadFile(r)
			harness.Check(t, err)
			if !bytes.Equal(got, want) {
				t.Fatalf("round %d: %d bytes %.5q, want %d bytes %.5q", i, len(got), got, len(want), want)
			}
		}
	}
}

func TestNamesAreSeenSoon(t *testing.T) { two(t, testNamesAreSeenSoon) }

func testNamesAreSeenSoon(t *testing.T, a, b *harness.Mount) {
	var slowest time.Duration
	for i := range 10 {
		name, to := fmt.Sprint("n", i), fmt.Sprint("m", i)
		if exists(filepath.Join(b.Dir, name)) {
			t.Fatal("a name exists before it was made")
		}
		harness.Check(t, os.Mkdir(filepath.Join(a.Dir, name), 0o755))
		slowest = max(slowest, harness.Soon(t, 1100*time.Millisecond, "a new name", func() bool { return exists(filepath.Join(b.Dir, name)) }))
		harness.Check(t, os.Rename(filepath.Join(a.Dir, name), filepath.Join(a.Dir, to)))
		slowest = max(slowest, harness.Soon(t, 1100*time.Millisecond, "the old name's end", func() bool { return !exists(filepath.Join(b.Dir, name)) }))
	}
	t.Logf("a change of a name was seen after %v at most", slowest)
}

// TestOpenFileIsNews has a file that stays open show what another daemon wrote.
func TestOpenFileIsNews(t *testing.T) { two(t, testOpenFileIsNews) }

func testOpenFileIsNews(t *testing.T, a, b *harness.Mount) {
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "f"), []byte("old"), 0o644))
	f, err := os.Open(filepath.Join(b.Dir, "f"))
	harness.Check(t, err)
	defer f.Close()
	p := make([]byte, 3)
	read := func(want string) bool {
		_, err := f.ReadAt(p, 0)
		harness.Check(t, err)
		return string(p) == want
	}
	if !read("old") {
		t.Fatalf("read %q", p)
	}
	w, err := os.OpenFile(filepath.Join(a.Dir, "f"), os.O_WRONLY, 0)
	harness.Check(t, err)
	_, err = w.WriteString("new")
	harness.Check(t, errors.Join(err, w.Close()))
	harness.Soon(t, 1100*time.Millisecond, "the new data", func() bool { return read("new") })
}

func TestRaces(t *testing.T) {
	t.Parallel()
	harness.EachShared(t, testRaces)
}

func testRaces(t *testing.T, on harness.Backend) {
	const rounds = 1000
	a, b := both(t, on)
	dirs := []string{a.Dir, b.Dir}
	race := func(round int, lost error, op func(dir string, host int) error) {
		t.Helper()
		var errs [2]error
		var wg sync.WaitGroup
		for i, dir := range dirs {
			wg.Go(func() { errs[i] = op(dir, i) })
		}
		wg.Wait()
		one := errs[0] == nil && errors.Is(errs[1], lost) || errs[1] == nil && errors.Is(errs[0], lost)
		if !one {
			t.Fatalf("round %d: %v, want one to win", round, errs)
		}
	}
	for i := range rounds {
		race(i, os.ErrExist, func(dir string, _ int) error {
			f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint("f", i)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
			if err == nil {
				err = f.Close()
			}
			return err
		})
		race(i, os.ErrNotExist, func(dir string, host int) error {
			return os.Rename(filepath.Join(dir, fmt.Sprint("f", i)), filepath.Join(dir, fmt.Sprint("r", i, "-", host)))
		})
	}
	list, err := os.ReadDir(a.Dir)
	harness.Check(t, err)
	if len(list) != rounds {
		t.Errorf("%d names are left, want %d", len(list), rounds)
	}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	two(t, testAppend)
}

func testAppend(t *testing.T, a, b *harness.Mount) {
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "log"), nil, 0o644))
	const each = 100
	var g errgroup.Group
	for host, m := range []*harness.Mount{a, b} {
		g.Go(func() error {
			f, err := os.OpenFile(filepath.Join(m.Dir, "log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			for i := range each {
				if _, err := fmt.Fprintf(f, "%d %03d\n", host, i); err != nil {
					return err
				}
			}
			return f.Close()
		})
	}
	harness.Check(t, g.Wait())
	var next [2]int
	for _, m := range []*harness.Mount{a, b} {
		got, err := os.ReadFile(filepath.Join(m.Dir, "log"))
		harness.Check(t, err)
		next = [2]int{}
		for _, line := range bytes.Split(bytes.TrimSpace(got), []byte("\n")) {
			var host, i int
			if _, err := fmt.Sscanf(string(line), "%d %03d", &host, &i); err != nil || host > 1 || next[host] != i {
				t.Fatalf("line %q after %v", line, next)
			}
			next[host]++
		}
		if next != [2]int{each, each} {
			t.Errorf("%v lines, want %d each", next, each)
		}
	}
}

func TestUnlinkedAndOpen(t *testing.T) {
	t.Parallel()
	two(t, testUnlinkedAndOpen)
}

func testUnlinkedAndOpen(t *testing.T, a, b *harness.Mount) {
	sizes := []int{100_000, 3 << 20} // in the database or in a blob
	var open []*os.File
	for _, size := range sizes {
		name := fmt.Sprint(size)
		harness.Write(t, harness.Noise(size), a.Dir, name)
		f, err := os.Open(filepath.Join(b.Dir, name))
		harness.Check(t, err)
		defer f.Close()
		open = append(open, f)
		harness.Check(t, os.Remove(filepath.Join(a.Dir, name)))
	}
	time.Sleep(8 * time.Second) // several rounds in which they could be removed
	if res := a.RunStore("gc", "--grace", "0s"); res.Code != 0 {
		t.Errorf("gc: %v", res)
	}
	for i, f := range open {
		got, err := io.ReadAll(f)
		harness.Check(t, err)
		if !bytes.Equal(got, harness.Noise(sizes[i])) {
			t.Errorf("the open file has %d bytes, want %d", len(got), sizes[i])
		}
		harness.Check(t, f.Close())
	}
	if res := a.RunStore("fsck"); res.Code != 0 {
		t.Errorf("fsck: %v", res)
	}
	harness.Soon(t, 40*time.Second, "the end of their data", func() bool {
		gc, ls := a.RunStore("gc", "--grace", "0s"), a.RunStore("blob", "ls")
		return gc.Code == 0 && ls.Code == 0 && strings.TrimSpace(ls.Stdout) == ""
	})
}

// TestDaemonDies kills one daemon. The other goes on, and frees what that one held.
func TestDaemonDies(t *testing.T) {
	t.Parallel()
	two(t, testDaemonDies)
}

func testDaemonDies(t *testing.T, a, b *harness.Mount) {
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "f"), []byte("kept"), 0o644))
	f, err := os.OpenFile(filepath.Join(a.Dir, "f"), os.O_RDWR, 0)
	harness.Check(t, err)
	defer f.Close()
	harness.Check(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	tmp, err := os.OpenFile(filepath.Join(a.Dir, "big"), os.O_CREATE|os.O_RDWR, 0o644)
	harness.Check(t, err)
	defer tmp.Close()
	_, err = tmp.Write(bytes.Repeat([]byte("y"), 30<<20))
	harness.Check(t, err)
	a.Kill()
	g, err := os.Open(filepath.Join(b.Dir, "f"))
	harness.Check(t, err)
	defer g.Close()
	took := harness.Soon(t, 40*time.Second, "the dead daemon's lock", func() bool {
		return unix.Flock(int(g.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
	})
	t.Logf("the lock was free %v after the kill", took)
	harness.Soon(t, 40*time.Second, "the end of the dead daemon's session", func() bool {
		return strings.Contains(b.Logs(), "cleaned up after a session that ended without unmount")
	})
	harness.Check(t, os.WriteFile(filepath.Join(b.Dir, "g"), []byte("new"), 0o644))
	a.Detach()
	a.Mount()
	got, err := os.ReadFile(filepath.Join(a.Dir, "g"))
	if err != nil || string(got) != "new" {
		t.Errorf("read %q, %v", got, err)
	}
	harness.Soon(t, 30*time.Second, "a sound volume", func() bool { return a.RunStore("fsck").Code == 0 })
}
