package volume_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// counted is a namespace that counts its transactions.
type counted struct {
	namespace.Store
	updates atomic.Int64
	fail    atomic.Pointer[error] // what the next one returns, after it was done
}

func (c *counted) Update(ctx context.Context, op namespace.OpID, want namespace.Want, fn func(namespace.Tx) error) error {
	c.updates.Add(1)
	err := c.Store.Update(ctx, op, want, fn)
	if fail := c.fail.Swap(nil); err == nil && fail != nil {
		err = *fail
	}
	return err
}

func newCounted(t *testing.T) (*env, *counted) {
	t.Helper()
	e := newEnv(t)
	e.close()
	c := &counted{Store: e.ns}
	e.ns = c
	e.open()
	e.done(e.create("warm")) // numbers are at hand
	e.buried()               // nothing in the background any more
	c.updates.Store(0)
	return e, c
}

// TestOneTransaction makes a file, with data and attributes, as cp -a does: it is one transaction.
func TestOneTransaction(t *testing.T) {
	e, c := newCounted(t)
	h := e.create("f")
	must(t, h.Write(ctx, 0, [][]byte{pattern(4096, 1)}, volume.Written{Cached: true}))
	at := namespace.Time{Sec: 1234567}
	for _, set := range []volume.SetAttr{
		{Mtime: &at, Atime: &at}, {UID: ptr(uint32(7)), GID: ptr(uint32(8))}, {Mode: ptr(uint32(0o4750))},
	} {
		_, err := e.v.SetAttr(ctx, h.Ino(), set)
		must(t, err)
	}
	if n := c.updates.Load(); n != 0 {
		t.Errorf("%d transactions before the file is closed", n)
	}
	e.done(h)
	if n := c.updates.Load(); n != 1 {
		t.Errorf("%d transactions, want 1", n)
	}
	e.crash()
	rec := e.lookup("f")
	e.wantFile("f", pattern(4096, 1))
	if rec.Mtime != at || rec.Atime != at || rec.UID != 7 || rec.GID != 8 || rec.Mode&0o7777 != 0o4750 {
		t.Errorf("the file is %+v", rec)
	}
}

// TestUnbornIsSeen does what needs to find a file that was just created.
func TestUnbornIsSeen(t *testing.T) {
	dir := volume.Node{Mode: volume.ModeDir | 0o755}
	for name, do := range map[string]func(e *env, h *volume.Handle) error{
		"lookup": func(e *env, h *volume.Handle) error {
			_, err := e.v.Lookup(ctx, root, "f")
			return err
		},
		"attributes": func(e *env, h *volume.Handle) error {
			rec, err := e.v.GetAttr(ctx, h.Ino())
			if err == nil && (rec.Ino != h.Ino() || rec.Nlink != 1) {
				err = errors.New("other attributes")
			}
			return err
		},
		"readdir": func(e *env, _ *volume.Handle) error {
			err := errors.New("not listed")
			rerr := e.v.ReadDir(ctx, root, 0, true, func(ent volume.Entry) bool {
				if ent.Name == "f" && ent.Inode != nil {
					err = nil
				}
				return true
			})
			return errors.Join(err, rerr)
		},
		"link": func(e *env, h *volume.Handle) error {
			_, err := e.v.Link(ctx, h.Ino(), root, "second")
			return err
		},
		"rename": func(e *env, _ *volume.Handle) error { return e.v.Rename(ctx, root, "f", root, "g", 0) },
		"unlink": func(e *env, _ *volume.Handle) error { return e.v.Unlink(ctx, root, "f") },
		"create again": func(e *env, _ *volume.Handle) error {
			_, _, err := e.v.CreateOpen(ctx, root, "f", volume.Node{Mode: volume.ModeFile}, rw)
			if errors.Is(err, volume.ErrExists) {
				return nil
			}
			return errors.Join(errors.New("created twice"), err)
		},
		"mkdir again": func(e *env, _ *volume.Handle) error {
			_, err := e.v.Create(ctx, root, "f", dir)
			if errors.Is(err, volume.ErrExists) {
				return nil
			}
			return errors.Join(errors.New("created twice"), err)
		},
		"xattr": func(e *env, h *volume.Handle) error {
			if _, err := e.v.GetXattr(ctx, h.Ino(), "user.a"); !errors.Is(err, volume.ErrNoXattr) {
				return errors.Join(errors.New("has an attribute"), err)
			}
			return e.v.SetXattr(ctx, h.Ino(), "user.a", []byte("b"), volume.XattrCreate)
		},
		"open": func(e *env, h *volume.Handle) error {
			other, err := e.v.Open(ctx, h.Ino(), rw)
			if err == nil {
				e.write(other, 0, []byte("x"))
				other.Release(ctx)
			}
			return err
		},
		"truncate": func(e *env, h *volume.Handle) error {
			_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(100))})
			return err
		},
		"fsync of the directory": func(e *env, _ *volume.Handle) error {
			d, err := e.v.Open(ctx, root, volume.OpenFlags{Read: true})
			must(e.t, err)
			defer d.Release(ctx)
			must(e.t, d.Sync(ctx))
			e.crash()
			_, err = e.v.Lookup(ctx, root, "f")
			return err
		},
		"close without write": func(e *env, h *volume.Handle) error {
			must(e.t, h.Flush(ctx))
			e.crash()
			_, err := e.v.Lookup(ctx, root, "f")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			_, h, err := e.v.CreateOpen(ctx, root, "f", volume.Node{Mode: volume.ModeFile | 0o644}, volume.OpenFlags{Read: true})
			must(t, err)
			must(t, do(e, h))
			h.Release(ctx)
		})
	}
}

