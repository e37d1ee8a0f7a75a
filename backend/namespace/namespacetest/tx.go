package namespacetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

func testReadYourWrites(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20, Mode: 1}, &namespace.Inode{Ino: 21, Mode: 1})
	update(t, s, func(tx namespace.Tx) error {
		for _, rec := range samples() {
			absentUnless(t, tx, rec)
			tx.Put(rec)
			got, err := tx.Get(rec.Key())
			check(t, err)
			equal(t, got, rec)
		}
		tx.Put(&namespace.Inode{Ino: 20, Mode: 2})
		tx.Put(&namespace.Inode{Ino: 20, Mode: 3})
		got, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		check(t, err)
		if got.Mode != 3 {
			t.Errorf("mode is %d, want 3", got.Mode)
		}
		tx.Delete(namespace.InodeKey{Ino: 20})
		absent(t, tx, namespace.InodeKey{Ino: 20})
		tx.Put(&namespace.Inode{Ino: 20, Mode: 4})
		tx.Apply(namespace.InodeKey{Ino: 20}, namespace.Delta{Nlink: 7})
		got, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		check(t, err)
		equal(t, got, &namespace.Inode{Ino: 20, Mode: 4, Nlink: 7})
		tx.Delete(namespace.InodeKey{Ino: 21})
		return nil
	})
	equal(t, read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}), &namespace.Inode{Ino: 20, Mode: 4, Nlink: 7})
	view(t, s, func(tx namespace.Tx) error {
		absent(t, tx, namespace.InodeKey{Ino: 21})
		return nil
	})
}

// absentUnless wants no record, but for those that the test has made.
func absentUnless(t *testing.T, tx namespace.Tx, rec namespace.Record) {
	t.Helper()
	if r, ok := rec.(*namespace.Inode); ok && (r.Ino == 20 || r.Ino == 21) {
		return
	}
	absent(t, tx, rec.Key())
}

func testScanYourWrites(t *testing.T, s namespace.Store) {
	name := func(i int) string { return fmt.Sprintf("n%02d", i) }
	dentry := func(i int, ino namespace.Ino) *namespace.Dentry {
		return &namespace.Dentry{Parent: 30, Name: name(i), Ino: ino, Cookie: uint64(i)}
	}
	for i := 0; i < 20; i += 2 {
		put(t, s, dentry(i, 1))
	}
	put(t, s, &namespace.Dentry{Parent: 31, Name: "next", Ino: 1, Cookie: 1})
	update(t, s, func(tx namespace.Tx) error {
		var want []*namespace.Dentry
		for i := range 25 {
			switch {
			case i%6 == 0: // deleted, or never there
				tx.Delete(namespace.DentryKey{Parent: 30, Name: name(i)})
			case i%2 == 1 || i >= 20 || i%5 == 0: // new, or changed
				tx.Put(dentry(i, 2))
				want = append(want, dentry(i, 2))
			default:
				want = append(want, dentry(i, 1))
			}
		}
		tx.Put(&namespace.Dentry{Parent: 29, Name: "before", Ino: 1, Cookie: 1})
		for _, from := range []namespace.Key{namespace.DentryKey{Parent: 30}, namespace.CookieKey{Parent: 30}} {
			equalAll(t, scan[*namespace.Dentry](t, tx, from, 0), want)
			equalAll(t, scan[*namespace.Dentry](t, tx, from, 4), want[:4])
		}
		equalAll(t, scan[*namespace.Dentry](t, tx, namespace.DentryKey{Parent: 30, Name: want[9].Name}, 0), want[9:])
		return nil
	})
}

// testDeleteDuringScan truncates a file as fs/volume does: delete and trim what the scan finds.
func testDeleteDuringScan(t *testing.T, s namespace.Store) {
	const n = 200
	update(t, s, func(tx namespace.Tx) error {
		for i := range uint64(n) {
			tx.Put(&namespace.Extent{Ino: 20, Off: i * 10, Len: 10, Blob: blob.NewKey(1, i)})
		}
		return nil
	})
	update(t, s, func(tx namespace.Tx) error {
		seen := 0
		for e, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: 20, End: 1001}, 0) {
			check(t, err)
			tx.Delete(e.Key())
			tx.Apply(namespace.UsageKey{Session: 1}, namespace.Delta{Bytes: -10})
			seen++
		}
		if seen != n-100 {
			t.Errorf("the scan found %d extents, want %d", seen, n-100)
		}
		if got := len(scan[*namespace.Extent](t, tx, namespace.ExtentKey{Ino: 20}, 0)); got != 100 {
			t.Errorf("%d extents are left, want 100", got)
		}
		return nil
	})
	if got := len(scanned[*namespace.Extent](t, s, namespace.ExtentKey{Ino: 20}, 0)); got != 100 {
		t.Errorf("%d extents are left, want 100", got)
	}
}

