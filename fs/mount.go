package fs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/panics"
)

// Type is the filesystem type that mount tables show.
const Type = "fuse.graviton"

// maxRequest is the largest read or write that the kernel sends, in bytes.
const maxRequest = 1 << 20

// MountOptions says how to mount.
type MountOptions struct {
	Source     string // shown as the device in mount tables
	AllowOther bool
	Checked    bool // have the kernel check permissions even where only root comes near
	ReadOnly   bool
	Options    []string // passed on to the kernel: suid, dev, noexec, …
	Shared     bool     // other daemons change the volume too: no write-back cache, short timeouts
	Far        bool     // the stores may be away for long: requests of callers that are told to stop are answered
	Remote     bool     // the names are on a server, which may lose the last of them when it crashes
	Debug      bool     // log every request
	Log        *slog.Logger
}

// exclusiveTimeout is how long the kernel may keep names and attributes that only this mount changes.
const exclusiveTimeout = time.Hour

// remoteTimeout is the same where a server's crash may take some of them back: so long a name may be seen that is gone.
const remoteTimeout = time.Minute

// sharedTimeout is the same where others change them too.
const sharedTimeout = time.Second

// Mount is a mounted volume.
type Mount struct {
	dir    string
	server *fuse.Server
	fs     *FS
}

