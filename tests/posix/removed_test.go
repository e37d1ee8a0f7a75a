package posix

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// syncAfterUnlink has syncfs(2) find nothing wrong when files were removed whose times were still to be written back.
func syncAfterUnlink(t *testing.T, dir string) {
	top, err := os.Open(dir)
	harness.Check(t, err)
	defer top.Close()
	for range 3 {
		name := filepath.Join(dir, "x")
		harness.Check(t, os.WriteFile(name, []byte("hi\n"), 0o644))
		harness.Check(t, os.Remove(name))
		if err := unix.Syncfs(int(top.Fd())); err != nil {
			t.Fatalf("syncfs: %v", err)
		}
	}
}

// setAttrOfRemoved changes and reads the attributes of a removed file by a descriptor that doesn't open it.
func setAttrOfRemoved(t *testing.T, dir string) {
	name := filepath.Join(dir, "x")
	harness.Check(t, os.WriteFile(name, []byte("hi\n"), 0o644))
	fd, err := unix.Open(name, unix.O_PATH, 0)
	harness.Check(t, err)
	defer unix.Close(fd)
	harness.Check(t, os.Remove(name))
	self := filepath.Join("/proc/self/fd", strconv.Itoa(fd))
	harness.Check(t, unix.Chmod(self, 0o600))
	harness.Check(t, unix.Utimes(self, []unix.Timeval{{Sec: 1}, {Sec: 2}}))
	var st unix.Stat_t
	harness.Check(t, unix.Fstat(fd, &st))
	if st.Nlink != 0 || st.Mode != unix.S_IFREG|0o600 || st.Mtim.Sec != 2 || st.Size != 3 {
		t.Errorf("%d links, mode %o, mtime %d, %d bytes", st.Nlink, st.Mode, st.Mtim.Sec, st.Size)
	}
}

// removedWorkingDirectory lists the working directory after it was removed: it is empty.
func removedWorkingDirectory(t *testing.T, dir string) {
	cwd := filepath.Join(dir, "cwd")
	harness.Check(t, os.Mkdir(cwd, 0o755))
	cmd := exec.Command("sh", "-c", `rmdir "$1" && ls -a . && test -d . && ! touch new 2>/dev/null`, "sh", cwd)
	cmd.Dir = cwd
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("ls of a removed working directory: %v: %s", err, out)
	}
}
