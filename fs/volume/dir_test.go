package volume_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// list reads a directory from a position on, at most limit names.
func (e *env) list(dir namespace.Ino, cookie uint64, limit int) (names []string, last uint64) {
	e.t.Helper()
	last = cookie
	must(e.t, e.v.ReadDir(ctx, dir, cookie, true, func(ent volume.Entry) bool {
		if len(names) == limit {
			return false
		}
		if ent.Inode == nil || ent.Inode.Ino != ent.Ino {
			e.t.Errorf("entry %q comes with inode %+v", ent.Name, ent.Inode)
		}
		names, last = append(names, ent.Name), ent.Cookie
		return true
	}))
	return names, last
}

func TestCreateErrors(t *testing.T) {
	e := newEnv(t)
	file := volume.Node{Mode: volume.ModeFile | 0o644}
	e.put("f", nil)
	f := e.lookup("f").Ino
	for _, c := range []struct {
		dir  namespace.Ino
		name string
		what volume.Node
		want error
	}{
		{root, "f", file, volume.ErrExists},
		{root, strings.Repeat("x", 256), file, volume.ErrNameTooLong},
		{root, "", file, volume.ErrInvalid},
		{root, "..", file, volume.ErrInvalid},
		{f, "x", file, volume.ErrNotDir},
		{9999, "x", file, volume.ErrNotFound},
		{root, "l", volume.Node{Mode: volume.ModeLink | 0o777, Target: strings.Repeat("x", 4096)}, volume.ErrNameTooLong},
	} {
		_, err := e.v.Create(ctx, c.dir, c.name, c.what)
		wantErr(t, err, c.want)
	}
	name := strings.Repeat("\xff", 255)
	e.put(name, nil)
	e.lookup(name)
	_, err := e.v.Lookup(ctx, root, name+"x")
	wantErr(t, err, volume.ErrNameTooLong)
	_, err = e.v.Lookup(ctx, root, "nothing")
	wantErr(t, err, volume.ErrNotFound)
}

func TestKindsOfInode(t *testing.T) {
	e := newEnv(t)
	l, err := e.v.Create(ctx, root, "l", volume.Node{Mode: volume.ModeLink | 0o777, Target: "a/b"})
	must(t, err)
	dev, err := e.v.Create(ctx, root, "dev", volume.Node{Mode: 0o020600, Rdev: 0x1234, UID: 5, GID: 6})
	must(t, err)
	e.reopen()
	if got := e.lookup("l"); got.Target != "a/b" || got.Size != 3 || got.Ino != l.Ino {
		t.Errorf("symlink is %+v", got)
	}
	if got := e.lookup("dev"); got.Rdev != 0x1234 || got.UID != 5 || got.GID != 6 || got.Ino != dev.Ino {
		t.Errorf("device is %+v", got)
	}
}

func TestSetgidDirectory(t *testing.T) {
	e := newEnv(t)
	dir, err := e.v.Create(ctx, root, "d", volume.Node{Mode: volume.ModeDir | volume.ModeSetgid | 0o770, GID: 77})
	must(t, err)
	sub, err := e.v.Create(ctx, dir.Ino, "sub", volume.Node{Mode: volume.ModeDir | 0o750, GID: 1})
	must(t, err)
	file, err := e.v.Create(ctx, dir.Ino, "file", volume.Node{Mode: volume.ModeFile | 0o640, GID: 1})
	must(t, err)
	if sub.GID != 77 || sub.Mode&volume.ModeSetgid == 0 || file.GID != 77 || file.Mode&volume.ModeSetgid != 0 {
		t.Errorf("directory has group %d mode %o, file has group %d mode %o", sub.GID, sub.Mode, file.GID, file.Mode)
	}
}

func TestDirectoryLinks(t *testing.T) {
	e := newEnv(t)
	a, b := e.mkdir(root, "a"), e.mkdir(root, "b")
	e.mkdir(a, "x")
	nlink := func(ino namespace.Ino, want uint32) {
		t.Helper()
		rec, err := e.v.GetAttr(ctx, ino)
		must(t, err)
		if rec.Nlink != want {
			t.Errorf("inode %d has %d links, want %d", ino, rec.Nlink, want)
		}
	}
	nlink(root, 4)
	nlink(a, 3)
	must(t, e.v.Rename(ctx, a, "x", b, "y", 0))
	nlink(a, 2)
	nlink(b, 3)
	wantErr(t, e.v.Rmdir(ctx, root, "b"), volume.ErrNotEmpty)
	wantErr(t, e.v.Unlink(ctx, root, "b"), volume.ErrIsDir)
	must(t, e.v.Rmdir(ctx, b, "y"))
	must(t, e.v.Rmdir(ctx, root, "b"))
	nlink(root, 3)
	e.put("f", nil)
	wantErr(t, e.v.Rmdir(ctx, root, "f"), volume.ErrNotDir)
	wantErr(t, e.v.Rmdir(ctx, root, "nothing"), volume.ErrNotFound)
}

