package namespacetest

import (
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

func apply(t *testing.T, s namespace.Store, key namespace.Key, deltas ...namespace.Delta) {
	t.Helper()
	update(t, s, func(tx namespace.Tx) error {
		for _, d := range deltas {
			tx.Apply(key, d)
		}
		return nil
	})
}

func testApplyInode(t *testing.T, s namespace.Store) {
	key := namespace.InodeKey{Ino: 20}
	base := namespace.Inode{Ino: 20, Mode: 0o40755, Nlink: 2, Size: 5, Mtime: at(1), Ctime: at(2), Atime: at(3), Target: "t"}
	put(t, s, &base)
	apply(t, s, key, namespace.Delta{Nlink: 1}, namespace.Delta{Nlink: 3}, namespace.Delta{Nlink: -2})
	apply(t, s, key, namespace.Delta{Mtime: at(10), Refs: 5, Bytes: 5, Inodes: 5}) // the rest is for other kinds
	apply(t, s, key, namespace.Delta{Ctime: at(11)})
	want := base
	want.Nlink, want.Mtime, want.Ctime = 4, at(10), at(11)
	equal(t, read[*namespace.Inode](t, s, key), &want)
	err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Apply(key, namespace.Delta{Nlink: -5})
		return nil
	})
	if err == nil {
		t.Error("an inode may have less than no links")
	}
	equal(t, read[*namespace.Inode](t, s, key), &want)
}

// testApplyTimes tells a time of a concurrent transaction, of which the latest stays, from one that somebody set.
func testApplyTimes(t *testing.T, s namespace.Store) {
	key := namespace.InodeKey{Ino: 20}
	now := at(100)
	soon := namespace.Time{Sec: now.Sec, Nsec: now.Nsec + 1000}
	put(t, s, &namespace.Inode{Ino: 20, Mtime: at(0), Ctime: at(0)})
	apply(t, s, key, namespace.Delta{Mtime: soon, Ctime: soon})
	apply(t, s, key, namespace.Delta{Mtime: now, Ctime: now}) // a microsecond too late
	if got := read[*namespace.Inode](t, s, key); got.Mtime != soon || got.Ctime != soon {
		t.Errorf("times are %v and %v, want the later %v", got.Mtime, got.Ctime, soon)
	}
	put(t, s, &namespace.Inode{Ino: 20, Mtime: at(1e9), Ctime: soon}) // touch -d 2055
	apply(t, s, key, namespace.Delta{Mtime: now})
	if got := read[*namespace.Inode](t, s, key); got.Mtime != now {
		t.Errorf("mtime is %v, want %v: a time in the future is replaced by a change", got.Mtime, now)
	}
}

func testApplyBlob(t *testing.T, s namespace.Store) {
	b := namespace.Blob{Blob: blob.NewKey(1, 1), Size: 100, Refs: 1, Since: at(1)}
	put(t, s, &b)
	apply(t, s, b.Key(), namespace.Delta{Refs: 2, Ctime: at(2)})
	b.Refs = 3
	equal(t, read[*namespace.Blob](t, s, b.Key()), &b)
	apply(t, s, b.Key(), namespace.Delta{Refs: -2, Ctime: at(3)}, namespace.Delta{Refs: -1, Ctime: at(4)})
	b.Refs, b.Since = 0, at(4)
	equal(t, read[*namespace.Blob](t, s, b.Key()), &b)
	apply(t, s, b.Key(), namespace.Delta{Refs: 0, Ctime: at(9)}) // became 0 before, not now
	equal(t, read[*namespace.Blob](t, s, b.Key()), &b)
	err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Apply(b.Key(), namespace.Delta{Refs: -1})
		return nil
	})
	if err == nil {
		t.Error("a blob may have less than no references")
	}
	equal(t, read[*namespace.Blob](t, s, b.Key()), &b)
}

func testApplyUsage(t *testing.T, s namespace.Store) {
	key := namespace.UsageKey{Session: 7}
	apply(t, s, key, namespace.Delta{Bytes: 100, Inodes: 1}) // makes it
	apply(t, s, key, namespace.Delta{Bytes: -300, Inodes: 2}, namespace.Delta{Inodes: -1})
	equal(t, read[*namespace.Usage](t, s, key), &namespace.Usage{Session: 7, Bytes: -200, Inodes: 2})

	var g errgroup.Group
	for range 8 {
		g.Go(func() error {
			for range 25 {
				err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
					tx.Apply(key, namespace.Delta{Bytes: 1, Inodes: -1})
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	check(t, g.Wait())
	equal(t, read[*namespace.Usage](t, s, key), &namespace.Usage{Session: 7, Bytes: 0, Inodes: -198})
}

func testApplyMissing(t *testing.T, s namespace.Store) {
	for _, key := range []namespace.Key{namespace.InodeKey{Ino: 404}, namespace.BlobKey{Blob: blob.NewKey(4, 4)}} {
		err := s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Put(&namespace.Inode{Ino: 20})
			tx.Apply(key, namespace.Delta{Nlink: 1, Refs: 1})
			return nil
		})
		fails(t, err, namespace.ErrNotFound)
		view(t, s, func(tx namespace.Tx) error {
			absent(t, tx, namespace.InodeKey{Ino: 20})
			absent(t, tx, key)
			return nil
		})
	}
}
