package volume_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestStream writes a file of several parts in order, as cp does.
func TestStream(t *testing.T) {
	e := newEnv(t)
	p := pattern(21<<20+12345, 1)
	h := e.create("f")
	for off := 0; off < len(p); off += 1 << 20 {
		e.write(h, uint64(off), p[off:min(len(p), off+1<<20)])
	}
	if _, uploads := e.storedBlobs(); uploads != 1 {
		t.Errorf("%d open uploads while a large file is written, want 1", uploads)
	}
	e.done(h)
	e.wantRaw(h, p)
	e.wantFile("f", p)
	e.reopen()
	e.wantFile("f", p)
}

// wantRaw checks that the file is one blob of its raw bytes.
func (e *env) wantRaw(h *volume.Handle, p []byte) {
	e.t.Helper()
	list, err := e.v.Extents(ctx, h.Ino())
	must(e.t, err)
	if len(list) != 1 {
		e.t.Fatalf("%d extents, want 1: the file is one blob", len(list))
	}
	r, err := e.bs.Open(ctx, list[0].Blob, 0, -1)
	must(e.t, err)
	raw, err := io.ReadAll(r)
	must(e.t, errors.Join(err, r.Close()))
	if !bytes.Equal(raw, p) {
		e.t.Errorf("the blob has %d bytes, and not the file's %d", len(raw), len(p))
	}
}

// TestStreamOutOfOrder writes as the kernel's write-back does: pages in some order within a window, the tail page more
// than once.
func TestStreamOutOfOrder(t *testing.T) {
	e := newEnv(t)
	const page, window = 64 << 10, 16
	p := pattern(18<<20, 1)
	h := e.create("f")
	rnd := rand.New(rand.NewPCG(3, 4))
	var order []int
	for base := 0; base < len(p); base += page * window {
		for _, i := range rnd.Perm(min(window, (len(p)-base)/page)) {
			order = append(order, base+i*page)
		}
	}
	for i, off := range order {
		if i%7 == 0 { // a page that is sent again, first with its old content
			e.write(h, uint64(off), make([]byte, page))
		}
		e.write(h, uint64(off), p[off:off+page])
	}
	copy(p[len(p)-page:], pattern(page, 9))
	e.write(h, uint64(len(p)-page), p[len(p)-page:])
	e.done(h)
	e.wantRaw(h, p)
	e.wantFile("f", p)
	e.reopen()
	e.wantFile("f", p)
}

// TestStreamFarOutOfOrder has requests of 1 MiB come up to 12 of them out of order, as those in flight do.
func TestStreamFarOutOfOrder(t *testing.T) {
	e := newEnv(t)
	const request, window = 1 << 20, 12
	p := pattern(100<<20+5000, 1)
	h := e.create("f")
	rnd := rand.New(rand.NewPCG(3, 4))
	for base := 0; base < len(p); base += request * window {
		for _, i := range rnd.Perm(window) {
			if off := base + i*request; off < len(p) {
				e.write(h, uint64(off), p[off:min(len(p), off+request)])
			}
		}
	}
	e.done(h)
	e.wantRaw(h, p)
	e.wantFile("f", p)
}

// TestScatteredWrites writes pieces that make no part, more of them than may stay in memory.
func TestScatteredWrites(t *testing.T) {
	e := newEnv(t)
	p := make([]byte, 160<<20)
	h := e.create("f")
	for off := 0; off < len(p)-1<<20; off += 2 << 20 {
		copy(p[off:], pattern(1<<20, byte(off>>20)))
		e.write(h, uint64(off), p[off:off+1<<20])
		if n := e.v.Stats().Dirty; n > 40<<20 {
			t.Fatalf("%d bytes are in memory", n)
		}
	}
	e.write(h, uint64(len(p)-1), []byte{1})
	p[len(p)-1] = 1
	e.done(h)
	e.wantFile("f", p)
}

// TestStreamRewrites overwrites what was given to an upload already, cuts it off, and reads it.
func TestStreamRewrites(t *testing.T) {
	e := newEnv(t)
	p := pattern(17<<20, 1)
	h := e.create("f")
	chunk := 1 << 20
	for off := 0; off < len(p); off += chunk {
		e.write(h, uint64(off), p[off:off+chunk])
	}
	patch := func(off int, q []byte) {
		copy(p[off:], q)
		e.write(h, uint64(off), q)
	}
	patch(1000, pattern(5000, 2))
	patch(4<<20-10, pattern(20, 3)) // across two parts
	got := make([]byte, 100)
	_, err := h.Read(ctx, got, 2<<20) // of the upload, which is sealed by it
	must(t, err)
	if !bytes.Equal(got, p[2<<20:2<<20+100]) {
		t.Error("read of uploaded bytes differs")
	}
	e.want(h, p)
	patch(3<<20, pattern(9<<20, 4)) // a second blob over the first
	p = p[:15<<20]
	_, err = e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(len(p)))})
	must(t, err)
	e.want(h, p)
	e.done(h)
	e.crash()
	e.wantFile("f", p)
}

