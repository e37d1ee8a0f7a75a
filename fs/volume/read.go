package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// readParallel is how many extents of one read are fetched at a time.
const readParallel = 8

// Read fills p with the file's bytes from off and returns how many there are; fewer than len(p) only at the end of the
// file. It sees everything that was written before it began.
func (h *Handle) Read(ctx context.Context, p []byte, off uint64) (int, error) {
	n := h.n
	if err := n.ensureLoaded(ctx); err != nil {
		return 0, err
	}
	h.touchAtime()
	for {
		n.mu.Lock()
		if off >= n.size || len(p) == 0 {
			n.mu.Unlock()
			return 0, nil
		}
		if left := n.size - off; uint64(len(p)) > left {
			p = p[:left]
		}
		gaps, uploading := n.dirty.read(p, off)
		n.mu.Unlock()
		if uploading {
			if err := n.commit(ctx, nil); err != nil {
				return 0, err
			}
			continue
		}
		if err := n.readCommitted(ctx, p, off, gaps); err != nil {
			return 0, err
		}
		return len(p), nil
	}
}

// readCommitted fills the gaps of p, which begins at off, from the committed extents.
//
// A blob may be deleted between the look at the extents and the read, when its last extent was overwritten meanwhile.
// So a missing blob is looked up again, and is an error only if the extents still name it.
func (n *node) readCommitted(ctx context.Context, p []byte, off uint64, gaps []span) error {
	for _, g := range gaps {
		var missing error
		for {
			list, err := n.extents(ctx, g.off, g.end, missing != nil)
			if err != nil {
				return err
			}
			if missing != nil && names(list, missing) {
				return fmt.Errorf("a blob of inode %d is missing: %w", n.ino, missing)
			}
			if err = n.v.fill(ctx, p[g.off-off:g.end-off], g.off, list); err == nil {
				break
			}
			if !errors.Is(err, blob.ErrNotFound) {
				return err
			}
			missing = err
		}
	}
	return nil
}

// names reports whether an extent is in the blob that an error is about.
func names(list []*namespace.Extent, err error) bool {
	var lost *blob.Error
	if !errors.As(err, &lost) {
		return true
	}
	return slices.ContainsFunc(list, func(x *namespace.Extent) bool { return x.Blob == lost.Key })
}

// extents returns the committed extents that touch the bytes from lo up to hi.
func (v *Volume) extents(ctx context.Context, ino namespace.Ino, lo, hi uint64) ([]*namespace.Extent, error) {
	var list []*namespace.Extent
	want := namespace.Want{Extents: []namespace.RangeWant{{Ino: ino, From: lo, To: hi}}}
	err := v.ns.View(ctx, want, func(tx namespace.Tx) error {
		list = list[:0]
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: lo + 1}, 0) {
			if err != nil {
				return err
			}
			if x.Off >= hi {
				break
			}
			list = append(list, x)
		}
		return nil
	})
	return list, err
}

// fill makes p, which begins at off, from the extents; what none covers is zero.
func (v *Volume) fill(ctx context.Context, p []byte, off uint64, list []*namespace.Extent) error {
	return fillBy(ctx, v.readBlob, p, off, list)
}

func (v *Volume) readBlob(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	return blob.ReadAt(ctx, v.blobs, key, p, off)
}

// fillBy is fill that reads blobs by a function like blob.ReadAt.
func fillBy(ctx context.Context, read func(ctx context.Context, key blob.Key, p []byte, off int64) (int, error), p []byte, off uint64,
	list []*namespace.Extent,
) error {
	pos, end := off, off+uint64(len(p))
	type fetch struct {
		x    *namespace.Extent
		dst  []byte
		from uint64
	}
	var fetches []fetch
	for _, x := range list {
		lo, hi := max(x.Off, off), min(x.End(), end)
		clear(p[pos-off : lo-off])
		dst := p[lo-off : hi-off]
		switch {
		case x.Unwritten:
			clear(dst)
		case x.Blob == "":
			copy(dst, x.Inline[lo-x.Off:])
		default:
			fetches = append(fetches, fetch{x, dst, x.BlobOff + lo - x.Off})
		}
		pos = hi
	}
	clear(p[pos-off:])
	get := func(ctx context.Context, f fetch) error {
		k, err := read(ctx, f.x.Blob, f.dst, int64(f.from))
		if err == nil && k < len(f.dst) {
			err = fmt.Errorf("blob %s ends at %d, before its extent: %w", f.x.Blob, f.from+uint64(k), blob.ErrCorrupt)
		}
		return err
	}
	if len(fetches) == 1 {
		return get(ctx, fetches[0])
	}
	group, ctx := panics.WithContext(ctx)
	group.SetLimit(readParallel)
	for _, f := range fetches {
		group.Go(func() error { return get(ctx, f) })
	}
	return group.Wait()
}

// Extents returns all committed extents of an inode, for a person to look at.
func (v *Volume) Extents(ctx context.Context, ino namespace.Ino) ([]*namespace.Extent, error) {
	return v.extents(ctx, ino, 0, MaxFile)
}
