package volume

import (
	"context"
	"errors"
	"io"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// stored checks the blobs that extents use against the store. One that is missing may have lost its last extent since
// the snapshot, so its record decides.
func (c *check) stored(ctx context.Context, data bool) error {
	buf := make([]byte, 1<<20)
	for key, u := range c.need {
		info, err := c.v.blobs.Stat(ctx, key)
		if errors.Is(err, blob.ErrNotFound) {
			rec, rerr := c.v.blobRecord(ctx, key)
			if rerr == nil && rec.Refs > 0 {
				c.report(CodeNoBlob, u.ino, "blob %s is not in the store", key)
			}
			continue
		}
		if errors.Is(err, blob.ErrCorrupt) {
			c.report(CodeBadBlob, u.ino, "%v", err)
			continue
		}
		if err != nil {
			return err
		}
		if uint64(info.Size) < u.end {
			c.report(CodeShortBlob, u.ino, "blob %s has %d bytes, the files use %d", key, info.Size, u.end)
		}
		if data {
			if err := c.readBlob(ctx, key, info.Size, u.ino, buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// readBlob reads all of a blob in one stream, so that a store which has checksums of whole blobs or large parts compares
// them.
func (c *check) readBlob(ctx context.Context, key blob.Key, size int64, ino namespace.Ino, buf []byte) error {
	read, err := c.discard(ctx, key, buf)
	switch {
	case errors.Is(err, blob.ErrNotFound):
		return nil
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil:
		c.report(CodeBadBlob, ino, "%v", err)
	case read != size:
		c.report(CodeBadBlob, ino, "blob %s yields %d of its %d bytes", key, read, size)
	}
	return nil
}

func (c *check) discard(ctx context.Context, key blob.Key, buf []byte) (int64, error) {
	r, err := c.v.blobs.Open(ctx, key, 0, -1)
	if err != nil {
		return 0, err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf)
	return n, errors.Join(err, r.Close())
}
