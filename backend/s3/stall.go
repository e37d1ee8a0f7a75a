package s3

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stallConn fails reads and writes when nothing moves in either direction for a while. A whole request has no bound of
// its own, since a large one on a slow line takes long and is well.
//
// What the kernel still has to send counts as moving while it gets less: its buffer takes megabytes at once, for which a
// slow line needs longer than a dead one should.
type stallConn struct {
	net.Conn
	tick time.Duration // two without movement are a stall
	raw  syscall.RawConn

	mu    sync.Mutex
	queue int // the kernel's, when it was last looked at
}

func newStallConn(c net.Conn, stall time.Duration) *stallConn {
	s := &stallConn{Conn: c, tick: stall / 2}
	if tcp, ok := c.(*net.TCPConn); ok {
		s.raw, _ = tcp.SyscallConn() // nil for one that is closed already
	}
	return s
}

// Read implements net.Conn.
func (c *stallConn) Read(p []byte) (int, error) { return c.move(c.Conn.Read, p, false) }

// Write implements net.Conn.
func (c *stallConn) Write(p []byte) (int, error) { return c.move(c.Conn.Write, p, true) }

// copies are buffers for ReadFrom: io.Copy's own have 32 KiB, a system call for each.
var copies = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// ReadFrom implements io.ReaderFrom.
func (c *stallConn) ReadFrom(r io.Reader) (int64, error) {
	buf := copies.Get().(*[256 << 10]byte)
	defer copies.Put(buf)
	// Neither side may do it its own way, which would be this one again, or without a look at the time.
	return io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, buf[:])
}

// move runs a read or write until it got something, or all of p where all is wanted.
func (c *stallConn) move(op func([]byte) (int, error), p []byte, all bool) (int, error) {
	done, idle := 0, 0
	for {
		// For both directions: while a request is sent, its answer isn't late.
		_ = c.SetDeadline(time.Now().Add(c.tick)) // a closed one fails on its own
		n, err := op(p[done:])
		done += n
		if n > 0 {
			idle = 0
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || done > 0 && !all {
			if n > 0 {
				_ = c.SetDeadline(time.Now().Add(c.tick))
			}
			return done, err
		}
		if idle++; c.draining() {
			idle = 0
		}
		if idle == 2 {
			return done, err
		}
	}
}

// draining tells whether the kernel sent some of what it holds since the last look.
func (c *stallConn) draining() bool {
	if c.raw == nil {
		return false
	}
	queue := 0
	err := c.raw.Control(func(fd uintptr) { queue, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) })
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := err == nil && queue > 0 && queue != c.queue
	c.queue = queue
	return moved
}