// New mounts the volume on a directory. It returns when the kernel is connected; requests are answered in the
// background until Unmount, or until someone else unmounts it, which Wait tells.
func New(vol *volume.Volume, dir string, o MountOptions) (*Mount, error) {
	timeout := exclusiveTimeout
	switch {
	case o.Shared:
		timeout = sharedTimeout
	case o.Remote:
		timeout = remoteTimeout
	}
	f := newFS(vol, timeout, !o.Shared, o.Far)
	opts := &fuse.MountOptions{
		AllowOther: o.AllowOther, FsName: o.Source, Name: "graviton", Debug: o.Debug,
		Logger:   slog.NewLogLogger(o.Log.Handler(), slog.LevelInfo),
		Options:  o.Options,
		MaxWrite: maxRequest, MaxBackground: 64, DirectMount: os.Geteuid() == 0,
		DirectMountFlags: unix.MS_NOSUID | unix.MS_NODEV,
		ExtraCapabilities: fuse.CAP_HANDLE_KILLPRIV_V2 | fuse.CAP_DONT_MASK | fuse.CAP_EXPORT_SUPPORT |
			fuse.CAP_DIRECT_IO_ALLOW_MMAP,
		PanicHandler: func(v any) fuse.Status {
			o.Log.Error("internal error: this is a fault of the program, please report it", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			return fuse.EIO
		},
		DisableSplice: true, // answers are memory, for which the server would prepare a pipe in vain
	}
	if o.ReadOnly {
		opts.DirectMountFlags |= unix.MS_RDONLY
		if !opts.DirectMount {
			opts.Options = append(opts.Options, "ro")
		}
	}
	if o.Shared {
		opts.EnableLocks = true // otherwise the kernel keeps them, which is as good for one daemon
	} else {
		opts.ExtraCapabilities |= fuse.CAP_WRITEBACK_CACHE
		opts.ExplicitDataCacheControl = true
		opts.EnableSymlinkCaching = true
	}
	server, err := serve(f, dir, o, opts)
	if err != nil {
		return nil, explainMount(dir, o, err)
	}
	panics.Go(server.Serve)
	if err := server.WaitMount(); err != nil {
		return nil, explainMount(dir, o, err)
	}
	if o.Remote {
		vol.Invalidate(&kernelCache{f})
	}
	setReadAhead(dir)
	return &Mount{dir: dir, server: server, fs: f}, nil
}

// serve connects to the kernel.
func serve(f *FS, dir string, o MountOptions, opts *fuse.MountOptions) (*fuse.Server, error) {
	var answers fuse.RawFileSystem = private{f}
	if o.AllowOther || o.Checked || os.Geteuid() != 0 {
		answers = f
		opts.Options = append([]string{"default_permissions"}, opts.Options...)
		opts.EnableAcl = true
		opts.IDMappedMount = true
	}
	procs := runtime.GOMAXPROCS(0)
	server, err := fuse.NewServer(answers, dir, opts)
	// go-fuse reads with one thread more than that. One that waits in read(2) keeps its processor, in Go's sense, until the
	// scheduler's watch takes it away. With one for each reader and one over, a request never waits for that.
	runtime.GOMAXPROCS(procs + 2)
	return server, err
}

// Dir is the mount point.
func (m *Mount) Dir() string { return m.dir }

// ErrBusy is why Unmount failed while a program uses the mount.
var ErrBusy = errors.New("mount is in use")

// Unmount takes the directory out of the tree. While a program uses it, it stays, and the error is ErrBusy.
func (m *Mount) Unmount() error {
	if os.Geteuid() == 0 {
		err := unix.Unmount(m.dir, unix.UMOUNT_NOFOLLOW)
		switch {
		case errors.Is(err, unix.EBUSY):
			return ErrBusy
		case err == nil, errors.Is(err, unix.EINVAL): // EINVAL: not mounted any more
			return nil
		}
		return fmt.Errorf("unmount %s: %w", m.dir, err)
	}
	if err := m.server.Unmount(); err != nil {
		if mounted, _ := Mounted(m.dir); mounted == nil {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return nil
}

// Detach takes a mount out of the tree at once; programs that use it keep what they have open (umount -l). It works on a
// mount whose daemon died, too.
func Detach(dir string) error {
	if os.Geteuid() == 0 {
		return os.NewSyscallError("umount2", unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	}
	out, err := exec.Command("fusermount3", "-uz", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("fusermount3 -uz %s: %w: %s", dir, err, bytes.TrimSpace(out))
	}
	return nil
}

// Wait returns when the mount has ended and the last request is answered.
func (m *Mount) Wait() { m.server.Wait() }

// Mounted returns the topmost mount on a directory, or nil.
func Mounted(dir string) (*mountinfo.Info, error) {
	list, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != dir, false })
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[len(list)-1], nil
}

// explainMount says what to do about a failed mount.
func explainMount(dir string, o MountOptions, err error) error {
	if _, serr := os.Stat("/dev/fuse"); errors.Is(serr, os.ErrNotExist) {
		return fmt.Errorf("mount %s: there is no /dev/fuse: load the module with 'modprobe fuse', or in a container "+
			"start it with '--device /dev/fuse --cap-add SYS_ADMIN'", dir)
	}
	if f, serr := os.OpenFile("/dev/fuse", os.O_RDWR, 0); serr != nil && os.Geteuid() != 0 {
		return fmt.Errorf("mount %s: /dev/fuse can't be opened (%w): run as root, or ask for access to it", dir, serr)
	} else if serr == nil {
		_ = f.Close()
	}
	if o.AllowOther && os.Geteuid() != 0 {
		return fmt.Errorf("mount %s: %w: for allow_other as an ordinary user, /etc/fuse.conf needs the line "+
			"'user_allow_other'", dir, err)
	}
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("mount %s: %w: run as root, or install fuse3, whose fusermount3 mounts for ordinary users", dir, err)
	}
	return fmt.Errorf("mount %s: %w", dir, err)
}

// readAheadKB is how far the kernel reads ahead; FUSE itself allows only 128.
const readAheadKB = 1024

// setReadAhead raises the mount's read-ahead where we may. It finds the device in the mount table, since asking the
// mount itself could wait for this very process.
func setReadAhead(dir string) {
	info, err := Mounted(dir)
	if err != nil || info == nil {
		return
	}
	dev := strconv.Itoa(info.Major) + ":" + strconv.Itoa(info.Minor)
	file := filepath.Join("/sys/class/bdi", dev, "read_ahead_kb")
	_ = os.WriteFile(file, []byte(strconv.Itoa(readAheadKB)), 0) // slower without, not wrong
}
