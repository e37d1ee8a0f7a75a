package pg

import (
	"fmt"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// concurrent is how much later a stored time may be than a new one and still be that of a transaction which ran at
// the same time. One that is later still was set by someone, and the new time replaces it. The server computes the same
// in recordswrite.go.
const concurrent = time.Second

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

// joinDeltas is the delta that does to the record of key what a and then b do.
func joinDeltas(key namespace.Key, a, b namespace.Delta) namespace.Delta {
	if _, ok := key.(namespace.BlobKey); !ok {
		b.Ctime = later(a.Ctime, b.Ctime)
	} else if b.Refs == 0 {
		b.Ctime = a.Ctime
	}
	b.Nlink += a.Nlink
	b.Mtime = later(a.Mtime, b.Mtime)
	b.Refs += a.Refs
	b.Bytes += a.Bytes
	b.Inodes += a.Inodes
	return b
}

// fold returns a record with a delta applied. rec may be nil for a usage only.
func fold(rec namespace.Record, key namespace.Key, d namespace.Delta) (namespace.Record, error) {
	switch k := key.(type) {
	case namespace.InodeKey:
		r, ok := rec.(*namespace.Inode)
		if !ok {
			return nil, fmt.Errorf("change inode %d: %w", k.Ino, namespace.ErrNotFound)
		}
		n := int64(r.Nlink) + int64(d.Nlink)
		if n < 0 || n > 1<<32-1 {
			return nil, fmt.Errorf("%w: inode %d would have %d links", namespace.ErrCorrupt, k.Ino, n)
		}
		c := *r
		c.Nlink = uint32(n)
		c.Mtime, c.Ctime = later(r.Mtime, d.Mtime), later(r.Ctime, d.Ctime)
		return &c, nil
	case namespace.BlobKey:
		r, ok := rec.(*namespace.Blob)
		if !ok {
			return nil, fmt.Errorf("change blob %s: %w", k.Blob, namespace.ErrNotFound)
		}
		c := *r
		if c.Refs += d.Refs; c.Refs < 0 {
			return nil, fmt.Errorf("%w: blob %s would have %d references", namespace.ErrCorrupt, k.Blob, c.Refs)
		}
		if c.Refs == 0 && d.Refs != 0 {
			c.Since = d.Ctime
		}
		return &c, nil
	case namespace.UsageKey:
		c := namespace.Usage{Session: k.Session}
		if r, ok := rec.(*namespace.Usage); ok {
			c = *r
		}
		c.Bytes += d.Bytes
		c.Inodes += d.Inodes
		return &c, nil
	}
	return nil, fmt.Errorf("%T can't be changed without being read", key)
}
