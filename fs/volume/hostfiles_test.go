package volume_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/fs/volume"
)

// TestHostsCloseToOpen has what one daemon closed be what the other opens, at once, however often.
func TestHostsCloseToOpen(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	const rounds = 100
	for i := range rounds {
		w, r := hosts[i%2], hosts[(i+1)%2]
		p := pattern(100+i%3, byte(i)) // often the same size
		h := w.openFile("f")
		_, err := w.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
		must(t, err)
		w.write(h, 0, p)
		w.done(h)
		o := r.openFile("f")
		if o.KeepCache() {
			t.Fatalf("round %d: the kernel may keep a file that another daemon changed", i)
		}
		r.want(o, p)
		o.Release(ctx)
		kept := 0
		for range 4 { // the news of changes may come between two of them
			o = r.openFile("f")
			if o.KeepCache() {
				kept++
			}
			o.Release(ctx)
		}
		if kept == 0 {
			t.Errorf("round %d: the kernel has to drop a file that nobody changed", i)
		}
	}
}

// TestHostsKeepOwn keeps what a daemon wrote itself.
func TestHostsKeepOwn(t *testing.T) {
	a := newHosts(t, 2)[0]
	a.put("f", []byte("one"))
	h := a.openFile("f")
	a.write(h, 0, []byte("two"))
	a.done(h)
	h = a.openFile("f")
	if !h.KeepCache() {
		t.Error("the kernel has to drop what was written through it")
	}
	h.Release(ctx)
}

// TestHostsGrow has both write into one file that both have open: what one appended isn't cut by the other.
func TestHostsGrow(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	a.put("f", []byte("0123456789"))
	ha, hb := a.openFile("f"), b.openFile("f")
	b.write(hb, 10, []byte("tail"))
	must(t, hb.Flush(ctx))
	a.write(ha, 0, []byte("A"))
	must(t, ha.Flush(ctx))
	b.wantFile("f", []byte("A123456789tail"))
	eventually(t, "the new size where the file is open", func() bool {
		p := make([]byte, 20)
		n, err := ha.Read(ctx, p, 0)
		must(t, err)
		return string(p[:n]) == "A123456789tail"
	})
	_, err := b.v.SetAttr(ctx, hb.Ino(), volume.SetAttr{Size: ptr(uint64(5))})
	must(t, err)
	must(t, ha.Allocate(ctx, volume.AllocKeepSize|volume.AllocPunch, 1, 2, nil)) // doesn't bring the old size back
	b.wantFile("f", []byte("A\x00\x0034"))
	dst := a.create("copy")
	n, err := dst.CopyRange(ctx, ha, 0, 0, 100, nil)
	if err != nil || n != 5 {
		t.Errorf("copied %d, %v, want the 5 bytes that are left", n, err)
	}
	a.done(dst)
	b.wantFile("copy", []byte("A\x00\x0034"))
	ha.Release(ctx)
	hb.Release(ctx)
}

// TestHostsAppend appends from two daemons to one file: no record is lost, torn or written over.
func TestHostsAppend(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("log", nil)
	const each = 60
	line := func(host, i int) []byte {
		size := 10 + 37*i%300
		if i%20 == 7 {
			size = 40 << 10 // too large to be inline
		}
		return append(bytes.Repeat([]byte{byte('a' + host)}, size), fmt.Sprintf("%02d %02d\n", host, i)...)
	}
	var g errgroup.Group
	for host, e := range hosts {
		h := e.openFile("log")
		g.Go(func() error {
			for i := range each {
				if err := h.Write(ctx, 0, [][]byte{line(host, i)}, volume.Written{Append: true}); err != nil {
					return err
				}
			}
			if err := h.Flush(ctx); err != nil {
				return err
			}
			h.Release(ctx)
			return nil
		})
	}
	must(t, g.Wait())
	h := hosts[0].openFile("log")
	defer h.Release(ctx)
	rec, err := hosts[1].v.GetAttr(ctx, h.Ino())
	must(t, err)
	rest := readAll(t, h, int(rec.Size))
	var next [2]int
	for len(rest) > 0 {
		host := int(rest[0] - 'a')
		if host > 1 || next[host] == each || !bytes.HasPrefix(rest, line(host, next[host])) {
			t.Fatalf("at %d bytes before the end, after %v lines: %.40q", len(rest), next, rest)
		}
		rest = rest[len(line(host, next[host])):]
		next[host]++
	}
	if next != [2]int{each, each} {
		t.Errorf("%v lines, want %d each", next, each)
	}
}

// TestHostJoinsAppend has a daemon append alone, which it keeps in memory, and then another join in.
func TestHostJoinsAppend(t *testing.T) {
	hosts := newHosts(t, 1)
	a := hosts[0]
	a.put("log", []byte("one "))
	h := a.openFile("log")
	must(t, h.Write(ctx, 0, [][]byte{[]byte("two ")}, volume.Written{Append: true}))
	b := newHost(t, a.url, a.cfg)
	o := b.openFile("log")
	must(t, o.Write(ctx, 0, [][]byte{[]byte("three ")}, volume.Written{Append: true}))
	must(t, h.Write(ctx, 0, [][]byte{[]byte("four")}, volume.Written{Append: true}))
	b.done(o)
	a.done(h)
	b.wantFile("log", []byte("one two three four"))
}

