package volume

import (
	"sync"

	"github.com/tidwall/btree"
)

// maxPiece is how far small writes in a row grow one piece.
const maxPiece = 1 << 20

// piece is written data of a file, from off on, that no committed extent describes yet.
type piece struct {
	off    uint64
	length uint64
	gen    uint64  // the commit that takes it: the node's gen when it was written
	data   []byte  // length bytes; nil once they are in the stream's upload
	stream *stream // the upload it was given to, if any
	at     uint64  // where in that upload's blob
	lent   bool    // data is a buffer of pieceBufs, and no other piece has a part of it
}

// pieceBufs lends buffers of maxPiece bytes to large pieces: fresh memory costs more than the copy into it.
var pieceBufs = sync.Pool{New: func() any { return new([maxPiece]byte) }}

// lendFrom is from where on a piece gets such a buffer: less than half of it is never wasted.
const lendFrom = maxPiece / 2

// hold copies data into memory of the piece's own.
func (p *piece) hold(data []byte) {
	if len(data) < lendFrom || len(data) > maxPiece {
		p.data = append([]byte(nil), data...)
		return
	}
	buf := pieceBufs.Get().(*[maxPiece]byte)
	p.data = append(buf[:0], data...)
	p.lent = true
}

// forget gives the data's memory back. Nobody may have a slice of it any more.
func (p *piece) forget() {
	if p.lent && cap(p.data) == maxPiece {
		pieceBufs.Put((*[maxPiece]byte)(p.data[:maxPiece]))
	}
	p.data, p.lent = nil, false
}

func (p *piece) end() uint64 { return p.off + p.length }

// overlay is what was written to a file and is not committed: pieces that don't overlap, ordered by offset. It lies
// over the committed extents. Not safe for concurrent use.
type overlay struct {
	tree  btree.Map[uint64, *piece]
	bytes uint64 // total length
	mem   uint64 // thereof in memory
	loose uint64 // thereof given to no stream yet
}

// from yields the pieces that end behind off, in order, until fn returns false. fn must not change the overlay.
func (o *overlay) from(off uint64, fn func(p *piece) bool) {
	start := off
	o.tree.Descend(off, func(_ uint64, p *piece) bool {
		if p.end() > off {
			start = p.off
		}
		return false
	})
	o.tree.Ascend(start, func(_ uint64, p *piece) bool { return fn(p) })
}

func (o *overlay) insert(p *piece) {
	o.tree.Set(p.off, p)
	o.account(p, 1)
}

func (o *overlay) remove(p *piece) {
	o.tree.Delete(p.off)
	o.account(p, -1)
}

func (o *overlay) account(p *piece, sign int64) {
	n := uint64(sign * int64(p.length))
	o.bytes += n
	if p.data != nil {
		o.mem += n
	}
	if p.stream == nil {
		o.loose += n
	}
}

// write lays data over the file from off on. Data that it covers and that no commit has taken is overwritten in place.
func (o *overlay) write(off uint64, data []byte, gen uint64) {
	for len(data) > 0 {
		p := o.at(off, gen)
		if p == nil {
			n := o.room(off, uint64(len(data)), gen)
			o.cut(off, off+n)
			o.add(off, data[:n], gen)
			off, data = off+n, data[n:]
			continue
		}
		n := copy(p.data[off-p.off:], data)
		off, data = off+uint64(n), data[n:]
	}
}

// at returns the piece that holds off and may be overwritten in place.
func (o *overlay) at(off, gen uint64) *piece {
	var hit *piece
	o.tree.Descend(off, func(_ uint64, p *piece) bool {
		if p.end() > off && p.gen == gen && p.stream == nil {
			hit = p
		}
		return false
	})
	return hit
}

// room returns how many of the n bytes from off lie before the next piece that may be overwritten in place.
func (o *overlay) room(off, n, gen uint64) uint64 {
	o.tree.Ascend(off, func(_ uint64, p *piece) bool {
		if p.off >= off+n {
			return false
		}
		if p.gen == gen && p.stream == nil {
			n = p.off - off
			return false
		}
		return true
	})
	return n
}

// add puts data where no piece is: at the end of the piece before it while that is small, or as a new one.
func (o *overlay) add(off uint64, data []byte, gen uint64) {
	var prev *piece
	if off > 0 {
		prev = o.at(off-1, gen)
	}
	if prev != nil && prev.length+uint64(len(data)) <= maxPiece {
		o.account(prev, -1)
		prev.data = append(prev.data, data...)
		prev.length += uint64(len(data))
		o.account(prev, 1)
		return
	}
	p := &piece{off: off, length: uint64(len(data)), gen: gen}
	p.hold(data)
	o.insert(p)
}

// cut takes the bytes from lo up to hi out of the overlay.
func (o *overlay) cut(lo, hi uint64) {
	var hit []*piece
	o.from(lo, func(p *piece) bool {
		if p.off >= hi {
			return false
		}
		hit = append(hit, p)
		return true
	})
	for _, p := range hit {
		o.remove(p)
		if p.off < lo {
			o.insert(p.slice(p.off, lo))
		}
		if p.end() > hi {
			o.insert(p.slice(hi, p.end()))
		}
	}
}

// split makes off a border between pieces.
func (o *overlay) split(off uint64) {
	var p *piece
	o.tree.Descend(off, func(_ uint64, q *piece) bool {
		if q.off < off && q.end() > off {
			p = q
		}
		return false
	})
	if p == nil {
		return
	}
	o.remove(p)
	o.insert(p.slice(p.off, off))
	o.insert(p.slice(off, p.end()))
}

// slice returns the part of p between two file offsets, as a piece of its own.
func (p *piece) slice(lo, hi uint64) *piece {
	q := &piece{off: lo, length: hi - lo, gen: p.gen, stream: p.stream, at: p.at + (lo - p.off)}
	if p.data != nil {
		// The capacity ends with the slice, so that appending to one part never writes into the next.
		q.data = p.data[lo-p.off : hi-p.off : hi-p.off]
	}
	return q
}

// drop takes out all pieces up to a generation.
func (o *overlay) drop(gen uint64) {
	var hit []*piece
	o.tree.Scan(func(_ uint64, p *piece) bool {
		if p.gen <= gen {
			hit = append(hit, p)
		}
		return true
	})
	for _, p := range hit {
		o.remove(p)
		p.forget()
	}
}

// end is the offset behind the last piece.
func (o *overlay) end() uint64 {
	_, p, ok := o.tree.Max()
	if !ok {
		return 0
	}
	return p.end()
}

// span is a range of bytes of a file.
type span struct{ off, end uint64 }

// read copies what the overlay holds of dst's bytes, which begin at off, and returns the spans that it doesn't hold.
// uploading reports bytes that are only in an open upload, which the caller has to commit first.
func (o *overlay) read(dst []byte, off uint64) (gaps []span, uploading bool) {
	pos, end := off, off+uint64(len(dst))
	o.from(off, func(p *piece) bool {
		if p.off >= end {
			return false
		}
		if p.off > pos {
			gaps = append(gaps, span{pos, p.off})
		}
		lo, hi := max(p.off, off), min(p.end(), end)
		if p.data == nil {
			uploading = true
			return false
		}
		copy(dst[lo-off:hi-off], p.data[lo-p.off:hi-p.off])
		pos = hi
		return true
	})
	if pos < end && !uploading {
		gaps = append(gaps, span{pos, end})
	}
	return gaps, uploading
}
