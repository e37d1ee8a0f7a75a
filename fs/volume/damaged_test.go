package volume_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// sql changes rows behind the daemon's back.
func sql(t testing.TB, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	must(t, err)
	for _, s := range statements {
		tag, err := conn.Exec(ctx, s)
		must(t, err)
		if tag.RowsAffected() == 0 {
			t.Fatalf("%s: no row", s)
		}
	}
	must(t, conn.Close(ctx))
}

func namesIn(t testing.TB, v *volume.Volume, dir namespace.Ino) (list []string) {
	t.Helper()
	must(t, v.ReadDir(ctx, dir, 0, true, func(e volume.Entry) bool {
		list = append(list, e.Name)
		return true
	}))
	return list
}

func corrupt(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, namespace.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestDamagedRows has rows that can't be true: they are errors of their files, which the writer is told, and everything
// else goes on.
func TestDamagedRows(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	cfg := testConfig()
	cfg.Shared, cfg.Lease = true, testLease
	h := newHost(t, url, cfg)
	short := h.put("short", pattern(1000, 1))
	size := h.put("size", pattern(10, 2))
	h.put("sound", pattern(1000, 3))
	_, many := h.createIn(root, "many")
	for i := range uint64(30) {
		h.write(many, 1000*i, pattern(10, byte(i)))
	}
	h.done(many)
	must(t, h.v.SetXattr(ctx, short, "user.a", []byte("b"), volume.XattrAny))
	h.close()
	h.gone = true
	sql(t, url,
		fmt.Sprintf("UPDATE extents SET inline = substring(inline FOR 3) WHERE ino = %d", short),
		fmt.Sprintf("UPDATE extents SET inline = substring(inline FOR 3) WHERE ino = %d AND end_off = 25010", many.Ino()),
		fmt.Sprintf("UPDATE inodes SET size = -1 WHERE ino = %d", size),
		"INSERT INTO blob_refs VALUES (decode(repeat('ab', 20), 'hex'), -5, 0, false, 0, 0)",
		"INSERT INTO orphans VALUES (0, 1)",
		"INSERT INTO usage VALUES (1, 1, 9223372036854775807, 0), (1, 2, 9223372036854775807, 0)",
		fmt.Sprintf("INSERT INTO dentries VALUES (%d, 'nothing', 0, 0, 1000)", root),
	)
	h = newHost(t, url, cfg)
	_, err := h.v.Open(ctx, short, volume.OpenFlags{Read: true, Write: true})
	corrupt(t, "open", err)
	writeBeside(t, h.env)
	_, err = h.v.Lookup(ctx, root, "size")
	corrupt(t, "lookup", err)
	h.wantFile("sound", pattern(1000, 3))
	if list := namesIn(t, h.v, root); !slices.Equal(list, []string{"short", "size", "sound", "many"}) {
		t.Errorf("listed %v", list)
	}
	if _, err := h.v.Collect(ctx, 0, true); err != nil {
		t.Errorf("gc: %v", err)
	}
	damaged := map[string]bool{}
	for _, f := range h.fsck() {
		if f.Code == volume.CodeDamaged {
			damaged[f.Path] = true
		}
	}
	for _, path := range []string{"/short", "/many", "?", "-", "/"} {
		if !damaged[path] {
			t.Errorf("fsck found %v", damaged)
		}
	}
	must(t, h.v.Unlink(ctx, root, "short"))
	h.put("short", pattern(5, 1))
	h.wantFile("short", pattern(5, 1))
	h.v.Abandon()
	h.gone = true
}

// writeBeside writes to a file of which one extent is damaged: over that one, which fails, and beside it.
func writeBeside(t *testing.T, e *env) {
	t.Helper()
	f := e.openFile("many")
	_, err := f.Read(ctx, make([]byte, 10), 25000)
	corrupt(t, "read", err)
	e.write(f, 25005, []byte("new"))
	corrupt(t, "fsync", f.Sync(ctx))
	e.write(f, 25005, []byte("new"))
	corrupt(t, "close", f.Flush(ctx))
	corrupt(t, "fsync after it", f.Sync(ctx)) // to which it is told once more
	e.write(f, 3, []byte("new"))
	must(t, f.Sync(ctx))
	p := make([]byte, 6)
	_, err = f.Read(ctx, p, 0)
	must(t, err)
	if want := append(pattern(10, 0)[:3], "new"...); string(p) != string(want) {
		t.Errorf("read %q, want %q", p, want)
	}
	f.Release(ctx)
}

// makeCycle moves a directory below another one by its records, as no rename can.
func makeCycle(dir, below namespace.Ino) func(namespace.Tx) error {
	return func(tx namespace.Tx) error {
		for ent, err := range namespace.Scan[*namespace.Dentry](tx, namespace.DentryKey{Parent: root}, 0) {
			if err != nil {
				return err
			}
			if ent.Ino == dir {
				tx.Delete(ent.Key())
			}
		}
		tx.Put(&namespace.Dentry{Parent: below, Name: "self", Ino: dir, Type: volume.ModeDir, Cookie: 15})
		return edit(namespace.InodeKey{Ino: dir}, func(r *namespace.Inode) { r.Parent = below })(tx)
	}
}

// TestCycle walks a volume whose directories make a circle: each walk ends.
func TestCycle(t *testing.T) {
	e := newEnv(t)
	a := e.mkdir(root, "a")
	b := e.mkdir(a, "b")
	other := e.mkdir(root, "other")
	rec, h := e.createIn(b, "f")
	e.write(h, 0, pattern(100, 1))
	e.done(h)
	change(t, e.ns, makeCycle(a, b))
	// The same circle, which can be reached from the root.
	change(t, e.ns, put(&namespace.Dentry{Parent: root, Name: "in", Ino: a, Type: volume.ModeDir, Cookie: 16}))

	var steps []volume.CompactStep
	sum, err := e.v.CompactPath(ctx, "/", volume.CompactOptions{}, func(s volume.CompactStep) error {
		steps = append(steps, s)
		return nil
	})
	must(t, err)
	if sum.Looked != 1 || sum.Failed != 1 || !slices.ContainsFunc(steps, func(s volume.CompactStep) bool {
		return s.Path == "/in/b/self" && strings.Contains(s.Error, "met before")
	}) {
		t.Errorf("compacted %+v in %+v", sum, steps)
	}
	if p := e.v.Path(ctx, rec.Ino); p != "(cycle)/self/b/f" && p != "(cycle)/b/f" {
		t.Errorf("the path is %q", p)
	}
	corrupt(t, "rename into it", e.v.Rename(ctx, root, "other", b, "x", 0))
	_ = other
	found := e.fsck()
	if n := len(found); !slices.ContainsFunc(found, func(f volume.Finding) bool { return f.Code == volume.CodeCycle }) || n > 10 {
		t.Errorf("found %+v", found)
	}
	e.v.Abandon()
	e.v = nil
}

// TestMalformedName has names that no system call can say: they are listed, renamed and removed under another.
func TestMalformedName(t *testing.T) {
	for _, name := range []string{"a/b", "..", ".", "", "x\x00y", strings.Repeat("n", 300)} {
		e := newEnv(t)
		e.put("before", nil)
		bad, worse := e.put("bad", pattern(10, 1)), e.put("worse", pattern(20, 1))
		e.put("behind", nil)
		change(t, e.ns, func(tx namespace.Tx) error {
			for was, is := range map[string]string{"bad": name, "worse": name + "/"} {
				ent, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: root, Name: was})
				if err != nil {
					return err
				}
				tx.Delete(ent.Key())
				ent.Name = is
				tx.Put(ent)
			}
			return nil
		})
		if found := e.fsck(); len(found) != 2 || found[0].Code != volume.CodeName || found[1].Code != volume.CodeName {
			t.Errorf("%q: found %+v", name, found)
		}
		list := namesIn(t, e.v, root)
		if len(list) != 4 || namespace.CheckName(list[1]) != nil || namespace.CheckName(list[2]) != nil {
			t.Fatalf("%q: listed %q", name, list)
		}
		if rec := e.lookup(list[1]); rec.Ino != bad {
			t.Errorf("%q: %s is inode %d, want %d", name, list[1], rec.Ino, bad)
		}
		must(t, e.v.Rename(ctx, root, list[1], root, "good", 0))
		if rec := e.lookup("good"); rec.Ino != bad {
			t.Errorf("%q: good is inode %d", name, rec.Ino)
		}
		if rec := e.lookup(list[2]); rec.Ino != worse {
			t.Errorf("%q: %s is inode %d", name, list[2], rec.Ino)
		}
		must(t, e.v.Unlink(ctx, root, list[2]))
		if list := namesIn(t, e.v, root); !slices.Equal(list, []string{"before", "behind", "good"}) {
			t.Errorf("%q: listed %q", name, list)
		}
		e.sound()
	}
}
