package posix

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// appendAndMap maps a file that is open for appending, as dovecot does with its index logs.
func appendAndMap(t *testing.T, dir string) {
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	harness.Check(t, err)
	defer f.Close()
	_, err = f.WriteString("first")
	harness.Check(t, err)
	p, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("map a file that is open for appending: %v", err)
	}
	defer func() { harness.Check(t, unix.Munmap(p)) }()
	if got := string(p[:5]); got != "first" {
		t.Errorf("the map has %q", got)
	}
	_, err = f.WriteString(" second")
	harness.Check(t, err)
	if got := string(p[:12]); got != "first second" {
		t.Errorf("after another write the map has %q", got)
	}
	w, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	harness.Check(t, err)
	copy(w, "FIRST")
	harness.Check(t, unix.Msync(w, unix.MS_SYNC))
	harness.Check(t, unix.Munmap(w))
	if got, err := os.ReadFile(f.Name()); err != nil || string(got) != "FIRST second" {
		t.Errorf("the file has %q, %v", got, err)
	}
}

// mapMovesTimes stores through a map: the file was modified, then.
func mapMovesTimes(t *testing.T, dir string) {
	name := filepath.Join(dir, "f")
	harness.Write(t, make([]byte, 5000), name)
	old := time.Unix(1_000_000_000, 0)
	harness.Check(t, os.Chtimes(name, old, old))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	harness.Check(t, err)
	defer f.Close()
	p, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	harness.Check(t, err)
	p[10] = 'x'
	harness.Check(t, unix.Msync(p, unix.MS_SYNC))
	harness.Check(t, unix.Munmap(p))
	// Where others may change a file, its attributes are up to a second old.
	harness.Soon(t, 3*time.Second, "a new time of modification", func() bool {
		info, err := os.Stat(name)
		harness.Check(t, err)
		return info.ModTime().After(old)
	})
}

// allocate looks at what fallocate(2) does to the size, the blocks and the content.
func allocate(t *testing.T, dir string) {
	const keep, punch, zero = unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE, unix.FALLOC_FL_ZERO_RANGE
	f, err := os.Create(filepath.Join(dir, "f"))
	harness.Check(t, err)
	defer f.Close()
	want := func(what string, size, sectors int64) {
		t.Helper()
		var st unix.Stat_t
		harness.Check(t, unix.Fstat(int(f.Fd()), &st))
		if st.Size != size || st.Blocks != sectors {
			t.Errorf("%s: %d bytes in %d sectors, want %d in %d", what, st.Size, st.Blocks, size, sectors)
		}
	}
	do := func(mode uint32, off, length int64) {
		t.Helper()
		harness.Check(t, unix.Fallocate(int(f.Fd()), mode, off, length))
	}
	do(0, 0, 4)
	want("four bytes", 4, 8)
	do(keep, 0, 100_000)
	want("more, and the size kept", 4, 200)
	harness.Check(t, f.Truncate(4))
	want("truncated to the size it has", 4, 8)
	do(keep, 0, 1<<20)
	_, err = f.WriteAt(bytes.Repeat([]byte("x"), 10_000), 0)
	harness.Check(t, err)
	harness.Check(t, f.Sync())
	do(keep|zero, 1, 5000) // also has the kernel ask for the blocks
	want("written into what was allocated", 10_000, 2048)
	do(keep|punch, 0, 8192)
	want("two blocks punched", 10_000, 2032)
	do(zero, 5000, 10_000)
	want("zeroed beyond the end", 15_000, 2040)
	got, err := os.ReadFile(f.Name())
	harness.Check(t, err)
	if !bytes.Equal(got, make([]byte, 15_000)) {
		t.Errorf("the file isn't zero")
	}
	if err := unix.Fallocate(int(f.Fd()), punch, 0, 1); !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("punch without keeping the size: %v", err)
	}
}

// whiteout renames as overlayfs does in its upper layer.
func whiteout(t *testing.T, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	rename := func(flags uint) error { return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, flags) }
	harness.Write(t, []byte("text"), a)
	harness.Check(t, rename(unix.RENAME_WHITEOUT))
	harness.WantFile(t, []byte("text"), b)
	var st unix.Stat_t
	harness.Check(t, unix.Lstat(a, &st))
	if st.Mode != unix.S_IFCHR || st.Rdev != 0 || st.Nlink != 1 {
		t.Errorf("the whiteout has mode %o, device %#x and %d links", st.Mode, st.Rdev, st.Nlink)
	}
	harness.Check(t, os.Remove(a))
	harness.Write(t, []byte("new"), a)
	if err := rename(unix.RENAME_WHITEOUT | unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("RENAME_NOREPLACE: %v", err)
	}
	if err := rename(unix.RENAME_WHITEOUT | unix.RENAME_EXCHANGE); !errors.Is(err, unix.EINVAL) {
		t.Errorf("RENAME_EXCHANGE: %v", err)
	}
	harness.Check(t, rename(unix.RENAME_WHITEOUT))
	harness.WantFile(t, []byte("new"), b)
	harness.Check(t, os.Mkdir(filepath.Join(dir, "d"), 0o755))
	harness.Check(t, unix.Renameat2(unix.AT_FDCWD, b, unix.AT_FDCWD, filepath.Join(dir, "d/b"), unix.RENAME_WHITEOUT))
	harness.Check(t, os.RemoveAll(filepath.Join(dir, "d")))
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 2 {
		t.Errorf("left are %v, %v", list, err)
	}
}
