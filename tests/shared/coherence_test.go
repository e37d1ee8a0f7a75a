package shared

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// seenWithin is how old may be what a host knows of another's changes without opening the file.
const seenWithin = 1100 * time.Millisecond

// TestAttributesAreNews has another daemon's write, chmod and access control list seen by stat and by who is kept out.
func TestAttributesAreNews(t *testing.T) { two(t, testAttributesAreNews) }

func testAttributesAreNews(t *testing.T, a, b *harness.Mount) {
	af, bf := filepath.Join(a.Dir, "f"), filepath.Join(b.Dir, "f")
	harness.Write(t, []byte("old"), af)
	stat := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(bf)
		harness.Check(t, err)
		return info
	}
	if size := stat().Size(); size != 3 {
		t.Fatalf("%d bytes", size)
	}
	harness.Write(t, []byte("longer"), af)
	harness.Soon(t, seenWithin, "the new size", func() bool { return stat().Size() == 6 })
	harness.Check(t, os.Chmod(af, 0o600))
	harness.Soon(t, seenWithin, "the new mode", func() bool { return stat().Mode().Perm() == 0o600 })
	// user::rw- user:12345:r-- group::--- mask::r-- other::---
	list := []byte{2, 0, 0, 0}
	for _, e := range [][8]byte{
		{1, 0, 6, 0, 255, 255, 255, 255}, {2, 0, 4, 0, 0x39, 0x30, 0, 0}, {4, 0, 0, 0, 255, 255, 255, 255},
		{16, 0, 4, 0, 255, 255, 255, 255}, {32, 0, 0, 0, 255, 255, 255, 255},
	} {
		list = append(list, e[:]...)
	}
	harness.Check(t, unix.Setxattr(af, "system.posix_acl_access", list, 0))
	harness.Soon(t, seenWithin, "the list's mode", func() bool { return stat().Mode().Perm() == 0o640 })
	harness.Soon(t, seenWithin, "the list", func() bool {
		got := make([]byte, 100)
		n, err := unix.Getxattr(bf, "system.posix_acl_access", got)
		return err == nil && bytes.Equal(got[:n], list)
	})
}

// TestMapIsNews has a mapping that stays show what another daemon wrote.
func TestMapIsNews(t *testing.T) { two(t, testMapIsNews) }

func testMapIsNews(t *testing.T, a, b *harness.Mount) {
	harness.Write(t, []byte("old"), a.Dir, "f")
	f, err := os.Open(filepath.Join(b.Dir, "f"))
	harness.Check(t, err)
	defer f.Close()
	p, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	harness.Check(t, err)
	defer func() { harness.Check(t, unix.Munmap(p)) }()
	if string(p[:3]) != "old" {
		t.Fatalf("the map has %q", p[:3])
	}
	w, err := os.OpenFile(filepath.Join(a.Dir, "f"), os.O_WRONLY, 0)
	harness.Check(t, err)
	_, err = w.WriteString("new")
	harness.Check(t, err)
	harness.Check(t, w.Close())
	harness.Soon(t, seenWithin, "the new data in the map", func() bool { return string(p[:3]) == "new" })
}
