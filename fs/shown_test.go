package fs

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// TestShown has a file grow and be cut off, and looks at what the kernel is told to keep and to forget.
func TestShown(t *testing.T) {
	forgotten := 0
	const keep = time.Minute
	s := newShown(keep, func(uint64) { forgotten++ })
	for _, step := range []struct {
		size    uint64
		final   bool
		keep    time.Duration
		ok      bool
		forgets int
	}{
		{size: 312, keep: keep, ok: true},
		{size: 440, keep: 0, ok: true, forgets: 1}, // the first answer may be on its way
		{size: 312, forgets: 1},                    // found before that one
		{size: 440, keep: 0, ok: true, forgets: 1},
		{size: 568, keep: 0, ok: true, forgets: 1}, // nothing is kept since
		{size: 100, forgets: 1},
		{size: 100, final: true, ok: true, forgets: 1},
		{size: 100, ok: true, forgets: 1},
	} {
		rec := &namespace.Inode{Ino: 7, Mode: unix.S_IFREG, Size: step.size}
		if k, ok := s.show(rec, step.final); k != step.keep || ok != step.ok || forgotten != step.forgets {
			t.Errorf("%+v: kept for %v, %v, forgotten %d times", step, k, ok, forgotten)
		}
	}
	if k, ok := s.show(&namespace.Inode{Ino: 8, Mode: unix.S_IFDIR}, false); k != keep || !ok {
		t.Errorf("a directory is kept for %v, %v", k, ok)
	}
}
