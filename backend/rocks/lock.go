package rocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// explainOpen turns an error of opening the engine into one for people.
func explainOpen(path string, err error) error {
	var e *engineError
	if !errors.As(err, &e) {
		return err
	}
	switch e.kind {
	case kindBusyHere:
		return fmt.Errorf("%w by this process (pid %d)", ErrLocked, os.Getpid())
	case kindBusyThere:
		return fmt.Errorf("%w%s", ErrLocked, holder(path))
	case kindCorrupt, kindIncomplete:
		return damage(path, err)
	}
	return err
}

// holder says who has the engine's lock file. It must not be called while this process has it: closing any
// descriptor of a file drops a process's own locks on it.
func holder(path string) string {
	f, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lk); err != nil || lk.Type == unix.F_UNLCK || lk.Pid <= 0 {
		return ""
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", lk.Pid))
	if err != nil {
		return fmt.Sprintf(" by process %d", lk.Pid)
	}
	return fmt.Sprintf(" by process %d (%s)", lk.Pid, strings.TrimSpace(string(name)))
}
