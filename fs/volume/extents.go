package volume

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// extentEdit changes an inode's extents inside a transaction and keeps the sums that go with them: the inode's size and
// bytes, the volume's usage, the blobs' references.
type extentEdit struct {
	v      *Volume
	tx     namespace.Tx
	rec    *namespace.Inode
	bytes  int64
	inline uint64 // bytes of inline extents that were inserted
	worn   wear
	refs   map[blob.Key]int64
	made   map[blob.Key]uint64
	fresh  bool // the inode has no extents yet, and those that are put don't meet each other
}

func newExtentEdit(v *Volume, tx namespace.Tx, rec *namespace.Inode) *extentEdit {
	return &extentEdit{v: v, tx: tx, rec: rec, refs: map[blob.Key]int64{}}
}

// clear takes the bytes from lo up to hi out of the extents: they read as zeros then.
func (e *extentEdit) clear(lo, hi uint64) error {
	var hit []*namespace.Extent
	from := namespace.ExtentKey{Ino: e.rec.Ino, End: lo + 1}
	for x, err := range namespace.Scan[*namespace.Extent](e.tx, from, 0) {
		if err != nil {
			return err
		}
		if x.Off >= hi {
			break
		}
		hit = append(hit, x)
	}
	for _, x := range hit {
		e.remove(x)
		if x.Blob != "" {
			e.worn.dead += min(x.End(), hi) - max(x.Off, lo)
		}
		if x.Off < lo {
			e.insert(sliceExtent(x, x.Off, lo))
		}
		if x.End() > hi {
			e.insert(sliceExtent(x, hi, x.End()))
		}
	}
	return nil
}

// put lays an extent over the others: later extents win. It leaves x as it is.
func (e *extentEdit) put(src *namespace.Extent) error {
	x := new(namespace.Extent)
	*x = *src
	if !e.fresh {
		if err := e.clear(x.Off, x.End()); err != nil {
			return err
		}
		if x.Blob == "" {
			if err := e.mergeInline(x); err != nil {
				return err
			}
		}
	}
	e.insert(x)
	e.rec.Size = max(e.rec.Size, x.End())
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
	if prev.Blob != "" || prev.Len+x.Len > uint64(e.v.cfg.InlineMax) {
		return nil
	}
	e.remove(prev)
	x.Inline = append(prev.Inline[:prev.Len:prev.Len], x.Inline...)
	x.Off, x.Len = prev.Off, prev.Len+x.Len
	return nil
}

func (e *extentEdit) insert(x *namespace.Extent) {
	e.tx.Put(x)
	if !e.fresh { // a new file isn't worn
		e.worn.extents++
	}
	e.bytes += int64(x.Len)
	e.inline += uint64(len(x.Inline))
	if x.Blob != "" {
		e.refs[x.Blob]++
	}
}

func (e *extentEdit) remove(x *namespace.Extent) {
	e.tx.Delete(x.Key())
	e.worn.extents--
	e.bytes -= int64(x.Len)
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
func (e *extentEdit) finish() {
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
	e.rec.Bytes += uint64(e.bytes)
	if e.bytes != 0 {
		e.tx.Apply(namespace.UsageKey{Session: e.v.Session()}, namespace.Delta{Bytes: e.bytes})
	}
	e.tx.Put(e.rec)
}

// sliceExtent returns the part of x between two file offsets.
func sliceExtent(x *namespace.Extent, lo, hi uint64) *namespace.Extent {
	s := *x
	s.Off, s.Len = lo, hi-lo
	if x.Blob != "" {
		s.BlobOff += lo - x.Off
	} else {
		s.Inline = x.Inline[lo-x.Off : hi-x.Off : hi-x.Off]
	}
	return &s
}
