package blobtest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/graviton-fs/graviton/backend/blob"
)

// sizes straddle the chunk and part sizes that stores have.
var sizes = []int{
	0, 1, 4095, 4096, 65537, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1 << 20, 4<<20 - 1, 4 << 20, 4<<20 + 1, 11<<20 + 17,
}

func testPutStat(t *testing.T, s blob.Store) {
	for _, size := range sizes {
		key, data := newKey(), random(size)
		put(t, s, key, data)
		expect(t, s, key, data)
		info, err := s.Stat(ctx, key)
		check(t, err)
		if !recent(info.Created) {
			t.Errorf("Created is %v", info.Created)
		}
	}
}

func testRanges(t *testing.T, s blob.Store) {
	key, data := newKey(), random(3<<20+12345)
	put(t, s, key, data)
	up := newKey()
	upload(t, s, up, data)
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		off := r.IntN(len(data))
		n := r.IntN(min(len(data)-off, 1<<(4+r.IntN(18)))) + 1
		for _, k := range []blob.Key{key, up} {
			got, err := fetch(s, k, int64(off), int64(n))
			check(t, err)
			same(t, got, data[off:off+n])
		}
	}
}

func testRangeEdges(t *testing.T, s blob.Store) {
	key, data := newKey(), random(200<<10)
	size := int64(len(data))
	put(t, s, key, data)
	empty := newKey()
	put(t, s, empty, nil)
	for _, tt := range []struct {
		off, n int64
		want   []byte
	}{
		{0, -1, data},
		{size - 1, -1, data[size-1:]},
		{size, -1, nil},
		{size + 1, -1, nil},
		{1 << 60, -1, nil},
		{size, 10, nil},
		{size + 1000, 10, nil},
		{size - 5, 10, data[size-5:]},
		{0, size + 1, data},
		{0, 1 << 62, data},
		{10, 1<<63 - 1, data[10:]},
		{0, 0, nil},
		{100, 0, nil},
		{128<<10 - 1, 2, data[128<<10-1 : 128<<10+1]},
	} {
		got, err := fetch(s, key, tt.off, tt.n)
		check(t, err)
		same(t, got, tt.want)
		got, err = fetch(s, empty, tt.off, tt.n)
		check(t, err)
		same(t, got, nil)
	}
	_, err := fetch(s, key, -1, 10)
	fails(t, err, blob.ErrInvalid)
}

func testStream(t *testing.T, s blob.Store) {
	key, data := newKey(), random(700<<10)
	put(t, s, key, data)
	r, err := s.Open(ctx, key, 0, -1)
	check(t, err)
	// Reads of odd sizes, of one byte, and after the end.
	check(t, iotest.TestReader(struct{ io.Reader }{r}, data))
	check(t, r.Close())

	r, err = s.Open(ctx, key, 0, -1)
	check(t, err)
	_, err = io.ReadFull(r, make([]byte, 1000))
	check(t, err)
	check(t, r.Close()) // before the end
}

func testNotFound(t *testing.T, s blob.Store) {
	missing(t, s, newKey())
	check(t, s.Delete(ctx, newKey()))
	_, err := fetch(s, newKey(), 0, 0)
	fails(t, err, blob.ErrNotFound)
}

func testReadInto(t *testing.T, s blob.Store) {
	ri, ok := s.(blob.ReaderInto)
	if !ok {
		t.Skip("the store has no ReaderInto")
	}
	key, data := newKey(), random(1<<20+77)
	put(t, s, key, data)
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		off := r.IntN(len(data) + 1000)
		p := bytes.Repeat([]byte{0xee}, r.IntN(300<<10))
		n, err := ri.ReadInto(ctx, key, p, int64(off))
		check(t, err)
		var want []byte
		if off < len(data) {
			want = data[off:min(len(data), off+len(p))]
		}
		same(t, p[:n], want)
		same(t, p[n:], bytes.Repeat([]byte{0xee}, len(p)-n)) // nothing else is touched

		v := split(r, bytes.Repeat([]byte{0xee}, len(p)))
		n, err = blob.ReadAtv(ctx, s, key, v, int64(off))
		check(t, err)
		same(t, slices.Concat(v...)[:n], want)
		same(t, slices.Concat(v...)[n:], p[n:])
	}
	_, err := ri.ReadInto(ctx, key, make([]byte, 1), -1)
	fails(t, err, blob.ErrInvalid)

	empty := newKey()
	put(t, s, empty, nil)
	n, err := ri.ReadInto(ctx, empty, make([]byte, 10), 0)
	check(t, err)
	if n != 0 {
		t.Errorf("%d bytes of an empty blob", n)
	}
}

// split cuts p in pieces.
func split(r *rand.Rand, p []byte) (v blob.Vector) {
	for len(p) > 0 {
		n := min(len(p), r.IntN(100<<10))
		v, p = append(v, p[:n]), p[n:]
	}
	return v
}

func testCapacity(t *testing.T, s blob.Store) {
	c, ok := s.(blob.Capacity)
	if !ok {
		t.Skip("the store has no Capacity")
	}
	total, free, err := c.Capacity(ctx)
	check(t, err)
	if total <= 0 || free < 0 || free > total {
		t.Errorf("%d of %d bytes are free", free, total)
	}
}
