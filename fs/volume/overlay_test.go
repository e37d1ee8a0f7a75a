package volume

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// overlayMax is how long the file of the overlay's test is.
const overlayMax = 3000

// overlayModel is an overlay and what it should be, byte by byte.
type overlayModel struct {
	node
	gen   uint64
	has   [overlayMax]bool
	data  [overlayMax]byte
	since [overlayMax]uint64 // the generation of each byte
	up    *stream            // that parts are given to
	blobs map[*stream][]byte // what each stream got, as it was then
	given []part             // with it, the slices that were handed out
}

// TestOverlay compares the overlay with an array of bytes.
func TestOverlay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &overlayModel{gen: 1, blobs: map[*stream][]byte{}}
		m.startUp(t)
		t.Repeat(map[string]func(*rapid.T){
			"write": m.write, "tiny": m.tiny, "cut": m.cutOut, "split": m.splitAt, "part": m.givePart,
			"stored": m.storedPart, "commit": m.nextGen, "drop": m.dropGen, "read": m.readBack, "": m.check,
		})
	})
}

func drawRange(t *rapid.T) (lo, hi int) {
	lo = rapid.IntRange(0, overlayMax-1).Draw(t, "from")
	return lo, rapid.IntRange(lo+1, overlayMax).Draw(t, "to")
}

func (m *overlayModel) write(t *rapid.T) {
	lo, hi := drawRange(t)
	m.put(lo, bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, hi-lo))
}

// tiny writes byte after byte, which grows one piece.
func (m *overlayModel) tiny(t *rapid.T) {
	lo := rapid.IntRange(0, overlayMax-20).Draw(t, "from")
	for i := lo; i < lo+20; i++ {
		m.put(i, []byte{byte(i * 7)})
	}
}

func (m *overlayModel) put(lo int, p []byte) {
	m.dirty.write(uint64(lo), p, m.gen)
	for i, b := range p {
		m.has[lo+i], m.data[lo+i], m.since[lo+i] = true, b, m.gen
	}
	clear(p) // the overlay has a copy
}

func (m *overlayModel) cutOut(t *rapid.T) {
	lo, hi := drawRange(t)
	m.dirty.cut(uint64(lo), uint64(hi))
	clear(m.has[lo:hi])
}

func (m *overlayModel) splitAt(t *rapid.T) {
	m.dirty.split(rapid.Uint64Range(0, overlayMax).Draw(t, "at"))
}

// givePart gives away a part that is whole.
func (m *overlayModel) givePart(t *rapid.T) {
	number := rapid.IntRange(1, overlayMax/int(m.up.partSize)+1).Draw(t, "part")
	if m.up.isGiven(number) || !m.up.ours(&m.dirty, number) {
		t.Skip()
	}
	job := m.cutPart(m.up, number)
	if job.size != m.up.partSize {
		t.Fatalf("part %d has %d bytes, and was whole", number, job.size)
	}
	m.handOut(t, job)
}

// handOut notes what a part got.
func (m *overlayModel) handOut(t *rapid.T, job part) {
	m.up.pending.Done()
	if job.at != uint64(job.number-1)*m.up.partSize || job.size > m.up.partSize {
		t.Fatalf("part %d is at %d and has %d bytes", job.number, job.at, job.size)
	}
	at := job.at
	for _, d := range job.data {
		at += uint64(copy(m.blobs[m.up][at:], d))
	}
	if at != job.at+job.size {
		t.Fatalf("part %d has %d bytes, not %d", job.number, at-job.at, job.size)
	}
	m.given = append(m.given, job)
}

// startUp begins a new stream.
func (m *overlayModel) startUp(t *rapid.T) {
	m.up = &stream{
		partSize: rapid.Uint64Range(16, 500).Draw(t, "part size"),
		base:     rapid.Uint64Range(0, overlayMax).Draw(t, "base"),
	}
	m.blobs[m.up] = make([]byte, 3*overlayMax)
	m.given = nil
}

// storedPart ends a part of the present stream, in any order.
func (m *overlayModel) storedPart(t *rapid.T) {
	if len(m.given) == 0 {
		t.Skip()
	}
	job := rapid.SampledFrom(m.given).Draw(t, "part")
	mem := m.dirty.mem
	if freed := m.dirty.stored(m.up, job.at, job.at+job.size); freed != mem-m.dirty.mem {
		t.Fatalf("freed %d bytes, and there are %d less", freed, mem-m.dirty.mem)
	}
}

