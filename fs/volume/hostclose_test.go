package volume_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// farHosts are hosts whose way to the server is a proxy each.
func farHosts(t *testing.T, n int, change ...func(*volume.Config)) ([]*host, []*pgtest.Proxy) {
	t.Helper()
	s := pgtest.Shared(t)
	d := s.Database(t)
	cfg := sharedConfig(t, change...)
	var hosts []*host
	var links []*pgtest.Proxy
	for range n {
		p := s.NewProxy(t)
		hosts, links = append(hosts, newHost(t, d.At(p.Port()), cfg)), append(links, p)
	}
	return hosts, links
}

// unlinkedOpen makes files, which stay open, without a name.
func (h *host) unlinkedOpen(n int) (open []*volume.Handle) {
	h.t.Helper()
	open = make([]*volume.Handle, n)
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			name := fmt.Sprint("unlinked", i)
			_, f, err := h.v.CreateOpen(ctx, root, name, volume.Node{Mode: volume.ModeFile | 0o644}, rw)
			if err != nil {
				return err
			}
			open[i] = f
			if err := f.Write(ctx, 0, [][]byte{pattern(100, byte(i))}, volume.Written{}); err != nil {
				return err
			}
			if err := f.Flush(ctx); err != nil {
				return err
			}
			return h.v.Unlink(ctx, root, name)
		})
	}
	must(h.t, g.Wait())
	return open
}

// closeWithin closes a host, and wants that to end.
func (h *host) closeWithin(most time.Duration) {
	h.t.Helper()
	v := h.v
	h.gone = true
	done := make(chan error, 1)
	begin := time.Now()
	go func() { done <- v.Close(ctx) }()
	select {
	case err := <-done:
		must(h.t, err)
		h.t.Logf("closed after %v, left: %q", time.Since(begin), v.Left())
	case <-time.After(most):
		h.t.Fatalf("Close doesn't end within %v", most)
	}
}

// TestHostCloseMany ends a mount with more unlinked files than are removed in the time of a lease, of which the kernel
// released some and of some it didn't say. Nothing is left.
func TestHostCloseMany(t *testing.T) {
	hosts, links := farHosts(t, 1, func(c *volume.Config) { c.Lease = time.Second })
	a := hosts[0]
	open := a.unlinkedOpen(1500)
	links[0].Slow(10*time.Millisecond, 0)
	for i, f := range open {
		if i%3 == 0 {
			f.Release(ctx)
		}
	}
	a.closeWithin(30 * time.Second)
	if left := a.v.Left(); left != (volume.Leftovers{}) {
		t.Errorf("left %v", left)
	}
	links[0].Slow(0, 0)
	a.reopened(func() {
		a.noOrphans()
		if n := a.sessions(); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// reopened opens a host that was closed, for a look.
func (h *host) reopened(look func()) {
	h.t.Helper()
	h.open()
	look()
	h.sound()
	h.close()
}

// TestHostCloseLimit ends a mount whose server is so far away that not all can be removed. It says so, and the next one
// removes the rest.
func TestHostCloseLimit(t *testing.T) {
	hosts, links := farHosts(t, 1, func(c *volume.Config) { c.CloseTime = 3 * time.Second })
	a := hosts[0]
	a.unlinkedOpen(1500)
	links[0].Slow(100*time.Millisecond, 0)
	a.closeWithin(10 * time.Second)
	left := a.v.Left()
	if left.Orphans == 0 || !strings.Contains(left.String(), "unlinked files") {
		t.Errorf("left %+v, %q", left, left)
	}
	links[0].Slow(0, 0)
	a.reopened(func() {
		eventually(t, "the next mount removes them", func() bool {
			list, err := a.v.Orphans(ctx)
			return err == nil && len(list) == 0 && a.sessions() == 1
		})
	})
}

// TestHostCloseLocks ends a mount with many locks at a distance.
func TestHostCloseLocks(t *testing.T) {
	hosts, links := farHosts(t, 2)
	a, b := hosts[0], hosts[1]
	a.put("f", nil)
	f := a.openFile("f")
	for i := range 1000 {
		lock(t, f, volume.Lock{Owner: 1, Start: uint64(2 * i), End: uint64(2 * i), Write: true}, nil)
	}
	links[0].Slow(50*time.Millisecond, 0)
	a.closeWithin(10 * time.Second)
	lock(t, b.openFile("f"), volume.Lock{Owner: 2, End: volume.MaxFile, Write: true}, nil)
}

// TestHostFarBeats has a daemon be heard of while the server is far away and it has many unlinked files open.
func TestHostFarBeats(t *testing.T) {
	hosts, links := farHosts(t, 2)
	a, b := hosts[0], hosts[1]
	session := a.v.Session()
	open := a.unlinkedOpen(600)
	links[0].Slow(20*time.Millisecond, 0) // to the lease as 150 ms an exchange are to the usual one
	pinned := func() int {
		n := 0
		for _, h := range b.holds() {
			if h.Kind == namespace.HoldOpen {
				n++
			}
		}
		return n
	}
	eventually(t, "holds of what is open", func() bool { return pinned() == len(open) })
	time.Sleep(2 * testLease) // two more in which it could be taken for dead
	if got := a.v.Session(); got != session {
		t.Fatalf("session %x, want %x: it was taken for dead", got, session)
	}
	for i, f := range open[:20] {
		a.want(f, pattern(100, byte(i)))
	}
	links[0].Slow(0, 0)
	for _, f := range open {
		f.Release(ctx)
	}
	eventually(t, "the end of all", func() bool {
		list, err := b.v.Orphans(ctx)
		return err == nil && len(list) == 0 && pinned() == 0
	})
}

// TestHostBackWithAppends has a daemon that is alone, with appended data in memory, be suspended until another one came
// and took it for dead. It goes on in a new session; that data is lost, and its file is told.
func TestHostBackWithAppends(t *testing.T) {
	hosts := newHosts(t, 1)
	a := hosts[0]
	first := a.v.Session()
	a.put("f", []byte("before "))
	var open []*volume.Handle
	for i := range 40 { // to be committed before the other may be in
		h := a.create(fmt.Sprint("g", i))
		must(t, h.Flush(ctx))
		must(t, h.Write(ctx, 0, [][]byte{[]byte("appended")}, volume.Written{Append: true}))
		open = append(open, h)
	}
	a.v.Suspend()
	b := newHost(t, a.url, a.cfg)
	b.put("other", []byte("b"))
	a.v.Resume()
	eventually(t, "a new session", func() bool { return a.v.Session() != first && b.sessions() == 2 })
	for _, h := range open {
		wantErr(t, h.Flush(ctx), namespace.ErrFenced)
		h.Release(ctx)
	}
	a.wantFile("other", []byte("b"))
	a.put("after", []byte("a"))
	b.wantFile("after", []byte("a"))
}
