// Package private has directories and files that only the effective user may change, for what would steer the program or
// tell its data if it came from, or went to, another user of the host.
package private

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotPrivate is wrapped by errors that refuse a path because another user may change it.
var ErrNotPrivate = errors.New("not safe from other users")

// MakeDir makes a directory of mode 0700, and parents of the same mode where they are missing. One that is there has to
// belong to the effective user, and its mode is set to 0700. A symlink is refused, and nothing is done to where it leads.
func MakeDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	d, err := open(path, unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer d.Close()
	return Restrict(d)
}

// Restrict sets the mode of an open directory to 0700. It has to belong to the effective user.
func Restrict(d *os.File) error {
	st, err := owned(d)
	if err != nil || st.Mode&0o077 == 0 {
		return err
	}
	if err := d.Chmod(0o700); err != nil {
		return fmt.Errorf("%w, and others may enter it", err)
	}
	return nil
}

// CheckDir refuses a directory in which another user than the effective one and root can replace what is there: one that
// belongs to somebody else, or that others may write to unless it has the sticky bit, as /tmp has.
func CheckDir(path string) error {
	d, err := open(path, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return checkDir(d)
}

func checkDir(d *os.File) error {
	st, err := stat(d)
	switch {
	case err != nil:
		return err
	case int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return refuse(d.Name(), "it belongs to user %d, and you are user %d: run the command as that user, or choose a directory "+
			"of your own", st.Uid, os.Geteuid())
	case st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0:
		return refuse(d.Name(), "others may write to it (mode %04o): take that away with 'chmod go-w %s', or choose a directory "+
			"below it", st.Mode&0o7777, d.Name())
	}
	return nil
}

// ReadFiles calls fn with the content of each file in a directory below another, whose name ends with suffix. It calls it
// for regular files of the effective user of up to limit bytes, to which nobody else may write, and leaves others out,
// which it never waits for. No symlink is followed. The upper directory has to pass CheckDir, and the lower one has to
// belong to the effective user. A directory that isn't there is empty.
func ReadFiles(upper, lower, suffix string, limit int64, fn func(name string, data []byte)) error {
	up, err := open(upper, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer up.Close()
	if err := checkDir(up); err != nil {
		return err
	}
	dir, err := openAt(up, lower, unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := onlyMine(dir); err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	for _, name := range names {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		if data, err := readFile(dir, name, limit); err == nil {
			fn(name, data)
		}
	}
	return err
}

func readFile(dir *os.File, name string, limit int64) ([]byte, error) {
	f, err := openAt(dir, name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := onlyMine(f); err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, refuse(f.Name(), "it is not a regular file of at most %d bytes", limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// CheckFile refuses a file of a directory that is to be written to, if it is there and isn't a regular file of the
// effective user.
func CheckFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return explain(path, err)
	}
	defer f.Close()
	if _, err := owned(f); err != nil {
		return err
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return errors.Join(err, refuse(path, "it is not a regular file"))
	}
	return nil
}

// onlyMine refuses what belongs to another user than the effective one, and what others may write to.
func onlyMine(f *os.File) error {
	st, err := owned(f)
	if err == nil && st.Mode&0o022 != 0 {
		err = refuse(f.Name(), "others may write to it (mode %04o)", st.Mode&0o7777)
	}
	return err
}

// owned refuses what belongs to another user than the effective one.
func owned(f *os.File) (*unix.Stat_t, error) {
	st, err := stat(f)
	if err == nil && int(st.Uid) != os.Geteuid() {
		err = refuse(f.Name(), "it belongs to user %d, and you are user %d", st.Uid, os.Geteuid())
	}
	return st, err
}

func stat(f *os.File) (*unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return &st, nil
}

func open(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|flags, 0)
	return f, explain(path, err)
}

// openAt opens a name in a directory, and no symlink. It doesn't wait for the other end of a FIFO.
func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	path := filepath.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	if err != nil {
		return nil, explain(path, &fs.PathError{Op: "open", Path: path, Err: err})
	}
	return os.NewFile(uintptr(fd), path), nil
}

// explain says of an error of open whether it was for a symlink.
func explain(path string, err error) error {
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		if st, lerr := os.Lstat(path); lerr == nil && st.Mode()&fs.ModeSymlink != 0 {
			return refuse(path, "it is a symlink")
		}
	}
	return err
}

func refuse(path, format string, args ...any) error {
	return fmt.Errorf("%s is %w: "+format, append([]any{path, ErrNotPrivate}, args...)...)
}
