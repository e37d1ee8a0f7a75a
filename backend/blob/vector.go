package blob

import (
	"hash/crc32"
	"io"
)

// Vector is bytes in several buffers, one after the other. Its methods copy no more than they say.
type Vector [][]byte

// Len is how many bytes there are.
func (v Vector) Len() int {
	n := 0
	for _, b := range v {
		n += len(b)
	}
	return n
}

// Slice is the part from lo up to hi, in the same memory.
func (v Vector) Slice(lo, hi int) Vector {
	var part Vector
	for _, b := range v {
		if from, to := max(lo, 0), min(hi, len(b)); from < to {
			part = append(part, b[from:to])
		}
		lo, hi = lo-len(b), hi-len(b)
	}
	return part
}

// Copy fills it from the front, and returns how many bytes that were.
func (v Vector) Copy(p []byte) int {
	n := 0
	for _, b := range v {
		n += copy(b, p[n:])
	}
	return n
}

// ReadFull fills it from r like io.ReadFull.
func (v Vector) ReadFull(r io.Reader) (int, error) {
	n := 0
	for _, b := range v {
		m, err := io.ReadFull(r, b)
		n += m
		if err == io.EOF && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// WriteTo writes all of it.
func (v Vector) WriteTo(w io.Writer) (int64, error) {
	var n int64
	for _, b := range v {
		m, err := w.Write(b)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// CRC is the checksum of all of it.
func (v Vector) CRC(table *crc32.Table) (crc uint32) {
	for _, b := range v {
		crc = crc32.Update(crc, table, b)
	}
	return crc
}

// ReadAt implements io.ReaderAt.
func (v Vector) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for _, b := range v {
		if off < int64(len(b)) {
			n += copy(p[n:], b[off:])
			off = 0
		} else {
			off -= int64(len(b))
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Head is the first n bytes, or all if there are fewer. They may be in the same memory.
func (v Vector) Head(n int) []byte {
	if len(v) > 0 && len(v[0]) >= n {
		return v[0][:n]
	}
	head := make([]byte, min(n, v.Len()))
	_, _ = v.ReadAt(head, 0) // there are so many
	return head
}
