package differential

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Outcome is what one call returned: a number, an errno, and what it filled in, as text.
type Outcome struct {
	Ret   int64
	Errno unix.Errno
	Data  string
	Hole  bool // Ret is a place found by SEEK_DATA or SEEK_HOLE, for which there may be several right answers
}

// side executes calls in one directory, on a thread of its own: working directory, umask and
// user ids belong to a thread once it has unshared them.
type side struct {
	name string
	base string
	fds  [slots]int
	// broken, in the test of the test, spoils a call's outcome or effect.
	broken func(op Op, out *Outcome, s *side)

	work chan func()
	done chan struct{}
}

// newSide starts the thread, in dir.
func newSide(name, dir string) (*side, error) {
	s := &side{name: name, base: dir, work: make(chan func()), done: make(chan struct{})}
	for i := range s.fds {
		s.fds[i] = -1
	}
	failed := make(chan error)
	go func() {
		defer close(s.done)
		// Never unlocked: the thread ends with the goroutine, and takes its ids with it.
		runtime.LockOSThread()
		err := s.enter()
		failed <- err
		if err != nil {
			return
		}
		for fn := range s.work {
			fn()
		}
	}()
	if err := <-failed; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// enter prepares the thread.
func (s *side) enter() error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Chdir(s.base); err != nil {
		return fmt.Errorf("chdir: %w", err)
	}
	unix.Umask(0o022)
	return nil
}

// do runs fn on the side's thread and waits for it.
func (s *side) do(fn func()) {
	back := make(chan struct{})
	s.work <- func() { fn(); close(back) }
	<-back
}

// exec makes one call as the user that it names.
func (s *side) exec(op Op) (out Outcome) {
	s.do(func() {
		if op.As != 0 {
			if err := become(op.As); err != nil {
				panic(err) // the test can't go on with the wrong user
			}
			defer func() {
				if err := become(0); err != nil {
					panic(err)
				}
			}()
		}
		out = calls[op.Call].run(s, op)
		if s.broken != nil {
			s.broken(op, &out, s)
		}
	})
	return out
}

// close closes the side's descriptors and ends its thread. It is called once.
func (s *side) close() {
	s.do(func() {
		s.closeAll()
		// The process's first thread can't end: it would hold the directory for ever.
		_ = unix.Chdir("/")
	})
	close(s.work)
	<-s.done
}

// closeAll closes the side's descriptors.
func (s *side) closeAll() {
	for i, fd := range s.fds {
		if fd >= 0 {
			_ = unix.Close(fd)
			s.fds[i] = -1
		}
	}
}

// fill puts a new descriptor into a slot and closes the one that was there.
func (s *side) fill(slot, fd int) {
	if old := s.fds[slot]; old >= 0 {
		_ = unix.Close(old)
	}
	s.fds[slot] = fd
}

// become changes the calling thread's effective user and groups; the saved ids stay root's, so
// that it can come back. The raw calls are meant: the C library's and Go's change every thread.
func become(uid int) error {
	groups := []uint32{}
	gid := 0
	if uid != 0 {
		groups, gid = groupsOf[uid], uid
	}
	keep := ^uintptr(0)
	if uid == 0 { // root first, or the rest isn't permitted
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, 0); e != 0 {
			return fmt.Errorf("setresuid: %w", e)
		}
	}
	if err := setgroups(groups); err != nil {
		return err
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, keep, uintptr(gid), 0); e != 0 {
		return fmt.Errorf("setresgid: %w", e)
	}
	if uid != 0 {
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), 0); e != 0 {
			return fmt.Errorf("setresuid: %w", e)
		}
	}
	return nil
}

// setgroups sets the calling thread's supplementary groups.
func setgroups(groups []uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(unsafe.SliceData(groups))), 0); e != 0 {
		return fmt.Errorf("setgroups: %w", e)
	}
	return nil
}
