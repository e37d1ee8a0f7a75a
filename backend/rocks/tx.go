package rocks

import (
	"bytes"
	"context"
	"fmt"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// tx implements namespace.Tx: on a snapshot, where over is nil, or under the commit lock.
type tx struct {
	s    *names
	ctx  context.Context //nolint:containedctx // of View or Update, whose transaction this is
	ro   *grocksdb.ReadOptions
	snap *grocksdb.Snapshot
	over *overlay
	key  []byte // scratch
	err  error  // of a write, which fails the transaction
}

func (t *tx) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

// raw returns the value of a key as this transaction sees it, or nil. It must not be changed.
func (t *tx) raw(key []byte) ([]byte, error) {
	if t.over == nil {
		return t.s.db.get(t.ro, familyOf(key), key)
	}
	if e, ok := t.over.get(key); ok {
		return e.value, nil
	}
	value, err := t.s.db.get(t.ro, familyOf(key), key)
	if err == nil && keeps(key[0]) {
		t.over.remember(key, value)
	}
	return value, err
}

// keeps reports the kinds whose writes look at what was there.
func keeps(kind byte) bool {
	switch kind {
	case kindInode, kindDentry, kindBlob, kindUsage:
		return true
	}
	return false
}

// Get implements namespace.Tx.
func (t *tx) Get(key namespace.Key) (namespace.Record, error) {
	t.key, _ = appendKey(t.key[:0], key)
	return t.record(t.key)
}

func (t *tx) record(key []byte) (namespace.Record, error) {
	value, err := t.raw(key)
	if err != nil {
		return nil, t.s.wrap("get", err)
	}
	if value == nil {
		return nil, t.s.notFound
	}
	if t.over != nil && (key[0] == kindExtent || key[0] == kindXattr) {
		value = bytes.Clone(value) // the record is the caller's, the overlay's value is not
	}
	rec, err := decodeRecord(key, value)
	if err != nil {
		return nil, t.s.wrap("get", err)
	}
	return rec, nil
}

// writable fails the transaction if it is a View.
func (t *tx) writable() bool {
	if t.over == nil {
		t.fail(fmt.Errorf("%w: a write in a View", namespace.ErrReadOnly))
	}
	return t.over != nil
}

// Put implements namespace.Tx.
func (t *tx) Put(rec namespace.Record) {
	if !t.writable() {
		return
	}
	if err := namespace.Check(rec); err != nil {
		t.fail(err)
		return
	}
	t.key, _ = appendKey(t.key[:0], rec.Key())
	switch r := rec.(type) {
	case *namespace.Dentry:
		t.indexDentry(r)
	case *namespace.Blob:
		t.indexBlob(r)
	}
	t.over.put(t.key, func(b []byte) []byte { return appendRecord(b, rec) })
}

// Delete implements namespace.Tx.
func (t *tx) Delete(key namespace.Key) {
	if !t.writable() {
		return
	}
	t.key, _ = appendKey(t.key[:0], key)
	switch key.(type) {
	case namespace.DentryKey:
		t.indexDentry(nil)
	case namespace.BlobKey:
		t.indexBlob(nil)
	case namespace.CookieKey, namespace.UnreferencedKey:
		t.fail(fmt.Errorf("%T names an index, which can't be written", key))
		return
	}
	t.over.delete(t.key)
}

// old returns the record under t.key, or nil. It isn't checked: what can't be true can be deleted.
func (t *tx) old() namespace.Record {
	value, err := t.raw(t.key)
	if err == nil && value != nil {
		var rec namespace.Record
		if rec, err = decodeKind(t.key, value); err == nil {
			return rec
		}
	}
	if err != nil {
		t.fail(err)
	}
	return nil
}

// indexDentry moves the cookie index from the dentry under t.key to its successor, which is nil for none.
func (t *tx) indexDentry(r *namespace.Dentry) {
	if was, ok := t.old().(*namespace.Dentry); ok && (r == nil || was.Cookie != r.Cookie) {
		t.dropCookie(was)
	}
	if r != nil {
		var kb [1 + 2*u64Len]byte
		key, _ := appendKey(kb[:0], namespace.CookieKey{Parent: r.Parent, Cookie: r.Cookie})
		t.over.put(key, func(b []byte) []byte { return appendCookie(b, r) })
	}
}

// dropCookie deletes a dentry's index entry, unless another dentry has taken over the cookie in this transaction: two
// that are exchanged may exchange their cookies.
func (t *tx) dropCookie(d *namespace.Dentry) {
	key, _ := appendKey(nil, namespace.CookieKey{Parent: d.Parent, Cookie: d.Cookie})
	if e, ok := t.over.get(key); ok && e.state == stored {
		if now, err := decodeCookie(key, e.value); err == nil && now.(*namespace.Dentry).Name != d.Name {
			return
		}
	}
	t.over.delete(key)
}

// indexBlob moves the index of unreferenced blobs likewise.
func (t *tx) indexBlob(r *namespace.Blob) {
	was, _ := t.old().(*namespace.Blob)
	if unreferenced(was) && (!unreferenced(r) || was.Since != r.Since) {
		key, _ := appendKey(nil, namespace.UnreferencedKey{Since: was.Since, Blob: was.Blob})
		t.over.delete(key)
	}
	if unreferenced(r) {
		key, _ := appendKey(nil, namespace.UnreferencedKey{Since: r.Since, Blob: r.Blob})
		t.over.put(key, func(b []byte) []byte { return append(b, recordFormat) })
	}
}

func unreferenced(r *namespace.Blob) bool { return r != nil && r.Refs == 0 && !r.Pinned }
