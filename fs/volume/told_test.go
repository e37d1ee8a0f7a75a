package volume_test

import (
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestErrorOutlivesOtherCloses has a process that the writer started close the file that it inherited, as every exec does
// with the files of a Go program. Whatever that close was told, the writer's own is told, too.
func TestErrorOutlivesOtherCloses(t *testing.T) {
	for _, when := range []string{"after the error", "with the error"} {
		t.Run(when, func(t *testing.T) {
			e := newEnv(t, func(c *volume.Config) { c.Idle = time.Nanosecond })
			in := e.inject()
			h := e.create("f")
			e.write(h, 0, pattern(50_000, 1))
			in.FailIf(failOp("put"))
			if when == "after the error" {
				e.v.FlushIdle(ctx)
				in.Reset()
			}
			wantErr(t, h.Flush(ctx), faults.ErrInjected) // the other process's
			in.Reset()
			wantErr(t, h.Flush(ctx), faults.ErrInjected) // the writer's
			wantErr(t, h.Sync(ctx), faults.ErrInjected)
			must(t, h.Sync(ctx)) // it knows
			e.done(h)
		})
	}
}

// TestErrorOutlivesItsCaller has the caller of an fsync be gone when it ends: the next one tells what that one had to say.
func TestErrorOutlivesItsCaller(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	e.write(h, 0, pattern(50_000, 1))
	in.FailIf(failOp("put"))
	upTo, err := h.SyncUntold(ctx)
	wantErr(t, err, faults.ErrInjected)
	in.Reset()
	_, err = h.SyncUntold(ctx)
	wantErr(t, err, faults.ErrInjected)
	wantErr(t, h.Flush(ctx), faults.ErrInjected)
	h.Told(upTo)
	e.done(h)
	must(t, h.Sync(ctx))
}

// TestErrorOfWriteBack has the kernel's write-back fail, which the kernel tells to each fsync, but only to the first close.
func TestErrorOfWriteBack(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	h := e.create("f")
	e.write(h, 0, pattern(50_000, 1))
	in.FailIf(failOp("put"))
	wantErr(t, h.Sync(ctx), faults.ErrInjected) // its size has to be read again
	in.FailIf(failOp("view"))
	back := volume.Written{Cached: true}
	wantErr(t, h.Write(ctx, 0, [][]byte{pattern(50_000, 2)}, back), faults.ErrInjected)
	in.Reset()
	wantErr(t, h.Flush(ctx), faults.ErrInjected)
	wantErr(t, h.Flush(ctx), faults.ErrInjected)
	must(t, h.Sync(ctx)) // the kernel told an fsync before it sent this one
	e.done(h)
}
