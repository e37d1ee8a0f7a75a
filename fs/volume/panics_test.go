package volume_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/panics"
)

// panicOp has the calls of that name panic.
func panicOp(op string) func(faults.Call) error {
	return func(c faults.Call) error {
		if c.Op == op {
			panic(op)
		}
		return nil
	}
}

func panicked(t *testing.T, what string, err error) {
	t.Helper()
	var p *panics.Error
	if !errors.As(err, &p) {
		t.Errorf("%s: %v", what, err)
	}
}

// TestPanicInBackground has the stores panic below each kind of background work: the writer is told, and the volume works on.
func TestPanicInBackground(t *testing.T) {
	const part = 64 << 10
	for _, c := range []struct {
		op   string
		size int
	}{{"put", 100 << 10}, {"update", 1000}, {"put part", 20 * part}, {"complete", 20 * part}} {
		t.Run(c.op, func(t *testing.T) {
			e := newEnv(t, func(cfg *volume.Config) { cfg.Idle = 10 * time.Millisecond })
			in := e.inject()
			e.v.SmallStreams(part, part)
			h := e.create("f")
			must(t, h.Sync(ctx))
			in.FailIf(panicOp(c.op))
			e.write(h, 0, pattern(c.size, 1))
			for e.v.Stats().Dirty > 0 { // the background flushes it
				time.Sleep(time.Millisecond)
			}
			in.Reset()
			panicked(t, "fsync", h.Sync(ctx))
			e.write(h, 0, pattern(c.size, 2))
			must(t, h.Sync(ctx))
			e.want(h, pattern(c.size, 2))
			e.done(h)
		})
	}
}

// TestPanicInRead has the blob store panic below a read of several extents.
func TestPanicInRead(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	for i := range 4 {
		e.write(h, uint64(i)*100<<10, pattern(100<<10, byte(i)))
		must(t, h.Sync(ctx))
	}
	in.FailIf(panicOp("read"))
	_, err := h.Read(ctx, make([]byte, 400<<10), 0)
	panicked(t, "read", err)
	in.Reset()
	if n, err := h.Read(ctx, make([]byte, 400<<10), 0); n != 400<<10 || err != nil {
		t.Errorf("read after it: %d, %v", n, err)
	}
	e.done(h)
}

// panicky panics at the end of an Update, when its function has run.
type panicky struct {
	namespace.Store
	on atomic.Bool
}

func (p *panicky) Update(ctx context.Context, op namespace.OpID, want namespace.Want, fn func(tx namespace.Tx) error) error {
	err := p.Store.Update(ctx, op, want, fn)
	if p.on.Load() {
		panic("update")
	}
	return err
}

// TestPanicBehindTransaction has the store panic while a removal holds an inode: nobody waits for it afterwards.
func TestPanicBehindTransaction(t *testing.T) {
	e := newEnv(t)
	ino := e.put("f", []byte("x"))
	p := &panicky{Store: e.ns}
	e.ns = p
	e.reopen()
	p.on.Store(true)
	panicked(t, "unlink", e.v.Unlink(ctx, root, "f"))
	p.on.Store(false)
	opened := make(chan error, 1)
	go func() {
		_, err := e.v.Open(ctx, ino, volume.OpenFlags{Read: true})
		opened <- err
	}()
	select {
	case err := <-opened:
		wantErr(t, err, volume.ErrStale) // the transaction was done
	case <-time.After(10 * time.Second):
		t.Fatal("open waits for a removal that has ended")
	}
}
