package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// truncate sets the file's size, with chg, in one transaction that also commits what was written before.
func (n *node) truncate(ctx context.Context, size uint64, chg change) error {
	if size > MaxFile {
		return ErrTooBig
	}
	n.flushing.Lock()
	defer n.flushing.Unlock()
	if err := n.load(ctx); err != nil {
		return err
	}
	err := n.commitLocked(ctx, size, func(e *extentEdit) error {
		if e.rec.Mode&ModeType != ModeFile {
			return ErrInvalid
		}
		if size < e.rec.Size {
			if err := e.clear(size, MaxFile); err != nil {
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

// Allocation modes of Allocate; see fallocate(2).
const (
	AllocKeepSize = 0x01
	AllocPunch    = 0x02
	AllocZero     = 0x10
)

// Allocate does what fallocate(2) does: it extends the file, or makes a range read as zeros. It reserves no space, since
// what is written later goes to a new place anyway. killPriv is as in Written.
func (h *Handle) Allocate(ctx context.Context, mode uint32, off, length uint64, killPriv bool) error {
	n := h.n
	if length == 0 {
		return ErrInvalid
	}
	end := off + length
	if end > MaxFile || end < off {
		return ErrTooBig
	}
	var zero, extend bool
	switch mode {
	case 0:
		extend = true
	case AllocKeepSize:
	case AllocPunch | AllocKeepSize, AllocZero | AllocKeepSize:
		zero = true
	case AllocZero:
		zero, extend = true, true
	default:
		return ErrUnsupported
	}
	if err := n.ensureLoaded(ctx); err != nil {
		return err
	}
	if err := n.dropPrivileges(ctx, killPriv); err != nil {
		return err
	}
	n.flushing.Lock()
	defer n.flushing.Unlock()
	if err := n.load(ctx); err != nil {
		return err
	}
	err := n.commitLocked(ctx, MaxFile, func(e *extentEdit) error {
		if zero {
			if err := e.clear(off, end); err != nil {
				return err
			}
		}
		if extend {
			e.rec.Size = max(e.rec.Size, end)
		}
		e.rec.Mtime = n.v.now()
		e.rec.Ctime = e.rec.Mtime
		return nil
	})
	if err != nil {
		return err
	}
	if extend {
		n.mu.Lock()
		n.size = max(n.size, end)
		n.mu.Unlock()
	}
	return nil
}

// SeekData returns the first offset from off on that has data, or ErrNoData behind the last.
func (h *Handle) SeekData(ctx context.Context, off uint64) (uint64, error) {
	list, size, err := h.layout(ctx, off, 1)
	if err != nil {
		return 0, err
	}
	if off >= size || len(list) == 0 || list[0].Off >= size {
		return 0, ErrNoData
	}
	return max(off, list[0].Off), nil
}

// SeekHole returns the first offset from off on that has none; the end of the file counts as one. An offset behind
// the end is ErrNoData.
func (h *Handle) SeekHole(ctx context.Context, off uint64) (uint64, error) {
	pos := off
	for {
		list, size, err := h.layout(ctx, pos, 256)
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
			if x.Off > pos {
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