// TestHostsInvalidate has a daemon's cache told of the other's changes.
func TestHostsInvalidate(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	ino := a.put("f", []byte("x"))
	eventually(t, "the first news", func() bool { // the watching begins in the background
		_, err := a.v.SetAttr(ctx, ino, volume.SetAttr{Mode: ptr(uint32(0o600))})
		must(t, err)
		return !b.told.inode(ino).IsZero()
	})
	var worst time.Duration
	measure := func(what string, change func(), told func() time.Time) {
		t.Helper()
		begin := time.Now()
		change()
		eventually(t, what, func() bool { return told().After(begin) })
		worst = max(worst, told().Sub(begin))
	}
	for i := range 5 {
		measure("written data", func() {
			h := a.openFile("f")
			a.write(h, 0, []byte{byte(i)})
			a.done(h)
		}, func() time.Time { return b.told.inode(ino) })
		name := fmt.Sprint("n", i)
		measure("a new name", func() { a.mkdir(root, name) }, func() time.Time { return b.told.entry(name) })
		measure("its directory", func() { must(t, a.v.Rename(ctx, root, name, root, "m"+name, 0)) },
			func() time.Time { return b.told.inode(root) })
		measure("a removed name", func() { must(t, a.v.Rmdir(ctx, root, "m"+name)) },
			func() time.Time { return b.told.entry("m" + name) })
		measure("attributes", func() {
			_, err := a.v.SetAttr(ctx, ino, volume.SetAttr{Mode: ptr(uint32(0o600 + i))})
			must(t, err)
		}, func() time.Time { return b.told.inode(ino) })
	}
	if worst > time.Second {
		t.Errorf("a change was told after %v, want at most a second", worst)
	}
}

// TestHostsInvalidateAll has everything dropped when it isn't known what changed.
func TestHostsInvalidateAll(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	open, closed := a.put("open", []byte("x")), a.put("closed", []byte("x"))
	mode := uint32(0)
	eventually(t, "b follows", func() bool { // before that all is dropped at some time
		mode++
		_, err := a.v.SetAttr(ctx, open, volume.SetAttr{Mode: &mode})
		must(t, err)
		return !b.told.inode(open).IsZero()
	})
	b.wantFile("closed", []byte("x"))
	h := b.openFile("open")
	defer h.Release(ctx)
	begin := time.Now()
	b.v.Drop(0)
	eventually(t, "both files", func() bool {
		return b.told.inode(open).After(begin) && b.told.inode(closed).After(begin)
	})
	o := b.openFile("closed")
	if o.KeepCache() {
		t.Error("the kernel may keep what was dropped")
	}
	o.Release(ctx)
}

// TestHostsRaces lets two daemons create, and rename to, the same names: one wins each.
func TestHostsRaces(t *testing.T) {
	hosts := newHosts(t, 2)
	const rounds = 1000
	race := func(round int, lost error, op func(host int) error) {
		t.Helper()
		var g errgroup.Group
		var errs [2]error
		for i := range hosts {
			g.Go(func() error { errs[i] = op(i); return nil })
		}
		must(t, g.Wait())
		switch {
		case errs[0] == nil && errors.Is(errs[1], lost), errs[1] == nil && errors.Is(errs[0], lost):
		default:
			t.Fatalf("round %d: %v, want one to win", round, errs)
		}
	}
	file := volume.Node{Mode: volume.ModeFile | 0o644}
	for i := range rounds {
		name, to := fmt.Sprint("f", i), fmt.Sprint("t", i)
		race(i, volume.ErrExists, func(host int) error {
			_, h, err := hosts[host].v.CreateOpen(ctx, root, name, file, rw)
			if err == nil {
				h.Release(ctx)
			}
			return err
		})
		race(i, volume.ErrNotFound, func(int) error { // each moves it away
			return hosts[i%2].v.Rename(ctx, root, name, root, to, 0)
		})
		race(i, volume.ErrNotFound, func(host int) error {
			return hosts[host].v.Rename(ctx, root, to, root, fmt.Sprint("u", i, host), volume.RenameNoReplace)
		})
	}
	n := 0
	must(t, hosts[0].v.ReadDir(ctx, root, 0, false, func(volume.Entry) bool { n++; return true }))
	if n != rounds {
		t.Errorf("%d names are left, want %d", n, rounds)
	}
}

var _ volume.Invalidator = (*recorder)(nil)

// TestHostsNewXattr has the attributes of a new file seen: at once those that were set here, and within a second or so
// another's.
func TestHostsNewXattr(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	h := a.create("f")
	defer h.Release(ctx)
	_, err := a.v.GetXattr(ctx, h.Ino(), "user.b")
	wantErr(t, err, volume.ErrNoXattr)
	must(t, b.v.SetXattr(ctx, h.Ino(), "user.b", []byte("b"), volume.XattrAny))
	eventually(t, "another's attribute", func() bool {
		_, err := a.v.GetXattr(ctx, h.Ino(), "user.b")
		return err == nil
	})
	g := a.create("g")
	defer g.Release(ctx)
	must(t, a.v.SetXattr(ctx, g.Ino(), "user.a", []byte("a"), volume.XattrAny))
	if value, err := a.v.GetXattr(ctx, g.Ino(), "user.a"); err != nil || string(value) != "a" {
		t.Errorf("%q, %v, want the attribute that was just set", value, err)
	}
}
