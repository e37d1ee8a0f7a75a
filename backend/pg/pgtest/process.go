package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a postmaster.
type process struct {
	pid     int
	done    chan struct{} // closed when it has ended
	goAhead *os.File      // closed to have it become the postmaster; nil if it is
}

// launch starts the postmaster, or has the process that was prepared become it.
func (s *Server) launch() (*process, error) {
	if next := s.next; next != nil {
		s.next = nil
		return next, next.goAhead.Close()
	}
	return s.run(nil, s.postgres()...)
}

// Prepare makes the process that the next Start has become the server. Who has files of a mount open that waits for the
// server needs that: a new process closes its copies of them before it is another program, and waits with the mount.
func (s *Server) Prepare() error {
	if s.next != nil {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	wait := append([]string{"sh", "-c", `read -r _; exec "$@"`, "sh"}, s.postgres()...)
	if s.next, err = s.run(r, wait...); err != nil {
		return errors.Join(err, w.Close())
	}
	s.next.goAhead = w
	return nil
}

// postgres is the command of the server.
func (s *Server) postgres() []string {
	return []string{filepath.Join(s.bin, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port)}
}

// run starts a process as the server's user, from a thread that lives as long as it, so that it can be told to die
// with us.
func (s *Server) run(in *os.File, command ...string) (*process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	if in != nil {
		cmd.Stdin = in
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Pdeathsig: syscall.SIGQUIT}
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(p.done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	return p, <-started
}

// Stop is a fast shutdown: open transactions are rolled back, and a checkpoint is written.
func (s *Server) Stop() error { return s.stop(syscall.SIGINT) }

// StopImmediate is what pg_ctl stop -m immediate does: the server goes without a checkpoint and recovers from its WAL
// when it is started again.
func (s *Server) StopImmediate() error { return s.stop(syscall.SIGQUIT) }

// Kill kills the postmaster. Its children end by themselves a moment later.
func (s *Server) Kill() error { return s.stop(syscall.SIGKILL) }

func (s *Server) stop(sig syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	if err := syscall.Kill(s.proc.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	if err := s.Resume(); err != nil { // a stopped process takes no signal
		return err
	}
	select {
	case <-s.proc.done:
		s.proc = nil
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("PostgreSQL doesn't stop on %v; its log: %s", sig, s.Log())
	}
}

// Pause stops the postmaster and all its children where they are (SIGSTOP), as a machine that hangs does.
func (s *Server) Pause() error { return s.signalAll(syscall.SIGSTOP) }

// Resume lets them go on.
func (s *Server) Resume() error { return s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(sig syscall.Signal) error {
	if s.proc == nil {
		return nil
	}
	// The postmaster first, so that none of its children is born or ends meanwhile.
	pids := append([]int{s.proc.pid}, children(s.proc.pid)...)
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return nil
}

// children returns the processes whose parent is pid.
func children(pid int) (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the name may hold anything
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}
