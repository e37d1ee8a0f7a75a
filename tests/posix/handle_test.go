package posix

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestHandles opens files and directories by handles, as an NFS server does, after the kernel has forgotten their inodes and
// after the volume was mounted anew.
func TestHandles(t *testing.T) {
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) {
		m := harness.Start(t, b.Config(t).With("-o", "allow_other"))
		dir := filepath.Join(m.Dir, "d")
		harness.Check(t, os.Mkdir(dir, 0o755))
		harness.Write(t, []byte("text"), dir, "f")
		harness.Write(t, []byte("gone"), dir, "gone")
		file, gone, folder := handleOf(t, dir, "f"), handleOf(t, dir, "gone"), handleOf(t, dir)
		look := func(when string) {
			t.Helper()
			dropCaches(t)
			wantHandle(t, m.Dir, when, file, "text")
			dropCaches(t)
			fd, err := openHandle(t, m.Dir, folder)
			if err != nil {
				t.Fatalf("%s: the directory: %v", when, err)
			}
			defer unix.Close(fd)
			var st unix.Stat_t
			if err := unix.Fstatat(fd, "../d/f", &st, 0); err != nil || st.Size != 4 {
				t.Errorf("%s: a path from the directory's handle: %v, %d bytes", when, err, st.Size)
			}
		}
		look("at once")
		m.Remount()
		look("mounted anew")
		harness.Check(t, os.Rename(filepath.Join(dir, "f"), filepath.Join(m.Dir, "g")))
		wantHandle(t, m.Dir, "renamed", file, "text")
		harness.Check(t, os.Remove(filepath.Join(dir, "gone")))
		dropCaches(t)
		if fd, err := openHandle(t, m.Dir, gone); !errors.Is(err, unix.ESTALE) {
			t.Errorf("the handle of what was removed: %v, not ESTALE", err)
			_ = unix.Close(fd)
		}
	})
}

func handleOf(t *testing.T, path ...string) unix.FileHandle {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, filepath.Join(path...), 0)
	harness.Check(t, err)
	return h
}

func openHandle(t *testing.T, mount string, h unix.FileHandle) (int, error) {
	t.Helper()
	top, err := unix.Open(mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	harness.Check(t, err)
	defer unix.Close(top)
	return unix.OpenByHandleAt(top, h, unix.O_RDONLY|unix.O_CLOEXEC)
}

func wantHandle(t *testing.T, mount, when string, h unix.FileHandle, want string) {
	t.Helper()
	fd, err := openHandle(t, mount, h)
	if err != nil {
		t.Fatalf("%s: the file: %v", when, err)
	}
	f := os.NewFile(uintptr(fd), "by handle")
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != want {
		t.Errorf("%s: the file has %q, %v", when, got, err)
	}
}

// dropCaches has the kernel forget inodes and names that nobody uses.
func dropCaches(t *testing.T) {
	t.Helper()
	unix.Sync()
	harness.Check(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("2"), 0))
}
