package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Allocation modes of Allocate; see fallocate(2).
const (
	AllocKeepSize = 0x01
	AllocPunch    = 0x02
	AllocZero     = 0x10
)

// mostAllocated is behind the last byte that can be allocated: of a file with one block more, Inode.Bytes would be larger
// than MaxFile.
const mostAllocated = MaxFile / namespace.BlockSize * namespace.BlockSize

// Allocate does what fallocate(2) does: a range counts as allocated, and the file reaches to its end unless the size is
// kept; or the range reads as zeros and keeps its space, or loses it. The space is not set aside: what is written later
// goes to a new place anyway, and may meet a full store. killFor is as in Written, and is asked
// whether it loses them.
func (h *Handle) Allocate(ctx context.Context, mode uint32, off, length uint64, killFor Caller) error {
	n := h.n
	if length == 0 {
		return ErrInvalid
	}
	end := off + length
	if end > MaxFile || end < off {
		return ErrTooBig
	}
	if mode&AllocPunch == 0 && end > mostAllocated {
		return ErrTooBig
	}
	var edit func(e *extentEdit, lo, hi uint64) error
	switch mode &^ AllocKeepSize {
	case 0:
		edit = (*extentEdit).allocate
	case AllocPunch:
		edit = (*extentEdit).punchInFile
	case AllocZero:
		edit = (*extentEdit).zero
	}
	if edit == nil || mode == AllocPunch { // which doesn't go without AllocKeepSize
		return ErrUnsupported
	}
	extend := mode&AllocKeepSize == 0
	if err := n.ensureLoaded(ctx); err != nil {
		return err
	}
	if err := n.dropPrivileges(ctx, killFor); err != nil {
		return err
	}
	n.flushing.Lock()
	defer n.flushing.Unlock()
	if err := n.load(ctx); err != nil {
		return err
	}
	err := n.commitLocked(ctx, MaxFile, func(e *extentEdit) error {
		if err := edit(e, off, end); err != nil {
			return err
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

// allocate adds unwritten extents where the bytes from lo up to hi touch blocks that have none.
func (e *extentEdit) allocate(lo, hi uint64) error {
	list, err := e.near(lo, hi)
	if err != nil {
		return err
	}
	at := lo
	gap := func(to uint64) {
		first, end := blocksOf(at, to)
		if at < to && countBlocks(list, first, end) < int64(end-first) {
			e.insert(&namespace.Extent{Ino: e.rec.Ino, Off: at, Len: to - at, Unwritten: true})
		}
	}
	for _, x := range list {
		gap(min(x.Off, hi))
		at = max(at, x.End())
	}
	gap(hi)
	first, end := blocksOf(lo, hi)
	e.blocks += int64(end-first) - countBlocks(list, first, end)
	return nil
}

// zero makes the bytes from lo up to hi read as zeros, and allocates them.
func (e *extentEdit) zero(lo, hi uint64) error {
	return e.put(&namespace.Extent{Ino: e.rec.Ino, Off: lo, Len: hi - lo, Unwritten: true})
}

// punchInFile is punch as fallocate(2) does it: what is allocated behind the end of the file stays, as on ext4.
func (e *extentEdit) punchInFile(lo, hi uint64) error {
	if lo >= e.rec.Size {
		return nil
	}
	if hi > e.rec.Size { // up to the end of the block that has the end of the file
		hi = (e.rec.Size/namespace.BlockSize + 1) * namespace.BlockSize
	}
	return e.punch(lo, hi)
}

// punch makes the bytes from lo up to hi read as zeros. Blocks that lie in them lose their space; the others keep it, as
// on a disk, where a block is allocated or not.
func (e *extentEdit) punch(lo, hi uint64) error {
	list, err := e.near(lo, hi)
	if err != nil {
		return err
	}
	rest := e.cut(list, lo, hi)
	first, end := blocksOf(lo, hi)
	wholeFirst, wholeEnd := wholeBlocks(lo, hi)
	edges := []uint64{first, end - 1}
	if first == end-1 {
		edges = edges[:1]
	}
	for _, b := range edges {
		if b >= wholeFirst && b < wholeEnd || countBlocks(list, b, b+1) == countBlocks(rest, b, b+1) {
			continue
		}
		x := &namespace.Extent{Ino: e.rec.Ino, Off: max(lo, b*namespace.BlockSize), Unwritten: true}
		x.Len = min(hi, (b+1)*namespace.BlockSize) - x.Off
		e.insert(x)
	}
	e.blocks -= countBlocks(list, wholeFirst, wholeEnd)
	return nil
}
