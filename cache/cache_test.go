package cache

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/blobtest"
	"github.com/graviton-fs/graviton/backend/rocks"
)

var ctx = context.Background()

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a store that counts its range reads, and holds them up while gate is closed to them.
type counting struct {
	blob.Store
	reads atomic.Int64
	bytes atomic.Int64
	gate  chan struct{}
}

func (c *counting) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	c.reads.Add(1)
	c.bytes.Add(int64(len(p)))
	if c.gate != nil {
		<-c.gate
	}
	return blob.ReadAt(ctx, c.Store, key, p, off)
}

func openRocks(t *testing.T) blob.Store {
	t.Helper()
	db, err := rocks.Open(rocks.Config{Path: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.Blobs()
}

func open(t *testing.T, inner blob.Store, cfg Config) *Store {
	t.Helper()
	s, err := New(inner, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := New(openRocks(t), Config{Memory: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func fill(t *testing.T, s blob.Store, n int) (blob.Key, []byte) {
	t.Helper()
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	key := blob.NewKey(rand.Uint64(), 1)
	if err := s.Put(ctx, key, bytes.NewReader(data), int64(n), nil); err != nil {
		t.Fatal(err)
	}
	return key, data
}

func read(t *testing.T, s *Store, key blob.Key, want []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	got, err := s.ReadInto(ctx, key, p, int64(off))
	if err != nil {
		t.Fatal(err)
	}
	end := min(off+n, len(want))
	if off > len(want) {
		end = off
	}
	if got != end-off || !bytes.Equal(p[:got], want[off:end]) {
		t.Fatalf("read %d bytes at %d, got %d or others", n, off, got)
	}
}

// TestSingleFlight has many readers miss one page at once: it is fetched once.
func TestSingleFlight(t *testing.T) {
	inner := &counting{Store: openRocks(t), gate: make(chan struct{})}
	s := open(t, inner, Config{Memory: 8 << 20})
	key, data := fill(t, s, PageSize-1)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { read(t, s, key, data, 5, 100) })
	}
	for inner.reads.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(inner.gate)
	wg.Wait()
	if n := inner.reads.Load(); n != 1 {
		t.Errorf("%d reads of one page, want 1", n)
	}
	read(t, s, key, data, 0, PageSize)
	if n := inner.reads.Load(); n != 1 {
		t.Errorf("the page was fetched again: %d reads", n)
	}
}

// TestRun fetches missing pages in a row by one read.
func TestRun(t *testing.T) {
	inner := &counting{Store: openRocks(t)}
	s := open(t, inner, Config{Memory: 8 << 20})
	key, data := fill(t, s, 10*PageSize)
	read(t, s, key, data, 0, 8*PageSize)
	if n := inner.reads.Load(); n != 1 {
		t.Errorf("8 pages took %d reads", n)
	}
}

// TestRandomReads fetch the pages that were asked for and no others.
func TestRandomReads(t *testing.T) {
	inner := &counting{Store: openRocks(t)}
	s := open(t, inner, Config{Memory: 64 << 20})
	key, data := fill(t, s, 200*PageSize)
	for _, page := range []int{150, 20, 90, 5, 180, 60, 120} {
		read(t, s, key, data, page*PageSize+77, 4096)
	}
	s.behind.Wait()
	if n := inner.bytes.Load(); n != 7*PageSize {
		t.Errorf("7 random reads fetched %d pages", n/PageSize)
	}
}

// TestReadAhead finds pages that were fetched before they were asked for, in reads that grow.
func TestReadAhead(t *testing.T) {
	inner := &counting{Store: openRocks(t)}
	s := open(t, inner, Config{Memory: 64 << 20, ReadAhead: 4 << 20})
	key, data := fill(t, s, 100*PageSize)
	for off := 0; off < len(data); off += PageSize {
		read(t, s, key, data, off, PageSize)
		s.behind.Wait()
	}
	if n := inner.reads.Load(); n > 20 {
		t.Errorf("reading 100 pages in order took %d fetches", n)
	}
	if st := s.Stats(); st.Hits < 90 {
		t.Errorf("%d of 100 reads found their page", st.Hits)
	}
}

// TestOutOfOrder reads ahead of a reader whose reads arrive in another order, as the kernel sends them: 8 MiB a fetch, and
// nothing behind the end.
func TestOutOfOrder(t *testing.T) {
	inner := &counting{Store: openRocks(t)}
	s := open(t, inner, Config{Memory: 256 << 20})
	const size, step = 64 << 20, 1 << 20
	key, data := fill(t, s, size)
	for off := 0; off < size; off += 3 * step {
		for _, at := range []int{off + 2*step, off, off + step} {
			if at < size {
				read(t, s, key, data, at, step)
			}
			s.behind.Wait()
		}
	}
	if n := inner.reads.Load(); n > size/(8<<20)+10 {
		t.Errorf("reading %d bytes in order took %d fetches", size, n)
	}
	if n := inner.bytes.Load(); n != size {
		t.Errorf("%d bytes were fetched of %d", n, size)
	}
}

// TestMemory stays within the bound, however much is read.
func TestMemory(t *testing.T) {
	s := open(t, openRocks(t), Config{Memory: 4 << 20})
	key, data := fill(t, s, 300*PageSize)
	for off := 0; off < len(data); off += PageSize {
		read(t, s, key, data, off, PageSize)
	}
	s.behind.Wait()
	if n := s.Stats().Pages; n > 4<<20/PageSize {
		t.Errorf("%d pages are cached, the bound is %d", n, 4<<20/PageSize)
	}
}

// TestReusedKey must not show the pages of the deleted blob that had the key before.
func TestReusedKey(t *testing.T) {
	s := open(t, openRocks(t), Config{Memory: 8 << 20})
	key, data := fill(t, s, PageSize)
	read(t, s, key, data, 0, PageSize)
	if err := s.Delete(ctx, key); err != nil {
		t.Fatal(err)
	}
	fresh := bytes.Repeat([]byte("new"), 1000)
	if err := s.Put(ctx, key, bytes.NewReader(fresh), int64(len(fresh)), nil); err != nil {
		t.Fatal(err)
	}
	read(t, s, key, fresh, 0, PageSize)
}
