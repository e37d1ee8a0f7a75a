package shared

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/tests/harness"
)

// growing is a file that only grows, in a directory of a mount.
type growing struct {
	dir   string
	files int // how many others are in the directory
}

func (g growing) path() string { return filepath.Join(g.dir, "log") }

// TestSizeNeverGoesBack has a file grow while others change its attributes, commit it, list its directory and give it
// other names. Who has seen a size never sees a smaller one later: programs take that for a truncation.
//
// What a read finds is looked at on one mount only. Where another one writes, the kernel may take over an answer that is
// older than one that it has given, and end a read there once.
func TestSizeNeverGoesBack(t *testing.T) {
	t.Parallel()
	t.Run("one mount", func(t *testing.T) {
		harness.EachShared(t, func(t *testing.T, on harness.Backend) { testSize(t, harness.Start(t, on.Config(t))) })
	})
	t.Run("two mounts", func(t *testing.T) {
		two(t, func(t *testing.T, a, b *harness.Mount) { testSize(t, a, b) })
	})
}

func testSize(t *testing.T, mounts ...*harness.Mount) {
	const files = 40
	for i := range files {
		harness.Check(t, os.WriteFile(filepath.Join(mounts[0].Dir, fmt.Sprint("other", i)), []byte("x"), 0o644))
	}
	harness.Check(t, os.WriteFile(filepath.Join(mounts[0].Dir, "log"), []byte("x"), 0o644))
	work, end := context.WithTimeout(t.Context(), sizeTime)
	defer end()
	group, work := errgroup.WithContext(work)
	loop := func(name string, open func(g growing) (step func() error, done func()), g growing) {
		group.Go(func() error {
			step, done := open(g)
			defer done()
			for work.Err() == nil {
				if err := step(); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		})
	}
	for _, m := range mounts {
		g := growing{m.Dir, files}
		loop("append", appends, g)
		loop("append and close", appendsOnce, g)
		for name, fn := range churns {
			loop(name, simple(fn), g)
		}
		for name, look := range sizeLooks {
			if name == "read" && len(mounts) > 1 {
				continue
			}
			loop(name, watch(look), g)
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	st, err := os.Stat(filepath.Join(mounts[0].Dir, "log"))
	harness.Check(t, err)
	t.Logf("the file grew to %d bytes", st.Size())
}

// sizeTime is how long the file grows.
const sizeTime = 5 * time.Second

// line is what is appended each time.
var line = make([]byte, 128)

func appends(g growing) (func() error, func()) {
	f, err := os.OpenFile(g.path(), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return func() error { return err }, func() {}
	}
	return func() error { _, err := f.Write(line); return err }, func() { _ = f.Close() }
}

func appendsOnce(g growing) (func() error, func()) {
	return func() error {
		f, err := os.OpenFile(g.path(), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := f.Write(line); err != nil {
			return err
		}
		return f.Close()
	}, func() {}
}

// churns are what has the attributes of a file answered, beside a look at them.
var churns = map[string]func(g growing) error{
	"chmod": func(g growing) error { return os.Chmod(g.path(), 0o640) },
	"link": func(g growing) error {
		other := g.path() + filepath.Base(filepath.Dir(g.dir))
		// The kernel counts names itself, and for a moment none if an unlink and a stat cross.
		if err := os.Link(g.path(), other); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Remove(other); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	},
	"readdir": func(g growing) error {
		dir, err := os.Open(g.dir)
		if err != nil {
			return err
		}
		defer dir.Close()
		list, err := dir.Readdir(-1) // with a stat of each, for which the kernel asks together with the names
		if err == nil && len(list) <= g.files {
			err = fmt.Errorf("%d names, want more than %d", len(list), g.files)
		}
		return err
	},
}

func simple(fn func(g growing) error) func(g growing) (func() error, func()) {
	return func(g growing) (func() error, func()) { return func() error { return fn(g) }, func() {} }
}

// sizeLooks return a size that the file has at least. seen is the largest so far.
var sizeLooks = map[string]func(f *os.File, seen int64) (int64, error){
	"stat": func(f *os.File, _ int64) (int64, error) {
		st, err := os.Stat(f.Name())
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	},
	"fstat": func(f *os.File, _ int64) (int64, error) {
		st, err := f.Stat()
		if err != nil {
			return 0, err
		}
		return st.Size(), nil
	},
	"lseek": func(f *os.File, _ int64) (int64, error) { return f.Seek(0, io.SeekEnd) },
	"read": func(f *os.File, seen int64) (int64, error) {
		const most = 1 << 16
		from := max(0, seen-most/2)
		n, err := f.ReadAt(make([]byte, most), from)
		if err == io.EOF {
			err = nil
		}
		return from + int64(n), err
	},
}

func watch(look func(f *os.File, seen int64) (int64, error)) func(g growing) (func() error, func()) {
	return func(g growing) (func() error, func()) {
		f, err := os.Open(g.path())
		if err != nil {
			return func() error { return err }, func() {}
		}
		var seen int64
		return func() error {
			size, err := look(f, seen)
			if err == nil && size < seen {
				err = fmt.Errorf("the size shrank (%d < %d)", size, seen)
			}
			seen = max(seen, size)
			return err
		}, func() { _ = f.Close() }
	}
}
