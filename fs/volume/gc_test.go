package volume_test

import (
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/fs/volume"
)

func TestCollect(t *testing.T) {
	c, set := newClock(10_000)
	e := newEnv(t, set)
	p := pattern(100<<10, 1)
	e.put("f", p)
	e.put("g", p)
	h := e.openFile("f")
	e.write(h, 0, pattern(50<<10, 2)) // half of the blob is still used
	e.done(h)
	must(t, e.v.Unlink(ctx, root, "g"))
	collect := func(grace time.Duration, want int) {
		t.Helper()
		got, err := e.v.Collect(ctx, grace, false)
		must(t, err)
		if got.Blobs != want || got.Bytes != int64(want*len(p)) {
			t.Errorf("collected %+v, want %d blobs", got, want)
		}
	}
	collect(time.Minute, 0)
	c.set(10_059)
	collect(time.Minute, 0)
	c.set(10_060)
	collect(time.Minute, 1)
	collect(0, 0)
	copy(p, pattern(50<<10, 2))
	e.wantFile("f", p)
	_, err := e.v.SetAttr(ctx, e.lookup("f").Ino, volume.SetAttr{Size: ptr(uint64(50 << 10))})
	must(t, err)
	collect(0, 1)
	e.wantFile("f", p[:50<<10])
	if blobs, _ := e.storedBlobs(); blobs != 1 {
		t.Errorf("%d blobs are left, want 1", blobs)
	}
}

// TestCollectWhileRead deletes blobs under their readers: who looked at the extents before looks again.
func TestCollectWhileRead(t *testing.T) {
	e := newEnv(t)
	const size = 40_000
	h := e.create("f")
	e.write(h, 0, pattern(size, 0))
	must(t, h.Flush(ctx))
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		r := e.openFile("f")
		defer r.Release(ctx)
		p := make([]byte, size)
		for {
			select {
			case <-quit:
				return
			default:
			}
			if n, err := r.Read(ctx, p, 0); err != nil || n != size {
				t.Errorf("read %d, %v", n, err)
				return
			}
		}
	})
	for i := range 100 {
		e.write(h, 0, pattern(size, byte(i)))
		must(t, h.Flush(ctx))
		_, err := e.v.Collect(ctx, 0, false)
		must(t, err)
	}
	close(quit)
	wg.Wait()
	e.done(h)
}

// TestBlobsMissing reads a file of which more than one blob is gone: an error, and not for ever.
func TestBlobsMissing(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	for i := range 4 {
		e.write(h, uint64(i)*20_000, pattern(20_000, byte(i)))
		must(t, h.Flush(ctx))
	}
	list, err := e.v.Extents(ctx, h.Ino())
	must(t, err)
	for _, x := range list {
		must(t, e.bs.Delete(ctx, x.Blob))
	}
	if n, err := h.Read(ctx, make([]byte, 80_000), 0); err == nil {
		t.Errorf("read %d bytes of missing blobs", n)
	}
	e.done(h)
	must(t, e.v.Unlink(ctx, root, "f"))
}

// TestErrorOnce reports an error of a background commit once to each handle's fsync, to each close until then, and to no
// other file's.
func TestErrorOnce(t *testing.T) {
	e := newEnv(t, func(c *volume.Config) { c.Idle = time.Nanosecond })
	in := e.inject()
	a, b, other := e.create("f"), e.openFile("f"), e.create("other")
	e.write(a, 0, pattern(50_000, 1))
	e.write(other, 0, pattern(100, 2))
	in.FailIf(failOp("put"))
	e.v.FlushIdle(ctx)
	in.Reset()
	if n := e.v.Stats().Faults; n != 1 {
		t.Errorf("%d faults are counted, want 1", n)
	}
	must(t, other.Sync(ctx))
	late := e.openFile("f") // opened after it happened
	wantErr(t, a.Sync(ctx), faults.ErrInjected)
	must(t, a.Sync(ctx))
	must(t, a.Flush(ctx))
	wantErr(t, b.Flush(ctx), faults.ErrInjected)
	wantErr(t, b.Flush(ctx), faults.ErrInjected)
	wantErr(t, b.Sync(ctx), faults.ErrInjected)
	must(t, b.Flush(ctx))
	must(t, late.Sync(ctx))
	p := pattern(60_000, 3)
	e.write(a, 0, p)
	must(t, a.Sync(ctx))
	e.want(b, p)
	for _, h := range []*volume.Handle{a, b, late, other} {
		e.done(h)
	}
	e.wantFile("other", pattern(100, 2))
}

// TestSizeAfterFailure keeps what was written while a commit was failing.
func TestSizeAfterFailure(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	e.write(h, 0, pattern(1000, 1))
	must(t, h.Flush(ctx))
	e.write(h, 0, pattern(50_000, 2))
	in.FailIf(func(c faults.Call) error {
		if c.Op != "put" {
			return nil
		}
		e.write(h, 2000, []byte("late"))
		return faults.ErrInjected
	})
	wantErr(t, h.Flush(ctx), faults.ErrInjected)
	in.FailIf(nil)
	want := append(append(pattern(1000, 1), make([]byte, 1000)...), "late"...)
	e.want(h, want)
	wantErr(t, h.Sync(ctx), faults.ErrInjected) // that close may have been another program's
	must(t, h.Sync(ctx))
	e.want(h, want)
	e.done(h)
}

// TestTruncateFails must not lose data without a word.
func TestTruncateFails(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	e.write(h, 0, pattern(1000, 1))
	in.FailIf(failOp("commit"))
	_, err := e.v.SetAttr(ctx, h.Ino(), volume.SetAttr{Size: ptr(uint64(0))})
	wantErr(t, err, faults.ErrInjected)
	in.FailIf(nil)
	wantErr(t, h.Sync(ctx), faults.ErrInjected)
	e.want(h, nil)
	e.done(h)
}