// TestRemovedDirectory must not take new entries while it is still open.
func TestRemovedDirectory(t *testing.T) {
	e := newEnv(t)
	d := e.mkdir(root, "d")
	e.put("f", nil)
	h, err := e.v.Open(ctx, d, volume.OpenFlags{Read: true})
	must(t, err)
	must(t, e.v.Rmdir(ctx, root, "d"))
	_, err = e.v.Create(ctx, d, "x", volume.Node{Mode: volume.ModeFile})
	wantErr(t, err, volume.ErrNotFound)
	_, err = e.v.Link(ctx, e.lookup("f").Ino, d, "x")
	wantErr(t, err, volume.ErrNotFound)
	wantErr(t, e.v.Rename(ctx, root, "f", d, "x", 0), volume.ErrNotFound)
	_, _, err = e.v.Tmpfile(ctx, d, volume.Node{Mode: volume.ModeFile}, rw)
	wantErr(t, err, volume.ErrNotFound)
	if names, _ := e.list(d, 0, -1); len(names) != 0 {
		t.Errorf("a removed directory has %q", names)
	}
	rec, err := e.v.GetAttr(ctx, d)
	must(t, err)
	if rec.Nlink != 0 {
		t.Errorf("a removed directory has %d links", rec.Nlink)
	}
	h.Release(ctx)
}

// TestGhost asks for the attributes of what is gone, as the working directory of a process may be.
func TestGhost(t *testing.T) {
	e := newEnv(t)
	d := e.mkdir(root, "d")
	must(t, e.v.Rmdir(ctx, root, "d"))
	rec, err := e.v.GetAttr(ctx, d)
	must(t, err)
	if rec.Nlink != 0 {
		t.Errorf("a removed directory has %d links", rec.Nlink)
	}
	e.v.Forget(d)
	_, err = e.v.GetAttr(ctx, d)
	wantErr(t, err, volume.ErrStale)
	_, err = e.v.Open(ctx, d, volume.OpenFlags{Read: true})
	wantErr(t, err, volume.ErrStale)
}

// TestReadDirStable reads a directory in small steps while others are made and removed: those that stay come once.
func TestReadDirStable(t *testing.T) {
	e := newEnv(t)
	const stay = 200
	for i := range stay {
		e.put(fmt.Sprintf("stay%d", i), nil)
		e.put(fmt.Sprintf("go%d", i), nil)
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			name := fmt.Sprintf("come%d", i)
			if _, err := e.v.Create(ctx, root, name, volume.Node{Mode: volume.ModeFile}); err != nil {
				t.Error(err)
			}
			if i < stay {
				if err := e.v.Unlink(ctx, root, fmt.Sprintf("go%d", i)); err != nil {
					t.Error(err)
				}
			}
			if i%2 == 0 {
				if err := e.v.Rename(ctx, root, name, root, fmt.Sprintf("moved%d", i), 0); err != nil {
					t.Error(err)
				}
			} else if err := e.v.Unlink(ctx, root, name); err != nil {
				t.Error(err)
			}
		}
	})
	for range 5 {
		seen := map[string]int{}
		for cookie, n := uint64(0), 0; len(seen) <= 2*stay; n++ {
			names, last := e.list(root, cookie, 7)
			if len(names) == 0 {
				break
			}
			for _, name := range names {
				seen[name]++
			}
			cookie = last
		}
		for i := range stay {
			if n := seen[fmt.Sprintf("stay%d", i)]; n != 1 {
				t.Fatalf("stay%d was listed %d times", i, n)
			}
		}
		for name, n := range seen {
			if n != 1 {
				t.Fatalf("%s was listed %d times", name, n)
			}
		}
	}
	close(quit)
	wg.Wait()
}

func TestResolveAndPath(t *testing.T) {
	e := newEnv(t)
	a := e.mkdir(root, "a")
	b := e.mkdir(a, "b")
	rec, h := e.createIn(b, "c")
	e.done(h)
	if got := e.v.Path(ctx, rec.Ino); got != "/a/b/c" {
		t.Errorf("path is %q", got)
	}
	if got := e.v.Path(ctx, root); got != "/" {
		t.Errorf("path of the root is %q", got)
	}
	got, err := e.v.Resolve(ctx, []string{"", "a", ".", "b", "c"})
	must(t, err)
	if got.Ino != rec.Ino {
		t.Errorf("resolved to %d, want %d", got.Ino, rec.Ino)
	}
	_, err = e.v.Resolve(ctx, []string{"a", "b", "c", "d"})
	wantErr(t, err, volume.ErrNotDir)
	_, err = e.v.Resolve(ctx, []string{"a", "x"})
	wantErr(t, err, volume.ErrNotFound)
	if p, err := e.v.Parent(ctx, b); err != nil || p != a {
		t.Errorf("parent is %d, %v", p, err)
	}
}
