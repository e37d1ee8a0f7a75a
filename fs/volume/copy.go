package volume

import (
	"cmp"
	"context"
	"slices"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// maxCopyExtents bounds one transaction of CopyRange.
const maxCopyExtents = 1024

// CopyRange makes length bytes from dstOff on the same as those of src from srcOff on, by sharing their blobs, and
// returns how many it did: fewer where src ends. Ranges of one file must not overlap. killFor is as in
// Allocate.
func (h *Handle) CopyRange(ctx context.Context, src *Handle, srcOff, dstOff, length uint64, killFor Caller) (uint64, error) {
	if src.n == h.n && srcOff < dstOff+length && dstOff < srcOff+length {
		return 0, ErrInvalid
	}
	if length == 0 {
		return 0, nil
	}
	if err := h.n.ensureLoaded(ctx); err != nil {
		return 0, err
	}
	if err := h.n.dropPrivileges(ctx, killFor); err != nil {
		return 0, err
	}
	list, size, err := src.layout(ctx, srcOff, maxCopyExtents)
	if err != nil || srcOff >= size {
		return 0, err
	}
	length = min(length, size-srcOff)
	if len(list) == maxCopyExtents {
		length = min(length, list[len(list)-1].End()-srcOff)
	}
	if dstOff+length > MaxFile || dstOff+length < dstOff {
		return 0, ErrTooBig
	}
	n := h.n
	n.flushing.Lock()
	defer n.flushing.Unlock()
	err = n.commitLocked(ctx, MaxFile, func(e *extentEdit) error {
		return e.share(list, srcOff, dstOff, length)
	})
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	n.size = max(n.size, dstOff+length)
	n.mu.Unlock()
	return length, nil
}

// share puts copies of another file's extents in the place of those that are there. A blob that lost its last reference meanwhile would be deleted under
// the copy, so each is looked at inside the transaction.
func (e *extentEdit) share(list []*namespace.Extent, srcOff, dstOff, length uint64) error {
	old, err := e.near(dstOff, dstOff+length)
	if err != nil {
		return err
	}
	rest := e.cut(old, dstOff, dstOff+length)
	for _, x := range list {
		if x.Off >= srcOff+length {
			break
		}
		if x.Blob != "" {
			b, err := namespace.Get[*namespace.Blob](e.tx, namespace.BlobKey{Blob: x.Blob})
			if err != nil || b.Refs+e.refs[x.Blob] <= 0 {
				return ErrUnsupported // the caller copies the bytes instead
			}
		}
		part := sliceExtent(x, max(x.Off, srcOff), min(x.End(), srcOff+length))
		part.Ino = e.rec.Ino
		part.Off = part.Off - srcOff + dstOff
		rest = append(rest, e.insert(part))
	}
	slices.SortFunc(rest, func(a, b *namespace.Extent) int { return cmp.Compare(a.Off, b.Off) })
	first, end := blocksOf(dstOff, dstOff+length)
	e.blocks += countBlocks(rest, first, end) - countBlocks(old, first, end)
	e.rec.Size = max(e.rec.Size, dstOff+length)
	e.rec.Mtime = e.v.now()
	e.rec.Ctime = e.rec.Mtime
	return nil
}
