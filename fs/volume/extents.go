package volume

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// extentEdit changes an inode's extents inside a transaction and keeps the sums that go with them: the inode's size and
// blocks, the volume's usage, the blobs' references.
type extentEdit struct {
	v      *Volume
	tx     namespace.Tx
	rec    *namespace.Inode
	bytes  int64 // that have data
	blocks int64
	inline uint64 // bytes of inline extents that were inserted
	worn   wear
	refs   map[blob.Key]int64
	made   map[blob.Key]uint64
	fresh  bool // the inode has no extents yet, and those that are put don't meet each other
	edited bool // extents were inserted or removed

	freshEnd uint64 // behind the last block of a fresh inode
}

func newExtentEdit(v *Volume, tx namespace.Tx, rec *namespace.Inode) *extentEdit {
	return &extentEdit{v: v, tx: tx, rec: rec, refs: map[blob.Key]int64{}}
}

// near reads the extents that touch the blocks of the bytes from lo up to hi.
func (e *extentEdit) near(lo, hi uint64) ([]*namespace.Extent, error) {
	first, end := blocksOf(lo, hi)
	var list []*namespace.Extent
	from := namespace.ExtentKey{Ino: e.rec.Ino, End: first*namespace.BlockSize + 1}
	for x, err := range namespace.Scan[*namespace.Extent](e.tx, from, 0) {
		if err != nil {
			return nil, err
		}
		if x.Off >= end*namespace.BlockSize {
			break
		}
		list = append(list, x)
	}
	return list, nil
}

// cut takes the bytes from lo up to hi out of the extents of a list, in order, and returns what is left of them. The
// caller counts the blocks.
func (e *extentEdit) cut(list []*namespace.Extent, lo, hi uint64) (rest []*namespace.Extent) {
	for _, x := range list {
		if x.End() <= lo || x.Off >= hi {
			rest = append(rest, x)
			continue
		}
		e.remove(x)
		if x.Blob != "" {
			e.worn.dead += min(x.End(), hi) - max(x.Off, lo)
		}
		if x.Off < lo {
			rest = append(rest, e.insert(sliceExtent(x, x.Off, lo)))
		}
		if x.End() > hi {
			rest = append(rest, e.insert(sliceExtent(x, hi, x.End())))
		}
	}
	return rest
}

// put lays an extent over the others: later extents win. It leaves x as it is. Extents that are put into a fresh inode
// come in order.
func (e *extentEdit) put(src *namespace.Extent) error {
	x := new(namespace.Extent)
	*x = *src
	first, end := blocksOf(x.Off, x.End())
	if e.fresh {
		e.blocks += int64(end - min(max(first, e.freshEnd), end))
		e.freshEnd = end
	} else {
		list, err := e.near(x.Off, x.End())
		if err != nil {
			return err
		}
		e.blocks += int64(end-first) - countBlocks(list, first, end)
		e.cut(list, x.Off, x.End())
		if x.IsInline() {
			if err := e.mergeInline(x); err != nil {
				return err
			}
		}
	}
	e.insert(x)
	if !x.Unwritten {
		e.rec.Size = max(e.rec.Size, x.End())
	}
	return nil
}

// mergeInline takes the inline extent just before x into x while both fit: a log that is synced line by line doesn't
// become an extent a line.
func (e *extentEdit) mergeInline(x *namespace.Extent) error {
	if x.Off == 0 {
		return nil
	}
	rec, err := e.tx.Get(namespace.ExtentKey{Ino: e.rec.Ino, End: x.Off})
	if isNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	prev := rec.(*namespace.Extent)
	if !prev.IsInline() || prev.Len+x.Len > uint64(e.v.cfg.InlineMax) {
		return nil
	}
	e.remove(prev)
	x.Inline = append(prev.Inline[:prev.Len:prev.Len], x.Inline...)
	x.Off, x.Len = prev.Off, prev.Len+x.Len
	return nil
}

func (e *extentEdit) insert(x *namespace.Extent) *namespace.Extent {
	e.tx.Put(x)
	e.edited = true
	if !e.fresh { // a new file isn't worn
		e.worn.extents++
	}
	if !x.Unwritten {
		e.bytes += int64(x.Len)
	}
	e.inline += uint64(len(x.Inline))
	if x.Blob != "" {
		e.refs[x.Blob]++
	}
	return x
}

func (e *extentEdit) remove(x *namespace.Extent) {
	e.tx.Delete(x.Key())
	e.edited = true
	e.worn.extents--
	if !x.Unwritten {
		e.bytes -= int64(x.Len)
	}
	if x.Blob != "" {
		e.refs[x.Blob]--
	}
}

// newBlob records a blob that this transaction's extents use first. One that was stored in an earlier session of this
// daemon may have been removed with it.
func (e *extentEdit) newBlob(key blob.Key, size uint64) error {
	if key.Session() != e.v.Session() {
		return fmt.Errorf("blob %s: %w", key, namespace.ErrFenced)
	}
	e.recordBlob(key, size)
	return nil
}

// recordBlob is newBlob for a blob from elsewhere.
func (e *extentEdit) recordBlob(key blob.Key, size uint64) {
	if e.made == nil {
		e.made = map[blob.Key]uint64{}
	}
	e.made[key] = size
}

// finish writes the sums and the inode.
func (e *extentEdit) finish() error {
	if err := e.count(); err != nil {
		return err
	}
	e.finishSums()
	e.tx.Put(e.rec)
	return nil
}

// count brings the inode's Bytes up to date.
func (e *extentEdit) count() error {
	switch {
	case !e.edited:
	case e.rec.Flags&namespace.FlagBlocks != 0:
		e.rec.Bytes = uint64(max(int64(e.rec.Bytes)+e.blocks*namespace.BlockSize, 0)) // also of a damaged volume
	default: // a sum of lengths doesn't say how many blocks there were
		list, err := e.near(0, MaxFile)
		if err != nil {
			return err
		}
		e.rec.Bytes = uint64(countBlocks(list, 0, maxBlock)) * namespace.BlockSize
		e.rec.Flags |= namespace.FlagBlocks
	}
	return nil
}

// finishSums is finish for an inode that is being deleted: it writes the sums alone.
func (e *extentEdit) finishSums() {
	now := e.v.now()
	for key, size := range e.made {
		e.tx.Put(&namespace.Blob{Blob: key, Size: size, Refs: e.refs[key], Since: now})
		delete(e.refs, key)
	}
	for key, n := range e.refs {
		if n != 0 {
			e.tx.Apply(namespace.BlobKey{Blob: key}, namespace.Delta{Refs: n, Ctime: now})
		}
	}
	if e.bytes != 0 {
		e.tx.Apply(namespace.UsageKey{Session: e.v.Session()}, namespace.Delta{Bytes: e.bytes})
	}
}

// sliceExtent returns the part of x between two file offsets.
func sliceExtent(x *namespace.Extent, lo, hi uint64) *namespace.Extent {
	s := *x
	s.Off, s.Len = lo, hi-lo
	switch {
	case x.Blob != "":
		s.BlobOff += lo - x.Off
	case !x.Unwritten:
		s.Inline = x.Inline[lo-x.Off : hi-x.Off : hi-x.Off]
	}
	return &s
}
