package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// truncate sets the file's size, with chg, in one transaction that also commits what was written before. The caller holds
// flushing.
func (n *node) truncate(ctx context.Context, size uint64, chg change) error {
	if size > MaxFile {
		return ErrTooBig
	}
	if err := n.load(ctx); err != nil {
		return err
	}
	// The block that the new end lies in was allocated by what was written to it, also if only that is cut off.
	blockEnd := min((size/namespace.BlockSize+1)*namespace.BlockSize, MaxFile)
	n.mu.Lock()
	partial := size%namespace.BlockSize != 0 && n.dirty.touches(size, blockEnd)
	n.mu.Unlock()
	err := n.commitLocked(ctx, size, func(e *extentEdit) error {
		if e.rec.Mode&ModeType != ModeFile {
			return ErrInvalid
		}
		if size <= e.rec.Size { // the same size gives back what is allocated behind it
			if err := e.punch(size, MaxFile); err != nil {
				return err
			}
		}
		if partial {
			if err := e.allocate(size, blockEnd); err != nil {
				return err
			}
		}
		e.rec.Size = size
		return chg(e)
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	// Writes that came in since the commit lie behind it.
	n.size = max(size, n.dirty.end())
	n.mu.Unlock()
	return nil
}

// seekAhead is how many extents SeekData and SeekHole look at together.
const seekAhead = 256

// SeekData returns the first offset from off on that has data, or ErrNoData behind the last.
func (h *Handle) SeekData(ctx context.Context, off uint64) (uint64, error) {
	for pos := off; ; {
		list, size, err := h.layout(ctx, pos, seekAhead)
		if err != nil {
			return 0, err
		}
		if off >= size {
			return 0, ErrNoData
		}
		for _, x := range list {
			if x.Off >= size {
				return 0, ErrNoData
			}
			if !x.Unwritten {
				return max(off, x.Off), nil
			}
			pos = x.End()
		}
		if len(list) < seekAhead || pos >= size {
			return 0, ErrNoData
		}
	}
}

// SeekHole returns the first offset from off on that has none; the end of the file counts as one. An offset behind
// the end is ErrNoData.
func (h *Handle) SeekHole(ctx context.Context, off uint64) (uint64, error) {
	pos := off
	for {
		list, size, err := h.layout(ctx, pos, seekAhead)
		if err != nil {
			return 0, err
		}
		if off >= size {
			return 0, ErrNoData
		}
		if len(list) == 0 {
			return min(pos, size), nil
		}
		for _, x := range list {
			if x.Off > pos || x.Unwritten {
				return min(pos, size), nil
			}
			pos = x.End()
		}
		if pos >= size {
			return size, nil
		}
	}
}

// layout commits what was written and returns up to limit extents that end behind off, and the file's size.
func (h *Handle) layout(ctx context.Context, off uint64, limit int) ([]*namespace.Extent, uint64, error) {
	n := h.n
	if err := n.ensureLoaded(ctx); err != nil {
		return nil, 0, err
	}
	if err := n.commit(ctx, nil); err != nil {
		return nil, 0, err
	}
	n.mu.Lock()
	size := n.size
	n.mu.Unlock()
	var list []*namespace.Extent
	err := n.v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		list = list[:0]
		if n.v.cfg.Shared { // others may have changed it
			rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino})
			if err != nil {
				return staleIfMissing(err)
			}
			size = rec.Size
		}
		for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: n.ino, End: off + 1}, limit) {
			if err != nil {
				return err
			}
			list = append(list, x)
		}
		return nil
	})
	return list, size, err
}
