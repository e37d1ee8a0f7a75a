package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// copyMin is the smallest part that a store is asked to copy by itself, in bytes. S3 wants as much of all parts but the last,
// and of the object that a range is taken from.
const copyMin = 5 << 20

// store makes the blob of a rewrite: by copies in the store where it can, of the bytes where it can't. It returns how many
// bytes the store copied. After an error the blob isn't there, unless the answer of the last request was lost.
func (c *compaction) store(ctx context.Context, key blob.Key, s *section, w *rewrite) (copied uint64, err error) {
	if err := c.rest(ctx); err != nil {
		return 0, err
	}
	pieces := w.layOut()
	if w.size <= min(c.v.part, packBytes) {
		p := make([]byte, w.size)
		if err := c.fill(ctx, s, p, 0, pieces); err != nil {
			return 0, err
		}
		return 0, c.v.blobs.Put(ctx, key, bytes.NewReader(p), int64(len(p)), c.n.hints())
	}
	up, err := c.v.blobs.NewUpload(ctx, key, c.n.hints())
	if err != nil {
		return 0, err
	}
	copied, err = c.send(ctx, up, s, pieces, w.size)
	if err != nil {
		err = c.v.undone(err, up.Abort(context.WithoutCancel(ctx)))
	}
	return copied, err
}

// layOut returns the ranges that make the blob, each with its offset in it.
func (w *rewrite) layOut() (pieces []*namespace.Extent) {
	at := uint64(0)
	for _, r := range w.runs {
		for _, x := range r.list {
			if last := len(pieces) - 1; last >= 0 && x.Blob != "" && pieces[last].Blob == x.Blob &&
				pieces[last].BlobOff+pieces[last].Len == x.BlobOff {
				pieces[last].Len += x.Len
			} else {
				p := *x
				p.Off = at
				pieces = append(pieces, &p)
			}
			at += x.Len
		}
	}
	return pieces
}

// send gives the upload its parts and completes it. The copies come first: the first part decides whether a blob has
// checksums of its parts, which not all stores tell of a copy.
func (c *compaction) send(ctx context.Context, up blob.Upload, s *section, pieces []*namespace.Extent, size uint64) (copied uint64, err error) {
	part := uint64(up.PartSize())
	count := int((size + part - 1) / part)
	if l, ok := up.(blob.PartLimiter); ok && count > l.MaxParts() {
		return 0, fmt.Errorf("%w: its blob has %d parts of %d bytes, more than the store takes", ErrTooBig, count, part)
	}
	left, err := c.copyParts(ctx, up, pieces, size, count)
	if err != nil {
		return 0, err
	}
	var buf []byte
	for i := range count {
		lo := uint64(i) * part
		hi := min(lo+part, size)
		if !left[i] {
			copied += hi - lo
			continue
		}
		if buf == nil {
			buf = make([]byte, min(part, size))
		}
		if err := c.rest(ctx); err != nil {
			return 0, err
		}
		if err := c.fill(ctx, s, buf[:hi-lo], lo, pieces); err != nil {
			return 0, err
		}
		if err := up.PutPart(ctx, i+1, buf[:hi-lo]); err != nil {
			return 0, err
		}
	}
	return copied, up.Complete(ctx, count, int64(size))
}

// copyParts has the store copy the parts that lie in one of the old blobs, and returns which are left to be put.
func (c *compaction) copyParts(ctx context.Context, up blob.Upload, pieces []*namespace.Extent, size uint64, count int) ([]bool, error) {
	left := make([]bool, count)
	copier, can := up.(blob.PartCopier)
	group, ctx := panics.WithContext(ctx)
	group.SetLimit(c.v.cfg.Parts)
	part := uint64(up.PartSize())
	for i := range left {
		lo := uint64(i) * part
		hi := min(lo+part, size)
		in := touching(pieces, lo, hi)
		if !can || hi-lo < c.v.copyMin || len(in) != 1 || in[0].Blob == "" {
			left[i] = true
			continue
		}
		if err := c.rest(ctx); err != nil {
			return nil, errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			err := copier.CopyPart(ctx, i+1, in[0].Blob, int64(in[0].BlobOff+lo-in[0].Off), int64(hi-lo))
			if left[i] = errors.Is(err, blob.ErrInvalid); left[i] { // it can't, for this blob
				return nil
			}
			return err
		})
	}
	return left, group.Wait()
}

// rest lets others go first, and says when the work is to end.
func (c *compaction) rest(ctx context.Context) error {
	if c.hooks.pause != nil {
		if err := c.hooks.pause(ctx); err != nil {
			return err
		}
	}
	select {
	case <-c.v.compactor.closing:
		return errClosing
	default:
		return ctx.Err()
	}
}

// fill reads a part of the new blob from the old ones. Reads go past the cache, out of which they would push what others
// read.
func (c *compaction) fill(ctx context.Context, s *section, p []byte, off uint64, pieces []*namespace.Extent) error {
	read := func(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
		n := int64(len(p))
		if off == 0 && uint64(n) == s.uses[key].size {
			n = -1 // a blob that is read whole is compared with its checksum
		}
		return c.v.readPast(ctx, key, p, off, n)
	}
	return fillBy(ctx, read, p, off, touching(pieces, off, off+uint64(len(p))))
}

// readPast fills p from off of a blob by a stream of n bytes, or to the blob's end.
func (v *Volume) readPast(ctx context.Context, key blob.Key, p []byte, off, n int64) (int, error) {
	r, err := v.blobs.Open(ctx, key, off, n)
	if err != nil {
		return 0, err
	}
	k, err := io.ReadFull(r, p)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // a checksum is compared at the end
	}
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return k, errors.Join(err, r.Close())
}
