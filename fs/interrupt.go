package fs

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/graviton-fs/graviton/panics"
)

// deadly are the signals by which someone wants a program to stop, where it has no handler for them. A request isn't
// interrupted by others (timers, children, a Go program's own scheduler), nor by one that has a handler: no file system on
// a disk answers EINTR, and programs that never saw it take it for a failure. PostgreSQL's processes end by SIGTERM to a
// handler and panic when the fsync under way then fails; a mkdir that was answered EINTR and is made all the same is made
// again. NFS does the same (see intr in nfs(5)).
var deadly = []syscall.Signal{syscall.SIGKILL, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

// signalPoll is how often an interrupted request looks which signal it was: the kernel says it only once.
const signalPoll = 100 * time.Millisecond

// request is the context of a request that may wait long. It ends when its caller was told to stop. The watching begins
// with the first call of Done, that is, when something waits.
type request struct {
	context.Context
	cancel <-chan struct{}
	pid    uint32
	once   sync.Once
	done   chan struct{}
	quit   chan struct{}
}

// interruptible returns a request's context and what to call when the request ends.
func interruptible(cancel <-chan struct{}, pid uint32) (context.Context, func()) {
	r := &request{
		Context: background(), cancel: cancel, pid: pid,
		done: make(chan struct{}), quit: make(chan struct{}),
	}
	return r, func() { close(r.quit) }
}

// Done is closed when the caller was told to stop.
func (r *request) Done() <-chan struct{} {
	r.once.Do(func() { panics.Go(r.watch) })
	return r.done
}

// Err is context.Canceled after that.
func (r *request) Err() error {
	select {
	case <-r.done:
		return context.Canceled
	default:
		return nil
	}
}

func (r *request) watch() {
	select {
	case <-r.cancel:
	case <-r.quit:
		return
	}
	tick := time.NewTicker(signalPoll)
	defer tick.Stop()
	for !pendingDeadly(r.pid) {
		select {
		case <-tick.C:
		case <-r.quit:
			return
		}
	}
	close(r.done)
}

// pendingDeadly reports that a thread has a pending signal that ends it, or is gone.
func pendingDeadly(tid uint32) bool {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return true
	}
	defer file.Close()
	var pending, kept uint64
	for s := bufio.NewScanner(file); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		if !strings.HasPrefix(name, "Sig") && name != "ShdPnd" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			continue
		}
		switch name {
		case "SigPnd", "ShdPnd":
			pending |= mask
		case "SigCgt", "SigIgn", "SigBlk":
			kept |= mask
		}
	}
	for _, sig := range deadly {
		if pending&^kept&(1<<(sig-1)) != 0 {
			return true
		}
	}
	return false
}