// TestUnbornInDirectory removes a directory in which a file was just created.
func TestUnbornInDirectory(t *testing.T) {
	e := newEnv(t)
	d, err := e.v.Create(ctx, root, "d", volume.Node{Mode: volume.ModeDir | 0o755})
	must(t, err)
	before, err := e.v.GetAttr(ctx, d.Ino)
	must(t, err)
	_, h := e.createIn(d.Ino, "f")
	wantErr(t, e.v.Rmdir(ctx, root, "d"), volume.ErrNotEmpty)
	after, err := e.v.GetAttr(ctx, d.Ino)
	must(t, err)
	if after.Mtime.Before(before.Mtime) {
		t.Error("the directory's time went back")
	}
	e.done(h)
}

// TestUnbornTouchesDirectory looks at a directory in which a file was just created, in all ways that tell its time.
func TestUnbornTouchesDirectory(t *testing.T) {
	for name, look := range map[string]func(e *env, dir namespace.Ino) *namespace.Inode{
		"lookup": func(e *env, _ namespace.Ino) *namespace.Inode { return e.lookup("d") },
		"attributes": func(e *env, dir namespace.Ino) *namespace.Inode {
			rec, err := e.v.GetAttr(ctx, dir)
			must(e.t, err)
			return rec
		},
		"change": func(e *env, dir namespace.Ino) *namespace.Inode {
			rec, err := e.v.SetAttr(ctx, dir, volume.SetAttr{Mode: ptr(uint32(0o700))})
			must(e.t, err)
			return rec
		},
		"readdir": func(e *env, _ namespace.Ino) (rec *namespace.Inode) {
			must(e.t, e.v.ReadDir(ctx, root, 0, true, func(ent volume.Entry) bool { rec = ent.Inode; return true }))
			return rec
		},
	} {
		t.Run(name, func(t *testing.T) {
			var clock atomic.Int64
			clock.Store(1000)
			e := newEnv(t, func(c *volume.Config) { c.Now = func() namespace.Time { return namespace.Time{Sec: clock.Load()} } })
			d, err := e.v.Create(ctx, root, "d", volume.Node{Mode: volume.ModeDir | 0o755})
			must(t, err)
			clock.Add(1)
			_, h := e.createIn(d.Ino, "f")
			if rec := look(e, d.Ino); rec.Mtime.Sec != 1001 {
				t.Errorf("the directory was changed at %d, want 1001", rec.Mtime.Sec)
			}
			old := namespace.Time{Sec: 5}
			_, err = e.v.SetAttr(ctx, d.Ino, volume.SetAttr{Mtime: &old})
			must(t, err)
			e.done(h)
			if rec := e.lookup("d"); rec.Mtime != old {
				t.Errorf("the directory's time was set to 5 and is %d", rec.Mtime.Sec)
			}
		})
	}
}

// TestBirthAnswerLost has the transaction of a new file done, and its answer lost: the file is made once.
func TestBirthAnswerLost(t *testing.T) {
	e, c := newCounted(t)
	h := e.create("f")
	e.write(h, 0, pattern(5000, 1))
	c.fail.Store(ptr(errors.New("the answer is lost")))
	if err := h.Flush(ctx); err == nil {
		t.Fatal("no error")
	}
	if err := h.Sync(ctx); err == nil { // who closed may have been another program
		t.Fatal("no error of fsync")
	}
	e.write(h, 0, pattern(5000, 2))
	e.done(h)
	e.wantFile("f", pattern(5000, 2))
	_, err := e.v.Create(ctx, root, "f", volume.Node{Mode: volume.ModeFile})
	wantErr(t, err, volume.ErrExists)
}
