package rocks

import (
	"fmt"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// concurrent is how much later a stored time may be than a new one and still be that of a transaction which ran at
// the same time. One that is later still was set by someone, and the new time replaces it.
const concurrent = time.Second

// Apply implements namespace.Tx.
func (t *tx) Apply(key namespace.Key, d namespace.Delta) {
	if !t.writable() {
		return
	}
	t.key, _ = appendKey(t.key[:0], key)
	rec := t.old()
	if rec != nil && t.err == nil {
		t.err = namespace.Check(rec)
	}
	if t.err != nil {
		return
	}
	switch k := key.(type) {
	case namespace.InodeKey:
		r, ok := rec.(*namespace.Inode)
		if !ok {
			t.fail(fmt.Errorf("change inode %d: %w", k.Ino, namespace.ErrNotFound))
			return
		}
		n := int64(r.Nlink) + int64(d.Nlink)
		if n < 0 || n > 1<<32-1 {
			t.fail(fmt.Errorf("%w: inode %d would have %d links", ErrCorrupt, k.Ino, n))
			return
		}
		r.Nlink = uint32(n)
		r.Mtime, r.Ctime = later(r.Mtime, d.Mtime), later(r.Ctime, d.Ctime)
		rec = r
	case namespace.BlobKey:
		r, ok := rec.(*namespace.Blob)
		if !ok {
			t.fail(fmt.Errorf("change blob %s: %w", k.Blob, namespace.ErrNotFound))
			return
		}
		if r.Refs += d.Refs; r.Refs < 0 {
			t.fail(fmt.Errorf("%w: blob %s would have %d references", ErrCorrupt, k.Blob, r.Refs))
			return
		}
		if r.Refs == 0 && d.Refs != 0 {
			r.Since = d.Ctime
		}
		rec = r
		t.indexBlob(r)
	case namespace.UsageKey:
		r, ok := rec.(*namespace.Usage)
		if !ok {
			r = &namespace.Usage{Session: k.Session}
		}
		r.Bytes += d.Bytes
		r.Inodes += d.Inodes
		rec = r
	default:
		t.fail(fmt.Errorf("%T can't be changed without being read", key))
		return
	}
	t.over.put(t.key, func(b []byte) []byte { return appendRecord(b, rec) })
}

// later is the time that stays when now is applied to was.
func later(was, now namespace.Time) namespace.Time {
	if now.IsZero() {
		return was
	}
	if now.Before(was) && was.Time().Sub(now.Time()) < concurrent {
		return was
	}
	return now
}
