package volume_test

import (
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

func TestRenameErrors(t *testing.T) {
	e := newEnv(t)
	d := e.mkdir(root, "d")
	sub := e.mkdir(d, "sub")
	full := e.mkdir(root, "full")
	e.mkdir(full, "x")
	empty := e.mkdir(root, "empty")
	e.put("f", nil)
	e.put("g", nil)
	for _, c := range []struct {
		from    namespace.Ino
		oldName string
		to      namespace.Ino
		newName string
		mode    uint32
		want    error
	}{
		{root, "nothing", root, "x", 0, volume.ErrNotFound},
		{root, "f", root, "d", 0, volume.ErrIsDir},
		{root, "d", root, "f", 0, volume.ErrNotDir},
		{root, "d", root, "full", 0, volume.ErrNotEmpty},
		{root, "d", sub, "x", 0, volume.ErrInvalid},
		{root, "d", d, "x", 0, volume.ErrInvalid},
		{root, "f", root, "g", volume.RenameNoReplace, volume.ErrExists},
		{root, "f", root, "nothing", volume.RenameExchange, volume.ErrNotFound},
		{root, "d", d, "sub", volume.RenameExchange, volume.ErrInvalid},
		{d, "sub", root, "d", volume.RenameExchange, volume.ErrInvalid},
		{root, "f", root, "g", volume.RenameExchange | volume.RenameNoReplace, volume.ErrInvalid},
		{root, "f", root, "g", 4, volume.ErrInvalid},
		{root, "f", e.lookup("g").Ino, "x", 0, volume.ErrNotDir},
	} {
		if err := e.v.Rename(ctx, c.from, c.oldName, c.to, c.newName, c.mode); err != c.want {
			t.Errorf("rename %s to %s with mode %d: %v, want %v", c.oldName, c.newName, c.mode, err, c.want)
		}
	}
	must(t, e.v.Rename(ctx, root, "full", root, "empty", 0))
	_, err := e.v.GetAttr(ctx, full)
	must(t, err)
	if got := e.lookup("empty").Ino; got != full || got == empty {
		t.Errorf("the name leads to %d, want %d", got, full)
	}
}

func TestRenameExchange(t *testing.T) {
	e := newEnv(t)
	a, b := e.mkdir(root, "a"), e.mkdir(root, "b")
	sub := e.mkdir(a, "sub")
	rec, h := e.createIn(b, "f")
	e.done(h)
	must(t, e.v.Rename(ctx, a, "sub", b, "f", volume.RenameExchange))
	if got, err := e.v.Lookup(ctx, a, "sub"); err != nil || got.Ino != rec.Ino {
		t.Errorf("a/sub is %+v, %v", got, err)
	}
	if got, err := e.v.Lookup(ctx, b, "f"); err != nil || got.Ino != sub || got.Parent != b {
		t.Errorf("b/f is %+v, %v", got, err)
	}
	must(t, e.v.Rename(ctx, root, "a", root, "b", volume.RenameExchange))
	if e.lookup("a").Ino != b || e.lookup("b").Ino != a {
		t.Error("the directories did not change places")
	}
}

// TestRenameOfLinks does nothing between two names of one inode.
func TestRenameOfLinks(t *testing.T) {
	e := newEnv(t)
	ino := e.put("f", []byte("x"))
	_, err := e.v.Link(ctx, ino, root, "g")
	must(t, err)
	must(t, e.v.Rename(ctx, root, "f", root, "g", 0))
	if names, _ := e.list(root, 0, -1); len(names) != 2 {
		t.Errorf("names are %q, want both", names)
	}
}

// TestRenameOverOpenFile keeps what is replaced for those who have it open.
func TestRenameOverOpenFile(t *testing.T) {
	e := newEnv(t)
	old, next := pattern(100<<10, 1), pattern(50<<10, 2)
	e.put("f", old)
	h := e.openFile("f")
	e.put("f.new", next)
	must(t, e.v.Rename(ctx, root, "f.new", root, "f", 0))
	e.want(h, old)
	e.write(h, 10, []byte("still here"))
	copy(old[10:], "still here")
	must(t, h.Sync(ctx))
	e.want(h, old)
	e.wantFile("f", next)
	if rec, err := e.v.GetAttr(ctx, h.Ino()); err != nil || rec.Nlink != 0 {
		t.Errorf("the replaced file is %+v, %v", rec, err)
	}
	h.Release(ctx)
	e.wantFile("f", next)
	e.reopen()
	e.wantFile("f", next)
	e.noOrphans()
}

func TestLink(t *testing.T) {
	e := newEnv(t)
	p := pattern(1000, 1)
	ino := e.put("f", p)
	d := e.mkdir(root, "d")
	rec, err := e.v.Link(ctx, ino, d, "g")
	must(t, err)
	if rec.Nlink != 2 {
		t.Errorf("%d links, want 2", rec.Nlink)
	}
	_, err = e.v.Link(ctx, ino, d, "g")
	wantErr(t, err, volume.ErrExists)
	_, err = e.v.Link(ctx, d, root, "x")
	wantErr(t, err, volume.ErrNotPermit)
	_, err = e.v.Link(ctx, 9999, root, "x")
	wantErr(t, err, volume.ErrStale)
	must(t, e.v.Unlink(ctx, root, "f"))
	must(t, e.v.Rename(ctx, d, "g", root, "h", 0))
	e.wantFile("h", p)
	if got := e.lookup("h"); got.Nlink != 1 || got.Ino != ino {
		t.Errorf("the file is %+v", got)
	}
}