// nextGen is a commit's beginning: all loose data goes to the stream, and new writes don't touch it. The stream has all
// parts then, and all but the last are whole.
func (m *overlayModel) nextGen(t *rapid.T) {
	before := len(m.given)
	for _, job := range m.layOut(m.up) {
		m.handOut(t, job)
	}
	if m.dirty.loose != 0 {
		t.Fatalf("%d bytes have no place", m.dirty.loose)
	}
	sizes := map[int]uint64{}
	for _, job := range m.given {
		sizes[job.number] = job.size
	}
	var total uint64
	for number := 1; number <= len(m.up.given); number++ {
		if number < len(m.up.given) && sizes[number] != m.up.partSize || sizes[number] == 0 {
			t.Fatalf("part %d of %d has %d bytes", number, len(m.up.given), sizes[number])
		}
		total += sizes[number]
	}
	if total != m.up.size || len(m.given)-before > len(m.up.given) {
		t.Fatalf("%d bytes in %d parts, the stream counts %d", total, len(m.given), m.up.size)
	}
	m.gen++
	m.startUp(t)
}

// dropGen is a commit's end.
func (m *overlayModel) dropGen(*rapid.T) {
	m.dirty.drop(m.gen - 1)
	for i := range m.has {
		m.has[i] = m.has[i] && m.since[i] >= m.gen
	}
}

func (m *overlayModel) readBack(t *rapid.T) {
	lo, hi := drawRange(t)
	got := make([]byte, hi-lo)
	gaps, uploading := m.dirty.read(got, uint64(lo))
	if uploading {
		return
	}
	gap := map[int]bool{}
	for _, g := range gaps {
		for i := g.off; i < g.end; i++ {
			gap[int(i)] = true
		}
	}
	for i := lo; i < hi; i++ {
		if gap[i] == m.has[i] || m.has[i] && got[i-lo] != m.data[i] {
			t.Fatalf("byte %d is %d (a gap: %v), want %d (a gap: %v)", i, got[i-lo], gap[i], m.data[i], !m.has[i])
		}
	}
}

// check looks at every piece.
func (m *overlayModel) check(t *rapid.T) {
	var pos, total, mem, loose uint64
	m.dirty.tree.Scan(func(off uint64, p *piece) bool {
		if off != p.off || p.off < pos || p.length == 0 || p.data != nil && uint64(len(p.data)) != p.length {
			t.Fatalf("piece at %d under %d, %d bytes with %d in memory, behind one that ends at %d", p.off, off, p.length,
				len(p.data), pos)
		}
		for ; pos < p.off; pos++ {
			m.want(t, pos, false, 0)
		}
		for ; pos < p.end(); pos++ {
			b := m.data[pos]
			if p.data != nil {
				b = p.data[pos-p.off]
			}
			if p.stream != nil {
				if in := m.blobs[p.stream][p.at+pos-p.off]; in != m.data[pos] || b != in {
					t.Fatalf("byte %d is %d in memory and %d in its blob, want %d", pos, b, in, m.data[pos])
				}
			}
			m.want(t, pos, true, b)
		}
		total += p.length
		if p.data != nil {
			mem += p.length
		}
		if p.stream == nil {
			loose += p.length
		}
		return true
	})
	for ; pos < overlayMax; pos++ {
		m.want(t, pos, false, 0)
	}
	if o := &m.dirty; o.bytes != total || o.mem != mem || o.loose != loose {
		t.Fatalf("counts %d bytes, %d in memory, %d loose; has %d, %d, %d", o.bytes, o.mem, o.loose, total, mem, loose)
	}
	for _, job := range m.given {
		if blob := m.blobs[m.up][job.at : job.at+job.size]; !bytes.Equal(bytes.Join(job.data, nil), blob) {
			t.Fatalf("the bytes of part %d changed after they were given out", job.number)
		}
	}
}

func (m *overlayModel) want(t *rapid.T, i uint64, has bool, b byte) {
	if m.has[i] != has || has && m.data[i] != b {
		t.Fatalf("byte %d is %d (there: %v), want %d (there: %v)", i, b, has, m.data[i], m.has[i])
	}
}
