package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/dump"
)

// readRange fills p with a blob's bytes from off.
type readRange func(ctx context.Context, key blob.Key, p []byte, off int64) error

// source is a blob to be copied.
type source struct {
	ctx  context.Context //nolint:containedctx // of the copy: io.ReaderAt has none
	key  blob.Key
	size int64
	read readRange
}

// ReadAt implements io.ReaderAt.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), max(s.size-off, 0))
	if err := s.read(s.ctx, s.key, p[:n], off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Copied is what a copy did.
type Copied struct {
	Blobs, Bytes int64 // that were copied
	Kept         int64 // blobs that were there already
}

// copyMissing copies the blobs that a dump names to a store, as far as they are not there. Both are in key order, so
// neither is ever in memory as a whole.
func copyMissing(ctx context.Context, names io.Reader, read readRange, to blob.Store, progress func(Copied)) (c Copied, err error) {
	next, stop := iter.Pull2(to.List(ctx, nil))
	defer stop()
	have, herr, ok := next()
	for b, err := range dump.Blobs(names) {
		if err != nil {
			return c, err
		}
		if b.Refs == 0 && !b.Pinned {
			continue // rubbish that the next collection removes
		}
		for ok && herr == nil && have.Key < b.Blob {
			have, herr, ok = next()
		}
		if ok && herr != nil {
			return c, fmt.Errorf("list the copied blobs: %w", herr)
		}
		if ok && have.Key == b.Blob && have.Size == int64(b.Size) {
			c.Kept++
			continue
		}
		src := &source{ctx, b.Blob, int64(b.Size), read}
		if err := to.Put(ctx, b.Blob, src, src.size, nil); err != nil && !errors.Is(err, blob.ErrExists) {
			return c, fmt.Errorf("copy blob %s: %w", b.Blob, err)
		}
		c.Blobs++
		c.Bytes += src.size
		if progress != nil {
			progress(c)
		}
	}
	return c, nil
}

// removeUnnamed deletes the blobs that none of the dumps names. It stops at the first error of any list: what isn't known
// to be rubbish stays.
func removeUnnamed(ctx context.Context, store blob.Store, dumps []io.Reader) (removed int64, err error) {
	var named []*cursor
	for _, r := range dumps {
		next, stop := iter.Pull2(dump.Blobs(r))
		defer stop()
		named = append(named, &cursor{next: next})
	}
	batch := make([]blob.Key, 0, removeBatch)
	remove := func() error {
		err := blob.DeleteAll(ctx, store, batch)
		if err == nil {
			removed += int64(len(batch))
		}
		batch = batch[:0]
		return err
	}
	for info, err := range store.List(ctx, nil) {
		if err != nil {
			return removed, err
		}
		used := false
		for _, c := range named {
			has, err := c.reach(info.Key)
			if err != nil {
				return removed, err
			}
			used = used || has
		}
		if used {
			continue
		}
		if batch = append(batch, info.Key); len(batch) == removeBatch {
			if err := remove(); err != nil {
				return removed, err
			}
		}
	}
	err = remove()
	return removed, err
}

// removeBatch is how many blobs are removed at a time: what one request to a bucket takes.
const removeBatch = 1000

// cursor goes through the blobs of a dump.
type cursor struct {
	next func() (*namespace.Blob, error, bool)
	at   *namespace.Blob
	end  bool
}

// reach moves on to a key that is larger than those before, and reports whether the dump names it.
func (c *cursor) reach(key blob.Key) (bool, error) {
	for !c.end && (c.at == nil || c.at.Blob < key) {
		b, err, ok := c.next()
		if ok && err != nil {
			return false, err
		}
		c.at, c.end = b, !ok
	}
	return !c.end && c.at.Blob == key, nil
}
