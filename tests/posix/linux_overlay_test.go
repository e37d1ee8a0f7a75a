package posix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/tests/harness"
)

// overlay is an overlayfs whose upper layer is on the file system under test.
type overlay struct {
	t                       *testing.T
	lower, upper, work, dir string
	options                 string
}

// overlayUpper does in an overlayfs what container engines do, and looks at what it made of its upper layer.
func overlayUpper(t *testing.T, dir string) {
	for i, options := range []string{"", ",redirect_dir=on,index=on,metacopy=on,xino=on"} {
		o := &overlay{t: t, lower: harness.TempDir(t), options: options}
		base := filepath.Join(dir, fmt.Sprint(i))
		o.upper, o.work, o.dir = filepath.Join(base, "upper"), filepath.Join(base, "work"), filepath.Join(base, "merged")
		for _, d := range []string{o.upper, o.work, o.dir, filepath.Join(o.lower, "gone"), filepath.Join(o.lower, "kept")} {
			harness.Check(t, os.MkdirAll(d, 0o755))
		}
		for _, name := range []string{"write", "append", "chmod", "unlink", "rename", "link", "gone/a", "kept/a", "kept/b"} {
			harness.Check(t, os.WriteFile(filepath.Join(o.lower, name), []byte("lower "+name), 0o644))
		}
		o.mount()
		o.change()
		o.look()
		o.unmount()
		o.mount()
		o.look()
		o.layers()
		harness.Check(t, os.RemoveAll(filepath.Join(o.dir, "kept")))
		o.unmount()
	}
}

func (o *overlay) mount() {
	o.t.Helper()
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s%s", o.lower, o.upper, o.work, o.options)
	harness.Check(o.t, unix.Mount("overlay", o.dir, "overlay", 0, data))
	o.t.Cleanup(func() { _ = unix.Unmount(o.dir, unix.MNT_DETACH) }) // of what a failure left
}

func (o *overlay) unmount() {
	o.t.Helper()
	harness.Check(o.t, unix.Unmount(o.dir, 0))
}

func (o *overlay) path(name string) string { return filepath.Join(o.dir, name) }

func (o *overlay) change() {
	harness.Check(o.t, os.WriteFile(o.path("write"), []byte("upper"), 0o644))
	f, err := os.OpenFile(o.path("append"), os.O_APPEND|os.O_WRONLY, 0)
	harness.Check(o.t, err)
	_, err = f.WriteString(" and more")
	harness.Check(o.t, errors.Join(err, f.Sync(), f.Close()))
	harness.Check(o.t, unix.Chmod(o.path("chmod"), 0o4711))
	harness.Check(o.t, os.Remove(o.path("unlink")))
	harness.Check(o.t, os.Rename(o.path("rename"), o.path("renamed")))
	harness.Check(o.t, os.Link(o.path("link"), o.path("linked")))
	harness.Check(o.t, os.RemoveAll(o.path("gone")))
	harness.Check(o.t, os.Mkdir(o.path("gone"), 0o700))
	harness.Check(o.t, os.WriteFile(o.path("gone/new"), []byte("new"), 0o600))
	harness.Check(o.t, os.Remove(o.path("kept/a")))
	harness.Check(o.t, os.Mkdir(o.path("dir"), 0o755))
	harness.Check(o.t, os.Rename(o.path("dir"), o.path("kept/dir")))
	harness.Check(o.t, os.Symlink("write", o.path("symlink")))
	harness.Check(o.t, unix.Mkfifo(o.path("fifo"), 0o600))
	harness.Check(o.t, unix.Setxattr(o.path("kept/b"), "user.note", []byte("x"), 0))
	harness.Check(o.t, os.Chown(o.path("kept/b"), 1234, 5678))
	harness.Check(o.t, exec.Command("sync", "-f", o.dir).Run())
}

// look compares the names, the contents and what was set, as they are seen in the overlay.
func (o *overlay) look() {
	o.t.Helper()
	names := func(dir string) string {
		list, err := os.ReadDir(o.path(dir))
		harness.Check(o.t, err)
		var all []string
		for _, e := range list {
			all = append(all, e.Name())
		}
		return strings.Join(all, " ")
	}
	for dir, want := range map[string]string{
		".": "append chmod fifo gone kept link linked renamed symlink write", "gone": "new", "kept": "b dir",
	} {
		if got := names(dir); got != want {
			o.t.Errorf("%s has %q, want %q", dir, got, want)
		}
	}
	for name, want := range map[string]string{
		"write": "upper", "append": "lower append and more", "chmod": "lower chmod", "renamed": "lower rename", "link": "lower link",
		"linked": "lower link", "gone/new": "new", "kept/b": "lower kept/b", "symlink": "upper",
	} {
		if got, err := os.ReadFile(o.path(name)); err != nil || string(got) != want {
			o.t.Errorf("%s has %q, %v, want %q", name, got, err, want)
		}
	}
	var st unix.Stat_t
	harness.Check(o.t, unix.Stat(o.path("chmod"), &st))
	if st.Mode != unix.S_IFREG|0o4711 {
		o.t.Errorf("the mode is %o", st.Mode)
	}
	harness.Check(o.t, unix.Stat(o.path("kept/b"), &st))
	if st.Uid != 1234 || st.Gid != 5678 {
		o.t.Errorf("the owner is %d:%d", st.Uid, st.Gid)
	}
	p := make([]byte, 8)
	if n, err := unix.Getxattr(o.path("kept/b"), "user.note", p); err != nil || string(p[:n]) != "x" {
		o.t.Errorf("the attribute is %q, %v", p[:max(n, 0)], err)
	}
}

// layers looks at the marks that overlayfs left in the upper layer.
func (o *overlay) layers() {
	o.t.Helper()
	var whiteouts []string
	harness.Check(o.t, filepath.WalkDir(o.upper, func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 {
			name, _ := filepath.Rel(o.upper, path)
			whiteouts = append(whiteouts, name)
		}
		return err
	}))
	if want := []string{"kept/a", "rename", "unlink"}; !slices.Equal(whiteouts, want) {
		o.t.Errorf("whiteouts %q, want %q", whiteouts, want)
	}
	p := make([]byte, 8)
	n, err := unix.Getxattr(filepath.Join(o.upper, "gone"), "trusted.overlay.opaque", p)
	if err != nil || string(p[:n]) != "y" {
		o.t.Errorf("the new directory is opaque: %q, %v", p[:max(n, 0)], err)
	}
}
