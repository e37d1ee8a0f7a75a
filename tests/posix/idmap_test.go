package posix

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestIDMapped mounts a mount again with other ids, as a container does that has its own: see mount_setattr(2).
func TestIDMapped(t *testing.T) {
	harness.EachBackend(t, func(t *testing.T, b harness.Backend) {
		m := harness.Start(t, b.Config(t).With("-o", "allow_other"))
		const shift = 100_000
		dir := filepath.Join(m.Dir, "d")
		harness.Check(t, os.Mkdir(dir, 0o755))
		harness.Check(t, os.Chown(dir, 5, 5))
		harness.Write(t, []byte("text"), dir, "f")
		harness.Check(t, os.Chown(filepath.Join(dir, "f"), 5, 7))
		mapped := filepath.Join(harness.TempDir(t), "mapped")
		harness.Check(t, os.Mkdir(mapped, 0o755))
		mountMapped(t, dir, mapped, shift)

		owner := func(path string) [2]uint32 {
			t.Helper()
			var st unix.Stat_t
			harness.Check(t, unix.Stat(path, &st))
			return [2]uint32{st.Uid, st.Gid}
		}
		if got := owner(filepath.Join(mapped, "f")); got != [2]uint32{shift + 5, shift + 7} {
			t.Errorf("through the mapped mount the file is owned by %v", got)
		}
		shell(t, "/", shift+5, nil, "cd "+mapped+"; echo more >>f; echo new >g; mkdir e; ln -s g s; chmod 2664 g; "+
			"setfacl -m u:100009:r g; rm s; fallocate -l 100 g; stat -c %a g")
		for _, name := range []string{"g", "e"} {
			if got := owner(filepath.Join(dir, name)); got != [2]uint32{5, 5} {
				t.Errorf("%s is owned by %v", name, got)
			}
		}
		out := shell(t, dir, 0, nil, "getfacl -cpnE g | paste -sd' '")
		if want := "user::rw- user:9:r-- group::rw- mask::rw- other::r--"; out != want {
			t.Errorf("the list is %q, want %q", out, want)
		}
		harness.WantFile(t, []byte("textmore\n"), dir, "f")
		// Root of the mapped ids is no root: it owns what root owns, and nothing else.
		if got := shell(t, "/", shift, nil, "cd "+mapped+"; if touch no 2>/dev/null; then echo yes; else echo no; fi"); got != "no" {
			t.Error("the mapped root writes into another's directory")
		}
	})
}

// mountMapped mounts a directory in another place, where ids are shifted, until the test's end.
func mountMapped(t *testing.T, dir, at string, shift int) {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: shift, Size: 65536}}
	holder := exec.Command("sleep", "60") // its user namespace has the mapping
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids}
	harness.Check(t, holder.Start())
	defer func() { _, _ = holder.Process.Kill(), holder.Wait() }()
	ns, err := os.Open(filepath.Join("/proc", strconv.Itoa(holder.Process.Pid), "ns/user"))
	harness.Check(t, err)
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	harness.Check(t, err)
	defer unix.Close(tree)
	err = unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd()),
	})
	if err != nil {
		t.Fatalf("map the ids of the mount: %v", err)
	}
	harness.Check(t, unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { harness.Check(t, unix.Unmount(at, 0)) })
}
