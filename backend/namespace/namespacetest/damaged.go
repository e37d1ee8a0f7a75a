package namespacetest

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// damaged has records that can't be true, each with a number of its own as inode.
func damaged() []namespace.Record {
	key := blob.NewKey(9, 9)
	return []namespace.Record{
		&namespace.Inode{Ino: 101, Mode: 0o100644, Size: 1 << 63},
		&namespace.Inode{Ino: 103, Bytes: math.MaxUint64},
		&namespace.Inode{Ino: 104, Mtime: namespace.Time{Nsec: 1_000_000_000}},
		&namespace.Inode{Ino: 105, Target: strings.Repeat("x", 4096)},
		&namespace.Dentry{Parent: 106, Name: "none", Ino: 0, Cookie: 50},
		&namespace.Dentry{Parent: 107, Name: "negative", Ino: math.MaxUint64, Cookie: 50},
		&namespace.Extent{Ino: 108, Len: 100, Inline: []byte("short")},
		&namespace.Extent{Ino: 109, Len: 2, Inline: []byte("too long")},
		&namespace.Extent{Ino: 110, Off: 5, Len: 0, Blob: key},
		&namespace.Extent{Ino: 111, Off: math.MaxUint64, Len: 6, Blob: key}, // ends at 5
		&namespace.Extent{Ino: 112, Len: 10, Blob: key, BlobOff: 1<<63 - 5},
		&namespace.Extent{Ino: 113, Len: 10, Blob: "short key"},
		&namespace.Xattr{Ino: 114, Name: strings.Repeat("n", 256)},
		&namespace.Xattr{Ino: 115, Name: "user.a", Value: make([]byte, 64<<10+1)},
		&namespace.Blob{Blob: blob.NewKey(9, 1), Size: 1 << 63, Refs: 1},
		&namespace.Blob{Blob: "short", Refs: 1},
		&namespace.Hold{Ino: 116, Kind: 77, Session: 1},
	}
}

// RunDamaged tests that a store tells of each record that can't be true, and that those beside it are none the worse. plant
// stores a record without a look at it.
func RunDamaged(t *testing.T, open func(t *testing.T) (s namespace.Store, plant func(rec namespace.Record))) {
	t.Helper()
	for i, rec := range damaged() {
		t.Run(fmt.Sprintf("%d %T", i, rec), func(t *testing.T) {
			s, plant := open(t)
			good := neighbour(rec)
			put(t, s, good)
			plant(rec)
			for range 2 { // the second time with what the store has learned
				view(t, s, func(tx namespace.Tx) error {
					testDamaged(t, tx, rec, good)
					return nil
				})
				update(t, s, func(tx namespace.Tx) error {
					testDamaged(t, tx, rec, good)
					return nil
				})
			}
			testDamagedWant(t, s, rec)
			if err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
				tx.Put(rec)
				return nil
			}); !errors.Is(err, namespace.ErrCorrupt) {
				t.Errorf("putting it: %v", err)
			}
			update(t, s, func(tx namespace.Tx) error {
				tx.Delete(rec.Key())
				return nil
			})
			view(t, s, func(tx namespace.Tx) error {
				absent(t, tx, rec.Key())
				return nil
			})
		})
	}
}

// neighbour is a sound record of the same group.
func neighbour(rec namespace.Record) namespace.Record {
	switch r := rec.(type) {
	case *namespace.Inode:
		return &namespace.Inode{Ino: r.Ino + 1000}
	case *namespace.Dentry:
		return &namespace.Dentry{Parent: r.Parent, Name: "zzz", Ino: 5, Cookie: 60}
	case *namespace.Extent:
		return &namespace.Extent{Ino: r.Ino, Off: 1000, Len: 2, Inline: []byte("ok")}
	case *namespace.Xattr:
		return &namespace.Xattr{Ino: r.Ino, Name: "zzz"}
	case *namespace.Blob:
		return &namespace.Blob{Blob: blob.Key(strings.Repeat("\xfe", 20)), Refs: 1}
	case *namespace.Hold:
		return &namespace.Hold{Ino: r.Ino, Kind: namespace.HoldOpen, Session: 2}
	}
	return nil
}

func isDamaged(t *testing.T, what string, err error, rec namespace.Record) {
	t.Helper()
	d := namespace.IsDamaged(err)
	if d == nil || d.Key != rec.Key() || !errors.Is(err, namespace.ErrCorrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

// testDamaged gets the record and scans its group and its kind.
func testDamaged(t *testing.T, tx namespace.Tx, rec, good namespace.Record) {
	t.Helper()
	_, err := tx.Get(rec.Key())
	isDamaged(t, "get", err, rec)
	for _, from := range []namespace.Key{groupOf(rec), wholeOf(rec)} {
		found, bad := 0, 0
		for got, err := range tx.Scan(from, 0) {
			switch {
			case err != nil:
				isDamaged(t, fmt.Sprintf("scan from %+v", from), err, rec)
				bad++
			case got.Key() == good.Key():
				found++
			}
		}
		if found != 1 || bad != 1 {
			t.Errorf("a scan from %+v met it %d times, and the one beside it %d times", from, bad, found)
		}
	}
}

func groupOf(rec namespace.Record) namespace.Key {
	switch r := rec.(type) {
	case *namespace.Dentry:
		return namespace.DentryKey{Parent: r.Parent}
	case *namespace.Extent:
		return namespace.ExtentKey{Ino: r.Ino}
	case *namespace.Xattr:
		return namespace.XattrKey{Ino: r.Ino}
	case *namespace.Hold:
		return namespace.HoldKey{Ino: r.Ino}
	}
	return wholeOf(rec)
}

func wholeOf(rec namespace.Record) namespace.Key {
	switch rec.(type) {
	case *namespace.Inode:
		return namespace.InodeKey{}
	case *namespace.Dentry:
		return namespace.DentryKey{}
	case *namespace.Extent:
		return namespace.ExtentKey{}
	case *namespace.Xattr:
		return namespace.XattrKey{}
	case *namespace.Blob:
		return namespace.BlobKey{}
	}
	return namespace.HoldKey{}
}

// testDamagedWant asks for it in the ways of a Want.
func testDamagedWant(t *testing.T, s namespace.Store, rec namespace.Record) {
	t.Helper()
	var want namespace.Want
	switch r := rec.(type) {
	case *namespace.Inode:
		want.Inodes = []namespace.InodeWant{{Ino: r.Ino}}
	case *namespace.Dentry:
		want.Entries = []namespace.EntryWant{{Parent: r.Parent, Name: r.Name}}
	case *namespace.Extent:
		want.Extents = []namespace.RangeWant{{Ino: r.Ino, First: 17}, {Ino: r.Ino, From: 0, To: 1 << 20}}
	case *namespace.Xattr:
		want.Xattrs = []namespace.XattrKey{{Ino: r.Ino, Name: r.Name}}
	default:
		return
	}
	get := func(tx namespace.Tx) error {
		_, err := tx.Get(rec.Key())
		isDamaged(t, "get what was wanted", err, rec)
		return nil
	}
	check(t, s.View(ctx, want, get))
	check(t, s.Update(ctx, namespace.OpID{}, want, get))
}