func testFailedWritesNothing(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20, Mode: 1}, &namespace.Inode{Ino: 21})
	mine := errors.New("mine")
	err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		for _, rec := range samples() {
			tx.Put(rec)
		}
		tx.Put(&namespace.Inode{Ino: 20, Mode: 2})
		tx.Delete(namespace.InodeKey{Ino: 21})
		tx.Apply(namespace.UsageKey{Session: 5}, namespace.Delta{Bytes: 1})
		return mine
	})
	if err != mine { //nolint:errorlint // as it is
		t.Errorf("error is %v, want fn's own", err)
	}
	view(t, s, func(tx namespace.Tx) error {
		for _, rec := range samples() {
			absent(t, tx, rec.Key())
		}
		absent(t, tx, namespace.UsageKey{Session: 5})
		_, err := tx.Get(namespace.InodeKey{Ino: 21})
		check(t, err)
		return nil
	})
	if m := read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}).Mode; m != 1 {
		t.Errorf("mode is %d, want 1", m)
	}
	// The store goes on.
	put(t, s, &namespace.Inode{Ino: 20, Mode: 3})
	if err := s.View(ctx, namespace.Want{}, func(namespace.Tx) error { return mine }); err != mine { //nolint:errorlint // as it is
		t.Errorf("error is %v, want fn's own", err)
	}
}

func testViewWritesNothing(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20, Mode: 1})
	for _, write := range []func(tx namespace.Tx){
		func(tx namespace.Tx) { tx.Put(&namespace.Inode{Ino: 20, Mode: 2}) },
		func(tx namespace.Tx) { tx.Delete(namespace.InodeKey{Ino: 20}) },
		func(tx namespace.Tx) { tx.Apply(namespace.InodeKey{Ino: 20}, namespace.Delta{Nlink: 1}) },
	} {
		err := s.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			write(tx)
			return nil
		})
		fails(t, err, namespace.ErrReadOnly)
	}
	equal(t, read[*namespace.Inode](t, s, namespace.InodeKey{Ino: 20}), &namespace.Inode{Ino: 20, Mode: 1})
}

func testWants(t *testing.T, s namespace.Store) {
	put(t, s, &namespace.Inode{Ino: 20}, &namespace.Dentry{Parent: 20, Name: "a", Ino: 21, Cookie: 1}, &namespace.Inode{Ino: 21},
		&namespace.Extent{Ino: 21, Off: 0, Len: 10, Blob: blob.NewKey(1, 1)}, &namespace.Xattr{Ino: 21, Name: "user.x"})
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: 20, Lock: namespace.Shared}, {Ino: 404, Lock: namespace.Exclusive}},
		Entries: []namespace.EntryWant{
			{Parent: 20, Name: "a", Lock: namespace.Exclusive, Empty: true}, {Parent: 20, Name: "none"},
		},
		Extents:  []namespace.RangeWant{{Ino: 21, From: 5, To: 100}, {Ino: 404}},
		Xattrs:   []namespace.XattrKey{{Ino: 21, Name: "user.x"}, {Ino: 21, Name: "none"}},
		Reclaims: true,
	}
	fn := func(tx namespace.Tx) error {
		for _, key := range []namespace.Key{
			namespace.InodeKey{Ino: 20}, namespace.DentryKey{Parent: 20, Name: "a"}, namespace.InodeKey{Ino: 21},
			namespace.ExtentKey{Ino: 21, End: 10}, namespace.XattrKey{Ino: 21, Name: "user.x"},
		} {
			_, err := tx.Get(key)
			check(t, err)
		}
		absent(t, tx, namespace.InodeKey{Ino: 404})
		absent(t, tx, namespace.DentryKey{Parent: 20, Name: "none"})
		absent(t, tx, namespace.XattrKey{Ino: 21, Name: "none"})
		return nil
	}
	check(t, s.View(ctx, want, fn))
	check(t, s.Update(ctx, namespace.OpID{1}, want, fn))
}

func testCancelled(t *testing.T, s namespace.Store) {
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	fn := func(namespace.Tx) error {
		t.Error("fn ran under a cancelled context")
		return nil
	}
	fails(t, s.View(cancelled, namespace.Want{}, fn), context.Canceled)
	fails(t, s.Update(cancelled, namespace.OpID{}, namespace.Want{}, fn), context.Canceled)
	fails(t, s.Sync(cancelled), context.Canceled)
	during, cancel := context.WithCancel(ctx)
	err := s.Update(during, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: 20})
		cancel()
		return nil
	})
	fails(t, err, context.Canceled)
	view(t, s, func(tx namespace.Tx) error {
		absent(t, tx, namespace.InodeKey{Ino: 20})
		return nil
	})
}

func testSync(t *testing.T, s namespace.Store) {
	check(t, s.Sync(ctx))
	put(t, s, &namespace.Inode{Ino: 20})
	check(t, s.Sync(ctx))
	check(t, s.Sync(ctx))
	errs := make(chan error)
	for i := range 16 {
		go func() {
			err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
				tx.Put(&namespace.Inode{Ino: namespace.Ino(100 + i)})
				return nil
			})
			if err == nil {
				err = s.Sync(ctx)
			}
			errs <- err
		}()
	}
	for range 16 {
		check(t, <-errs)
	}
}

// testPanics has transactions panic, more often than a store may have connections: that is their error, and nothing of them
// stays.
func testPanics(t *testing.T, s namespace.Store) {
	for range 50 {
		var want namespace.Want
		fn := func(tx namespace.Tx) error {
			_, _ = tx.Get(namespace.InodeKey{Ino: 30})
			panic("in a transaction")
		}
		var p *panics.Error
		if err := s.View(ctx, want, fn); !errors.As(err, &p) {
			t.Fatalf("View: %v", err)
		}
		if err := s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: 30})
			return fn(tx)
		}); !errors.As(err, &p) {
			t.Fatalf("Update: %v", err)
		}
	}
	view(t, s, func(tx namespace.Tx) error {
		absent(t, tx, namespace.InodeKey{Ino: 30})
		return nil
	})
	put(t, s, &namespace.Inode{Ino: 30})
}
