package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// read reads a file past the kernel's cache: it must be what the worker made it.
func (w *worker) read() bool {
	name := w.pick('f')
	if name == "" {
		return true
	}
	s := w.h.last()
	want := s.files[s.names[name]].content
	return w.call("read "+name, func(state) {}, func() error {
		got, err := readUncached(w.path(name))
		if err == nil && !bytes.Equal(got, want) {
			return fmt.Errorf("%d bytes, which aren't the %d that were written", len(got), len(want))
		}
		return err
	})
}

// readUncached reads a file after having the kernel drop its pages.
func readUncached(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data = make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err == nil && n < len(data) {
		err = errors.New("short read")
	}
	return data, err
}

// list reads the worker's folder: it must have each name once, and no other.
func (w *worker) list() bool {
	var want []string
	for _, name := range sortedNames(w.h.last().names) {
		if !strings.Contains(name, "/") {
			want = append(want, name)
		}
	}
	return w.call("list", func(state) {}, func() error {
		entries, err := os.ReadDir(w.dir) // sorted
		if err != nil {
			return err
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("names %q instead of %q", got, want)
		}
		return nil
	})
}
