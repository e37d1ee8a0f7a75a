package pg

import (
	"errors"
	"fmt"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// TestGuess has another daemon change what this one remembers, each thing in its turn, and wants Updates to see it.
func TestGuess(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	db, other := openAt(t, Config{URL: url}), openAt(t, Config{URL: url}).Namespace()
	s := db.Namespace()
	const dir, file = namespace.Ino(20), namespace.Ino(21)
	put := func(s namespace.Store, recs ...namespace.Record) {
		t.Helper()
		check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			for _, r := range recs {
				tx.Put(r)
			}
			return nil
		}))
	}
	remove := func(s namespace.Store, keys ...namespace.Key) {
		t.Helper()
		check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			for _, k := range keys {
				tx.Delete(k)
			}
			return nil
		}))
	}
	entry := &namespace.Dentry{Parent: dir, Name: "f", Ino: file, Type: 0o100000, Cookie: 5}
	inode := namespace.Inode{Ino: file, Mode: 0o100644, Nlink: 1}
	extent := &namespace.Extent{Ino: file, Len: 3, Inline: []byte("abc")}
	put(s, &namespace.Inode{Ino: dir, Mode: 0o40755, Nlink: 2}, entry, &inode, extent)
	want := namespace.Want{
		Inodes:  []namespace.InodeWant{{Ino: dir, Lock: namespace.Shared}},
		Entries: []namespace.EntryWant{{Parent: dir, Name: "f", Lock: namespace.Exclusive, Contents: 65}},
	}
	seen := func() string {
		t.Helper()
		var out string
		check(t, s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			d, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: dir})
			if err != nil {
				return err
			}
			out = fmt.Sprintf("%o ", d.Mode)
			tx.Put(&namespace.Inode{Ino: 99})
			e, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: dir, Name: "f"})
			if errors.Is(err, namespace.ErrNotFound) {
				out += "no f"
				return nil
			}
			if err != nil {
				return err
			}
			i, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: e.Ino})
			if err != nil {
				return err
			}
			out += fmt.Sprintf("ino %d links %d size %d", i.Ino, i.Nlink, i.Size)
			for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: e.Ino}, 0) {
				if err != nil {
					return err
				}
				out += fmt.Sprintf(" extent %d+%d", x.Off, x.Len)
			}
			for x, err := range namespace.Scan[*namespace.Xattr](tx, namespace.XattrKey{Ino: e.Ino}, 0) {
				if err != nil {
					return err
				}
				out += " xattr " + x.Name
			}
			return nil
		}))
		return out
	}
	larger := inode
	larger.Size, larger.Nlink = 7, 2
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() {}, "40755 ino 21 links 1 size 0 extent 0+3"},
		{func() { put(other, &larger) }, "40755 ino 21 links 2 size 7 extent 0+3"},
		{func() { put(other, &namespace.Extent{Ino: file, Off: 3, Len: 4, Blob: "0123456789abcdef"}) }, "40755 ino 21 links 2 size 7 extent 0+3 extent 3+4"},
		{func() { remove(other, extent.Key()) }, "40755 ino 21 links 2 size 7 extent 3+4"},
		{
			func() { put(other, &namespace.Xattr{Ino: file, Name: "user.a", Value: []byte("b")}) },
			"40755 ino 21 links 2 size 7 extent 3+4 xattr user.a",
		},
		{func() { remove(other, namespace.XattrKey{Ino: file, Name: "user.a"}) }, "40755 ino 21 links 2 size 7 extent 3+4"},
		{func() { put(other, &namespace.Inode{Ino: dir, Mode: 0o40700, Nlink: 2}) }, "40700 ino 21 links 2 size 7 extent 3+4"},
		{func() { remove(other, entry.Key()) }, "40700 no f"},
		{func() { put(other, entry) }, "40700 ino 21 links 2 size 7 extent 3+4"},
	} {
		c.change()
		db.names.memory.paused.Store(0)
		for range 3 { // the later ones on a guess that is right
			if got := seen(); got != c.want {
				t.Fatalf("seen %q, want %q", got, c.want)
			}
			db.names.memory.paused.Store(0)
		}
	}
	if st := db.NamespaceStats(); st.Wrong < 6 || st.Guessed < st.Wrong+12 {
		t.Errorf("%d Updates began with a guess, %d of them with a wrong one", st.Guessed, st.Wrong)
	}
}

// TestUndo wants fn to be told before it runs again, so that it doesn't keep what others wait for.
func TestUndo(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	s, other := openAt(t, Config{URL: url}).Namespace(), openAt(t, Config{URL: url}).Namespace()
	makeInode(t, s, 20)
	check(t, count(other, func() {}))
	taken, runs := false, 0
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: 20, Lock: namespace.Exclusive}},
		Undo:   func() { taken = false },
	}
	check(t, s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
		if taken {
			t.Error("fn runs again with what it took before")
		}
		taken = true
		runs++
		r, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		if err != nil {
			return err
		}
		r.Size++
		tx.Put(r)
		return nil
	}))
	if runs != 2 || !taken {
		t.Errorf("fn ran %d times, and has taken %v after the last", runs, taken)
	}
	if n := sizeOf(t, s, 20); n != 2 {
		t.Errorf("the size is %d after two transactions that add one", n)
	}
}

// TestGuessOfNoExtents has another daemon remove all extents of an inode that stays as it was.
func TestGuessOfNoExtents(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	s, other := openAt(t, Config{URL: url}).Namespace(), openAt(t, Config{URL: url}).Namespace()
	const ino = namespace.Ino(20)
	extent := &namespace.Extent{Ino: ino, Len: 3, Blob: blob.NewKey(1, 1)}
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: ino, Mode: 0o100644, Nlink: 1, Size: 3, Bytes: 3})
		tx.Put(extent)
		return nil
	}))
	count := func() (n int) {
		t.Helper()
		want := namespace.Want{
			Inodes:  []namespace.InodeWant{{Ino: ino, Lock: namespace.Exclusive}},
			Extents: []namespace.RangeWant{{Ino: ino, From: 0, To: 3}},
		}
		check(t, s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			n = 0
			if _, err := tx.Get(namespace.InodeKey{Ino: ino}); err != nil {
				return err
			}
			for _, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino}, 0) {
				if err != nil {
					return err
				}
				n++
			}
			tx.Put(&namespace.Inode{Ino: 99})
			return nil
		}))
		return n
	}
	for range 2 { // the second on what the first has read
		if n := count(); n != 1 {
			t.Fatalf("%d extents, want 1", n)
		}
	}
	check(t, other.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Delete(extent.Key())
		return nil
	}))
	if n := count(); n != 0 {
		t.Errorf("%d extents are seen that another daemon removed", n)
	}
}