// TestStreamsInParallel has several writers in one file at a time.
func TestStreamsInParallel(t *testing.T) {
	e := newEnv(t)
	p := pattern(32<<20, 1)
	h := e.create("f")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			const step = 128 << 10
			for off := w * step; off < len(p); off += 4 * step {
				if err := h.Write(ctx, uint64(off), [][]byte{p[off : off+step]}, volume.Written{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	e.done(h)
	e.wantFile("f", p)
}

// TestStreamOfNothing cuts a file off whose upload has begun.
func TestStreamOfNothing(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	p := pattern(12<<20, 1)
	for off := 0; off < len(p); off += 1 << 20 {
		e.write(h, uint64(off), p[off:off+1<<20])
	}
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
	must(t, err)
	e.done(h)
	e.wantFile("f", nil)
	_, err = e.v.Collect(ctx, 0, true)
	must(t, err)
	if blobs, uploads := e.storedBlobs(); blobs+uploads != 0 {
		t.Errorf("%d blobs and %d uploads are left", blobs, uploads)
	}
}

// TestSlowWriters has many files written at once with a budget that none of them can fill a part within.
func TestSlowWriters(t *testing.T) {
	e := newEnv(t, func(c *volume.Config) { c.Dirty = 1 << 20 })
	const writers, size, step = 64, 96 << 10, 8 << 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			_, h, err := e.v.CreateOpen(ctx, root, string(rune('0'+w)), volume.Node{Mode: volume.ModeFile | 0o644}, rw)
			if err != nil {
				t.Error(err)
				return
			}
			p := pattern(size, byte(w))
			for off := 0; off < size; off += step {
				if err := h.Write(ctx, uint64(off), [][]byte{p[off : off+step]}, volume.Written{}); err != nil {
					t.Error(err)
				}
			}
			if err := h.Flush(ctx); err != nil {
				t.Error(err)
			}
			h.Release(ctx)
		})
	}
	wg.Wait()
	if used := e.v.Stats().Dirty; used != 0 {
		t.Errorf("%d bytes of the budget are in use after all files were closed", used)
	}
	for w := range writers {
		e.wantFile(string(rune('0'+w)), pattern(size, byte(w)))
	}
}

// TestWriteLargerThanBudget must not wait for what can't come.
func TestWriteLargerThanBudget(t *testing.T) {
	e := newEnv(t, func(c *volume.Config) { c.Dirty = 64 << 10 })
	other := e.create("other")
	h := e.create("f")
	for i := range 4 {
		e.write(other, uint64(i)*8192, pattern(1000, byte(i))) // a little of the budget stays in use
		e.write(h, uint64(i)*100_000, pattern(100_000, byte(i)))
	}
	e.done(h)
	e.done(other)
}

// TestWaitForBudgetEnds has a writer give up while it waits.
func TestWaitForBudgetEnds(t *testing.T) {
	block := make(chan struct{})
	e := newEnv(t, func(c *volume.Config) { c.Dirty = 32 << 10 })
	e.close()
	inner := e.bs
	e.bs = &slowPut{Store: inner, block: block}
	e.open()
	h := e.create("f")
	e.write(h, 0, pattern(32<<10, 1))
	short, cancel := context.WithCancel(ctx)
	failed := make(chan error)
	go func() { failed <- h.Write(short, 32<<10, [][]byte{{1}}, volume.Written{}) }()
	cancel()
	wantErr(t, <-failed, context.Canceled)
	close(block)
	e.write(h, 32<<10, []byte{2})
	e.done(h)
	e.wantFile("f", append(pattern(32<<10, 1), 2))
	e.close()
	e.bs = inner
	e.open()
}

// slowPut holds Put until block is closed.
type slowPut struct {
	blob.Store
	block chan struct{}
}

func (s *slowPut) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	<-s.block
	return s.Store.Put(ctx, key, r, size, attr)
}

// TestTimesDontEndStream sets times while a file is being streamed, as the kernel's write-back does: it stays one blob with
// the file's raw bytes.
func TestTimesDontEndStream(t *testing.T) {
	e := newEnv(t)
	p := pattern(20<<20, 1)
	h := e.create("f")
	var at namespace.Time
	for off := 0; off < len(p); off += 1 << 20 {
		must(t, h.Write(ctx, uint64(off), [][]byte{p[off : off+1<<20]}, volume.Written{Cached: true}))
		at = namespace.Time{Sec: int64(off)}
		_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Mtime: &at, Ctime: &at})
		must(t, err)
	}
	e.done(h)
	list, err := e.v.Extents(ctx, h.Ino())
	must(t, err)
	if len(list) != 1 || list[0].BlobOff != 0 || list[0].Len != uint64(len(p)) {
		t.Errorf("the file has %d extents, want one blob", len(list))
	}
	rec := e.lookup("f")
	if rec.Mtime != at {
		t.Errorf("modified at %v, want %v", rec.Mtime, at)
	}
	e.wantFile("f", p)
}

// TestBuffersAreNotShared writes several files at once in large pieces, some of them twice: memory that is used again must
// not show in another file.
func TestBuffersAreNotShared(t *testing.T) {
	e := newEnv(t)
	const step = 1 << 20
	var wg sync.WaitGroup
	for w := range 4 {
		name := string(rune('a' + w))
		h := e.create(name)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 1))
			p := pattern(40*step+777*w, byte(w))
			put := func(off, n int) {
				end := min(len(p), off+n)
				if err := h.Write(ctx, uint64(off), [][]byte{p[off:end]}, volume.Written{}); err != nil {
					t.Error(err)
				}
			}
			for off := 0; off < len(p); off += step {
				put(off, step)
				if back := rnd.IntN(off + 1); rnd.IntN(3) == 0 {
					copy(p[back:], pattern(min(step/2, len(p)-back), byte(off>>20)))
					put(back, step/2)
				}
				if rnd.IntN(9) == 0 {
					if err := h.Flush(ctx); err != nil {
						t.Error(err)
					}
				}
			}
			if err := h.Flush(ctx); err != nil {
				t.Error(err)
			}
			h.Release(ctx)
			e.wantFile(name, p)
		})
	}
	wg.Wait()
}
