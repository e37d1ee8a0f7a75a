package volume_test

import (
	"errors"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
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
