package volume_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// lossy is a store whose server crashed, as long as lost is set.
type lossy struct {
	namespace.Store
	lost atomic.Bool
}

func (s *lossy) Sync(ctx context.Context) error {
	if s.lost.Load() {
		return &namespace.Error{Op: "sync", Store: "lossy", Err: namespace.ErrLost}
	}
	return s.Store.Sync(ctx)
}

// TestLostCommitsAreToldToEachFile lets one file's fsync find out that the server crashed.
func TestLostCommitsAreToldToEachFile(t *testing.T) {
	e := &env{t: t, cfg: testConfig()}
	e.ns, e.bs = newStores(t)
	ns := &lossy{Store: e.ns}
	e.ns = ns
	e.open()
	t.Cleanup(func() { must(t, e.v.Close(ctx)) })
	open := func(name string) *volume.Handle {
		_, h, err := e.v.CreateOpen(ctx, root, name, volume.Node{Mode: volume.ModeFile | 0o644}, volume.OpenFlags{Write: true})
		must(t, err)
		must(t, h.Write(ctx, 0, [][]byte{[]byte(name)}, volume.Written{}))
		must(t, h.Flush(ctx))
		return h
	}
	a, b := open("a"), open("b")
	ns.lost.Store(true)
	if err := a.Sync(ctx); !errors.Is(err, namespace.ErrLost) {
		t.Errorf("fsync after a crash = %v", err)
	}
	ns.lost.Store(false)
	must(t, a.Sync(ctx)) // has been told
	if err := b.Sync(ctx); !errors.Is(err, namespace.ErrLost) {
		t.Errorf("fsync of another file whose data may be lost = %v", err)
	}
	must(t, b.Sync(ctx))
	c := open("c")
	must(t, c.Sync(ctx))
	for _, h := range []*volume.Handle{a, b, c} {
		h.Release(ctx)
	}
}
