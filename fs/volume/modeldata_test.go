package volume_test

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/fs/volume"
)

// far is how long the model's files get.
const far = 40 << 10

func (m *model) opened(o *object, h *volume.Handle, sync bool) {
	o.opens++
	m.files = append(m.files, &file{h, o, sync})
}

func (m *model) openFile() {
	o := m.regular("file")
	sync := rapid.IntRange(0, 7).Draw(m.t, "sync") == 0
	h, err := m.v.Open(ctx, o.ino, volume.OpenFlags{Read: true, Write: true, Sync: sync})
	m.must(err)
	m.opened(o, h, sync)
}

func (m *model) closeFile() {
	f := m.file("file")
	if rapid.Bool().Draw(m.t, "flush") {
		m.must(f.h.Flush(ctx))
	}
	m.release(f)
}

func (m *model) release(f *file) {
	f.h.Release(ctx)
	f.o.opens--
	f.o.committed()
	m.files = slices.DeleteFunc(m.files, func(g *file) bool { return g == f })
}

func (m *model) fsync() {
	f := m.file("file")
	m.must(f.h.Sync(ctx))
	f.o.committed()
}

// place returns a piece of data and where to write it.
func (m *model) place(most int) (off int, p []byte) {
	off = rapid.IntRange(0, far).Draw(m.t, "offset")
	size := rapid.IntRange(1, most).Draw(m.t, "size")
	return off, pattern(size, rapid.Byte().Draw(m.t, "seed"))
}

// lay writes to the model.
func (o *object) lay(off int, p []byte) {
	if need := off + len(p) - len(o.data); need > 0 {
		o.data = append(o.data, make([]byte, need)...)
	}
	copy(o.data[off:], p)
}

func (m *model) writeAt(f *file, off int, p []byte) {
	m.must(f.h.Write(ctx, uint64(off), [][]byte{p[:len(p)/2], p[len(p)/2:]}, volume.Written{KillFor: member{}}))
	if kept := unprivileged(f.o.mode); kept != f.o.mode {
		f.o.mode = kept
	}
	f.o.lay(off, p)
	f.o.changed()
	if f.sync {
		f.o.committed()
	}
}

func unprivileged(mode uint32) uint32 {
	mode &^= volume.ModeSetuid
	if mode&0o010 != 0 {
		mode &^= volume.ModeSetgid
	}
	return mode
}

func (m *model) write() {
	f := m.file("file")
	off, p := m.place(6000)
	m.writeAt(f, off, p)
}

// stream writes a run of data in pages, some of them out of order.
func (m *model) stream() {
	f := m.file("file")
	off, p := m.place(30 << 10)
	const page = 1000
	var starts []int
	for at := 0; at < len(p); at += page {
		starts = append(starts, at)
	}
	if rapid.Bool().Draw(m.t, "swap") {
		for i := 1; i < len(starts); i += 2 {
			starts[i-1], starts[i] = starts[i], starts[i-1]
		}
	}
	for _, at := range starts {
		m.writeAt(f, off+at, p[at:min(len(p), at+page)])
	}
}

func (m *model) read() {
	f := m.file("file")
	off := rapid.IntRange(0, far).Draw(m.t, "offset")
	m.readAt(f.h, f.o, off, rapid.IntRange(0, 20_000).Draw(m.t, "size"))
}

func (m *model) readAt(h *volume.Handle, o *object, off, size int) {
	p := make([]byte, size)
	n, err := h.Read(ctx, p, uint64(off))
	m.must(err)
	want := o.data[min(off, len(o.data)):min(off+size, len(o.data))]
	if !bytes.Equal(p[:n], want) {
		m.t.Fatalf("read %d bytes at %d of inode %d, want %d; they differ at %d", n, off, o.ino, len(want),
			diffAt(p[:n], want))
	}
}

func (m *model) truncate() {
	o := m.regular("file")
	size := rapid.IntRange(0, far).Draw(m.t, "size")
	rec, err := m.v.SetAttr(ctx, o.ino, volume.SetAttr{Size: ptr(uint64(size))})
	m.must(err)
	o.resize(size)
	o.committed()
	m.same(o, rec)
}

func (o *object) resize(size int) {
	if size <= len(o.data) {
		o.data = slices.Clip(o.data[:size])
	} else {
		o.lay(size-1, []byte{0})
	}
}

func (m *model) allocate() {
	f := m.file("file")
	off, length := rapid.IntRange(0, far).Draw(m.t, "offset"), rapid.IntRange(1, 20_000).Draw(m.t, "length")
	mode := rapid.SampledFrom([]uint32{
		0, volume.AllocKeepSize, volume.AllocPunch | volume.AllocKeepSize, volume.AllocZero,
		volume.AllocZero | volume.AllocKeepSize,
	}).Draw(m.t, "mode")
	m.must(f.h.Allocate(ctx, mode, uint64(off), uint64(length), nil))
	o := f.o
	if mode&(volume.AllocPunch|volume.AllocZero) != 0 && off < len(o.data) {
		clear(o.data[off:min(off+length, len(o.data))])
	}
	if mode&volume.AllocKeepSize == 0 {
		o.resize(max(len(o.data), off+length))
	}
	o.committed()
}

func (m *model) copyRange() {
	src, dst := m.file("source"), m.file("file")
	from, to := rapid.IntRange(0, far).Draw(m.t, "from"), rapid.IntRange(0, far).Draw(m.t, "to")
	length := rapid.IntRange(0, 20_000).Draw(m.t, "length")
	var want error
	if src.o == dst.o && from < to+length && to < from+length {
		want = volume.ErrInvalid
	}
	n, err := dst.h.CopyRange(ctx, src.h, uint64(from), uint64(to), uint64(length), nil)
	if !m.expect(err, want) {
		return
	}
	part := slices.Clone(src.o.data[min(from, len(src.o.data)):min(from+length, len(src.o.data))])
	if int(n) != len(part) {
		m.t.Fatalf("copied %d bytes, want %d", n, len(part))
	}
	if n > 0 {
		src.o.committed()
		dst.o.lay(to, part)
		dst.o.committed()
	}
}

// seek checks that what is said to be a hole has only zeros.
func (m *model) seek() {
	f := m.file("file")
	off := rapid.IntRange(0, far).Draw(m.t, "offset")
	data := f.o.data
	at, err := f.h.SeekData(ctx, uint64(off))
	switch {
	case err == nil && (int(at) < off || int(at) >= len(data)):
		m.t.Fatalf("data at %d, searched from %d in %d bytes", at, off, len(data))
	case err == nil:
		data = data[off:at]
	default:
		m.expect(err, volume.ErrNoData)
		data = data[min(off, len(data)):]
	}
	if i := bytes.IndexFunc(data, func(r rune) bool { return r != 0 }); i >= 0 {
		m.t.Fatalf("there is data at %d, in what is said to be a hole from %d", off+i, off)
	}
	at, err = f.h.SeekHole(ctx, uint64(off))
	if off >= len(f.o.data) {
		m.expect(err, volume.ErrNoData)
		return
	}
	m.must(err)
	if int(at) < off || int(at) > len(f.o.data) || int(at) < len(f.o.data) && f.o.data[at] != 0 {
		m.t.Fatalf("a hole at %d, searched from %d in %d bytes", at, off, len(f.o.data))
	}
}
