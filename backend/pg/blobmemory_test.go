package pg

import (
	"bytes"
	"io"
	"runtime"
	"testing"
)

// TestMemory streams a blob in and out again and watches the heap.
func TestMemory(t *testing.T) {
	for _, name := range []string{"rows", "large objects"} {
		t.Run(name, func(t *testing.T) {
			s := openNew(t, variants[name]).blobs
			const size = 96 << 20
			key := newTestKey()
			var most uint64
			watch := func() {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
			watch()
			before := most
			check(t, s.Put(ctx, key, pattern{watch}, size, nil))
			r, err := s.Open(ctx, key, 0, -1)
			check(t, err)
			buf, want := make([]byte, 1<<20), make([]byte, 1<<20)
			for off := int64(0); off < size; off += 1 << 20 {
				_, err := io.ReadFull(r, buf)
				check(t, err)
				if _, _ = (pattern{}).ReadAt(want, off); !bytes.Equal(buf, want) {
					t.Fatalf("bytes from %d aren't what was put", off)
				}
				if off%(32<<20) == 0 {
					watch()
				}
			}
			check(t, r.Close())
			if used := most - before; used > 40<<20 {
				t.Errorf("%d MiB of heap for a blob of %d MiB", used>>20, size>>20)
			}
		})
	}
}

// pattern is a source without end, each MiB of which differs; watch is called now and then.
type pattern struct{ watch func() }

func (p pattern) ReadAt(b []byte, off int64) (int, error) {
	clear(b)
	for i := 0; i < len(b); i += 512 {
		b[i], b[i+1], b[i+2] = byte((off+int64(i))>>20), byte((off+int64(i))>>12), byte(i>>9)
	}
	if p.watch != nil && off%(32<<20) == 0 {
		p.watch()
	}
	return len(b), nil
}
