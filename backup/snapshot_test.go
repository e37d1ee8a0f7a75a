package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/dump"
)

// used is a volume that loses blobs between a dump and the copy.
type used struct {
	db    *rocks.DB
	ns    namespace.Store
	t     *testing.T
	lose  []blob.Key // one after each dump
	dumps int
}

func newUsed(t *testing.T) *used {
	t.Helper()
	db := openDB(t)
	u := &used{db: db, ns: db.Namespace(), t: t}
	put(t, u.ns, &namespace.Volume{Format: 1, NextID: 20})
	return u
}

func openDB(t *testing.T) *rocks.DB {
	t.Helper()
	db, err := rocks.Open(rocks.Config{Path: t.TempDir()})
	check(t, err)
	t.Cleanup(func() { check(t, db.Close()) })
	return db
}

// add stores a blob that one file uses.
func (u *used) add(n uint64, data []byte) blob.Key {
	u.t.Helper()
	key := blob.NewKey(7, n)
	check(u.t, u.db.Blobs().Put(u.t.Context(), key, bytes.NewReader(data), int64(len(data)), nil))
	put(u.t, u.ns, &namespace.Blob{Blob: key, Size: uint64(len(data)), Refs: 1})
	return key
}

func (u *used) Dump(ctx context.Context, w io.Writer) error {
	_, err := dump.Write(ctx, u.ns, w)
	u.dumps++
	if len(u.lose) > 0 {
		key := u.lose[0]
		u.lose = u.lose[1:]
		check(u.t, u.db.Blobs().Delete(ctx, key))
		check(u.t, u.ns.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
			tx.Delete(namespace.BlobKey{Blob: key})
			return nil
		}))
	}
	return err
}

func (u *used) GetBlob(ctx context.Context, key blob.Key, off, n int64, w io.Writer) error {
	r, err := u.db.Blobs().Open(ctx, key, off, n)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, r.Close())
}

func snapshotConfig(t *testing.T, keep int) SnapshotConfig {
	t.Helper()
	return SnapshotConfig{
		Host: "here", Keep: keep, Dir: t.TempDir(), Claim: func(context.Context, string) error { return nil },
	}
}

func keysOf(t *testing.T, s blob.Store) (keys []blob.Key) {
	t.Helper()
	for info, err := range s.List(t.Context(), nil) {
		check(t, err)
		keys = append(keys, info.Key)
	}
	return keys
}

// TestSnapshotAgain begins again when a blob was collected before it was copied.
func TestSnapshotAgain(t *testing.T) {
	u, to, p := newUsed(t), openDB(t), newMemory()
	u.add(1, []byte("one"))
	u.lose = []blob.Key{u.add(2, make([]byte, 9<<20))}
	s, err := Snapshot(t.Context(), u, to.Blobs(), p, snapshotConfig(t, 3))
	check(t, err)
	if u.dumps != 2 || s.Blobs+s.Kept != 1 || len(keysOf(t, to.Blobs())) != 1 || len(numbers(t, p)) != 1 {
		t.Errorf("%d dumps, %+v, copied %v, backups %v", u.dumps, s, keysOf(t, to.Blobs()), numbers(t, p))
	}
}

// TestSnapshotRestored restores what was backed up, and an interrupted restore goes on.
func TestSnapshotRestored(t *testing.T) {
	u, to, p := newUsed(t), openDB(t), newMemory()
	for n := range uint64(5) {
		u.add(n, fmt.Appendf(nil, "blob %d", n))
	}
	s, err := Snapshot(t.Context(), u, to.Blobs(), p, snapshotConfig(t, 3))
	check(t, err)
	back := openDB(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err = RestoreAll(ctx, p, s.Dump, to.Blobs(), back.Namespace(), back.Blobs(), t.TempDir(), func(c Copied) {
		if c.Blobs == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	_, c, err := RestoreAll(t.Context(), p, s.Dump, to.Blobs(), back.Namespace(), back.Blobs(), t.TempDir(), nil)
	check(t, err)
	if c.Kept != 2 || c.Blobs != 3 {
		t.Errorf("went on with %+v", c)
	}
	for n := range uint64(5) {
		var got bytes.Buffer
		r := used{db: back, t: t}
		check(t, r.GetBlob(t.Context(), blob.NewKey(7, n), 0, -1, &got))
		if want := fmt.Sprintf("blob %d", n); got.String() != want {
			t.Errorf("%q, want %q", got.String(), want)
		}
	}
}

// breaking is a store whose list breaks off.
type breaking struct {
	blob.Store
	after int
}

var errBroken = errors.New("broken")

func (b *breaking) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		n := 0
		for info, err := range b.Store.List(ctx, prefix) {
			if n++; n > b.after {
				yield(blob.Info{}, errBroken)
				return
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// TestPrune removes what no backup that stays names, and nothing that a broken list leaves open.
func TestPrune(t *testing.T) {
	u, to, p := newUsed(t), openDB(t), newMemory()
	gone := u.add(1, []byte("one"))
	stays := u.add(2, []byte("two"))
	_, err := Snapshot(t.Context(), u, to.Blobs(), p, snapshotConfig(t, 1))
	check(t, err)
	check(t, u.ns.Update(t.Context(), namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Delete(namespace.BlobKey{Blob: gone})
		return nil
	}))
	for range 2 { // nothing new to copy, so that the list of what is there is needed to its end
		_, err = Snapshot(t.Context(), u, &breaking{to.Blobs(), 0}, p, snapshotConfig(t, 1))
		if !errors.Is(err, errBroken) {
			t.Errorf("with a list that breaks off: %v", err)
		}
	}
	if keys := keysOf(t, to.Blobs()); len(keys) != 2 {
		t.Errorf("left %v", keys)
	}
	s, err := Snapshot(t.Context(), u, to.Blobs(), p, snapshotConfig(t, 1))
	check(t, err)
	if keys := keysOf(t, to.Blobs()); s.Removed != 1 || len(keys) != 1 || keys[0] != stays || len(numbers(t, p)) != 1 {
		t.Errorf("%+v, left %v, backups %v", s, keys, numbers(t, p))
	}
}

// TestSnapshotOfAnother leaves alone what was mounted for writing.
func TestSnapshotOfAnother(t *testing.T) {
	u, to, p := newUsed(t), openDB(t), newMemory()
	u.add(1, []byte("one"))
	check(t, SetCurrent(t.Context(), p, Current{Copy: "cccc", Host: "there"}))
	if _, err := Snapshot(t.Context(), u, to.Blobs(), p, snapshotConfig(t, 1)); err == nil || !strings.Contains(err.Error(), "host there") {
		t.Errorf("%v", err)
	}
	if keys := keysOf(t, to.Blobs()); len(keys) > 0 {
		t.Errorf("copied %v", keys)
	}
}
