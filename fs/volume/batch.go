package volume

import (
	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// batch is the written data that one commit takes, and where it goes.
type batch struct {
	gen      uint64
	stream   *stream // the upload that has some of it, or nil
	empty    *stream // an upload of which nothing is left in the file
	parts    []part  // what the upload still gets
	pieces   []piece // what the extents describe, by offset; a copy
	mtime    namespace.Time
	loose    uint64 // bytes that no upload had
	key      blob.Key
	size     uint64 // the blob's
	cut      uint64 // bytes that chg cuts off, which are gone
	appended uint64 // as node.appended
	synced   func() // namespace.Want.Synced of its transaction, or nil
}

// gather returns the parts' bytes in a row.
func (b *batch) gather() []byte {
	if len(b.parts) == 1 && len(b.parts[0].data) == 1 {
		return b.parts[0].data[0]
	}
	p := make([]byte, 0, b.size)
	for _, job := range b.parts {
		for _, d := range job.data {
			p = append(p, d...)
		}
	}
	return p
}

// blobExtents describes the pieces as ranges of the blob, as few as possible.
func (b *batch) blobExtents(ino namespace.Ino) []*namespace.Extent {
	var list []*namespace.Extent
	var last *namespace.Extent
	for i := range b.pieces {
		p := &b.pieces[i]
		if last != nil && last.End() == p.off && last.BlobOff+last.Len == p.at {
			last.Len += p.length
			continue
		}
		last = &namespace.Extent{Ino: ino, Off: p.off, Len: p.length, Blob: b.key, BlobOff: p.at}
		list = append(list, last)
	}
	return list
}

// inlineExtents describes the pieces with their bytes, by extents of at most a size.
func (b *batch) inlineExtents(ino namespace.Ino, most uint64) []*namespace.Extent {
	var list []*namespace.Extent
	var last *namespace.Extent
	for i := range b.pieces {
		p := &b.pieces[i]
		for done := uint64(0); done < p.length; {
			off := p.off + done
			if last == nil || last.End() != off || last.Len >= most {
				last = &namespace.Extent{Ino: ino, Off: off}
				list = append(list, last)
			}
			n := min(p.length-done, most-last.Len)
			data := p.data[done : done+n : done+n]
			if last.Len > 0 {
				data = append(last.Inline, data...)
			}
			// The piece's bytes stay unchanged once taken; the full slice makes an append copy them.
			last.Inline, last.Len = data, last.Len+n
			done += n
		}
	}
	return list
}
