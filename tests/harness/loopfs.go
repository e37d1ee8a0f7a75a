package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LoopFS is an ext4 in a loop file: the disk that a test may fill up, or cut off.
type LoopFS struct {
	Dir string // where it is mounted

	t       testing.TB
	image   string
	options string
	mounted bool
}

const (
	ext4IocShutdown    = 0x8004587d // _IOR('X', 125, __u32)
	shutdownNoLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH: what isn't on disk now never will be
)

// NewLoopFS makes and mounts an ext4 of the given size with the given mount options ("" is none).
func NewLoopFS(t testing.TB, size int64, options string) *LoopFS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a loop filesystem needs root")
	}
	base := TempDir(t)
	l := &LoopFS{Dir: filepath.Join(base, "ext4"), t: t, image: filepath.Join(base, "ext4.img"), options: "loop"}
	if options != "" {
		l.options += "," + options
	}
	if err := os.Mkdir(l.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(l.image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", l.image)
	t.Cleanup(func() {
		if l.mounted {
			l.Unmount()
		}
	})
	l.Mount()
	return l
}

// Mount mounts the image (after a Shutdown: replays its journal).
func (l *LoopFS) Mount() {
	l.t.Helper()
	run(l.t, "mount", "-t", "ext4", "-o", l.options, l.image, l.Dir)
	l.mounted = true
}

// Unmount unmounts it; something that lets go of its files late gets a few seconds.
func (l *LoopFS) Unmount() {
	l.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		out, err := exec.Command("umount", l.Dir).CombinedOutput()
		if err == nil {
			l.mounted = false
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("umount %s: %v: %s", l.Dir, err, out)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Shutdown cuts the filesystem off its disk at once, without flushing its log: a power failure as
// far as its contents are concerned. Only Unmount and Mount help after it.
func (l *LoopFS) Shutdown() error {
	fd, err := unix.Open(l.Dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", l.Dir, err)
	}
	defer func() { _ = unix.Close(fd) }()
	flag := uint32(shutdownNoLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ext4IocShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("EXT4_IOC_SHUTDOWN: %w", errno)
	}
	return nil
}

// run runs a program and fails the test when it fails.
func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v: %s", name, args, err, out)
	}
}
