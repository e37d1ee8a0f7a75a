package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// readAll reads a blob in order.
func readAll(t *testing.T, s *Store, key blob.Key, want []byte, step int) {
	t.Helper()
	p := make([]byte, step)
	for off := 0; off < len(want); off += step {
		n, err := s.ReadInto(ctx, key, p, int64(off))
		if err != nil || !bytes.Equal(p[:n], want[off:min(off+step, len(want))]) {
			t.Fatalf("at %d: %d bytes, %v", off, n, err)
		}
	}
}

// TestScanPassesBy reads a file that is larger than the cache: what is read often stays, and the memory is used again.
func TestScanPassesBy(t *testing.T) {
	s := open(t, openRocks(t), Config{Memory: 16 << 20, Request: 1 << 20})
	hot, hotData := fill(t, s, 2<<20)
	cold, coldData := fill(t, s, 64<<20)
	for i := len(hotData) - 4096; i >= 0; i -= PageSize / 2 { // backwards isn't in order
		p := make([]byte, 4096)
		if n, err := s.ReadInto(ctx, hot, p, int64(i)); err != nil || !bytes.Equal(p[:n], hotData[i:i+n]) {
			t.Fatalf("at %d: %d bytes, %v", i, n, err)
		}
	}
	readAll(t, s, cold, coldData, 256<<10)
	before := s.Stats().Misses
	p := make([]byte, 4096)
	for i := len(hotData) - 4096; i >= 0; i -= PageSize / 2 {
		if _, err := s.ReadInto(ctx, hot, p, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Stats().Misses - before; n != 0 {
		t.Errorf("%d pages of what is read often were fetched again", n)
	}
	// A scan needs what is ahead, an eighth that was read, and what is on its way.
	if made, most := s.memory.made, int(2<<20+4<<20+2<<20+4<<20)/PageSize; made > most {
		t.Errorf("%d pages of memory were made, want %d at most", made, most)
	}
}

// TestMemoryIsNotShared has readers that come, go and give up on a cache that is too small for them: each gets its bytes.
func TestMemoryIsNotShared(t *testing.T) {
	s := open(t, openRocks(t), Config{Memory: 2 << 20, Request: 512 << 10})
	type file struct {
		key  blob.Key
		data []byte
	}
	files := make([]file, 3)
	for i := range files {
		files[i].key, files[i].data = fill(t, s, 4<<20+i*1000)
	}
	var wg sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, 300_000)
			off := 0
			for time.Now().Before(end) {
				f := files[rand.IntN(len(files))]
				if i%2 == 0 {
					off = rand.IntN(len(f.data))
				} else if off += 250_000; off >= len(f.data) {
					off = 0
				}
				c, stop := context.WithTimeout(ctx, time.Duration(rand.IntN(3000))*time.Microsecond)
				n, err := s.ReadInto(c, f.key, p, int64(off))
				stop()
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("at %d: %v", off, err)
				}
				if !bytes.Equal(p[:n], f.data[off:off+n]) {
					t.Errorf("at %d: other bytes", off)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := s.Delete(ctx, files[0].key); err != nil {
		t.Fatal(err)
	}
	s.purge()
	// Nothing is used but what is in memory, and nothing was given back twice.
	s.behind.Wait()
	full := 0
	s.pages.mu.Lock()
	defer s.pages.mu.Unlock()
	for _, q := range s.pages.queues() {
		for _, p := range q.Values() {
			if n := p.refs.Load(); n != 1 {
				t.Errorf("a page has %d references", n)
			}
			if p.pool != nil {
				full++
			}
		}
	}
	if free := len(s.memory.free); free+full != s.memory.made {
		t.Errorf("%d pages of memory are free and %d used, %d were made", free, full, s.memory.made)
	}
}
