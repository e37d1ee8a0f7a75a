package volume

import (
	"context"
	"errors"

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

func (c *check) readBlob(ctx context.Context, key blob.Key, size int64, ino namespace.Ino, buf []byte) error {
	for off := int64(0); off < size; off += int64(len(buf)) {
		_, err := blob.ReadAt(ctx, c.v.blobs, key, buf, off)
		if errors.Is(err, blob.ErrNotFound) {
			return nil
		}
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err != nil {
			c.report(CodeBadBlob, ino, "%v", err)
			return nil
		}
	}
	return nil
}
