package fs

import (
	"context"
	"io"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/fs/volume"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// overFaults is a front end, without a mount, of a volume whose stores fail when told to.
func overFaults(t *testing.T) (*FS, *faults.Injector) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	db, err := rocks.Open(rocks.Config{Path: t.TempDir(), WriteBufferSize: 8 << 20, Reserve: -1, Logger: log})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	in := faults.New()
	cfg := volume.Config{InlineMax: 16 << 10, Dirty: 64 << 20, GCGrace: time.Hour, Idle: time.Hour, Log: log}
	v, err := volume.Open(context.Background(), faults.Namespace(db.Namespace(), in), faults.Blobs(db.Blobs(), in), cfg)
	must(t, err)
	t.Cleanup(func() { must(t, v.Close(context.Background())) })
	f := newFS(v, time.Minute, true, true)
	t.Cleanup(f.OnUnmount)
	return f, in
}

// TestInterruptedFsync has a program be told to stop while its fsync waits for a store, and go on all the same: the call is
// EINTR, and what it would have said comes with the next one.
func TestInterruptedFsync(t *testing.T) {
	f, in := overFaults(t)
	_, h, err := f.vol.CreateOpen(background(), namespace.Root, "f", volume.Node{Mode: volume.ModeFile | 0o644}, volume.OpenFlags{Write: true})
	must(t, err)
	defer h.Release(background())
	must(t, h.Write(background(), 0, [][]byte{make([]byte, 100_000)}, volume.Written{}))
	goOn := make(chan struct{})
	in.FailIf(func(c faults.Call) error {
		if c.Op != "put" {
			return nil
		}
		<-goOn
		return faults.ErrInjected
	})
	// A process that isn't there counts as one that was told to stop.
	req := &fuse.FsyncIn{InHeader: fuse.InHeader{NodeId: uint64(h.Ino()), Caller: fuse.Caller{Pid: 1 << 30}}, Fh: f.open.add(h)}
	interrupted := make(chan struct{})
	close(interrupted)
	if got := f.Fsync(interrupted, req); got != fuse.Status(syscall.EINTR) {
		t.Errorf("the interrupted fsync: %v", got)
	}
	time.AfterFunc(100*time.Millisecond, func() { close(goOn) })
	if got := f.Fsync(nil, req); got != fuse.EIO {
		t.Errorf("the next fsync: %v, want the error of what was lost meanwhile", got)
	}
	if got := f.Fsync(nil, req); got != fuse.OK {
		t.Errorf("the one after it: %v", got)
	}
}
