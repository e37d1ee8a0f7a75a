package volume_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/fs/volume"
)

// TestHostsUnlinkOpen removes files that another daemon has open: they stay until that one closes them, or dies.
func TestHostsUnlinkOpen(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	p := pattern(50<<10, 1)
	ino := a.put("f", p)
	a.put("g", p)
	h, g := b.openFile("f"), b.openFile("g")
	must(t, a.v.Unlink(ctx, root, "f"))
	a.put("new", p)
	must(t, a.v.Rename(ctx, root, "new", root, "g", 0))
	_, err := a.v.Open(ctx, ino, rw)
	wantErr(t, err, volume.ErrStale)
	time.Sleep(2 * testLease)
	b.want(h, p)
	b.want(g, p)
	b.write(h, 0, []byte("still"))
	must(t, h.Flush(ctx))
	h.Release(ctx)
	orphans := func() int {
		list, err := a.v.Orphans(ctx)
		must(t, err)
		return len(list)
	}
	eventually(t, "the removal of the closed file", func() bool { return orphans() == 1 })
	b.want(g, p)
	b.kill()
	eventually(t, "the removal of the dead daemon's file", func() bool { return orphans() == 0 })
	a.wantFile("g", p)
	if list := a.holds(); len(list) != 0 {
		t.Errorf("%d holds are left", len(list))
	}
}

// TestHostsUnlinkRace opens files in one daemon while the other removes them. Who could open one can read it.
func TestHostsUnlinkRace(t *testing.T) {
	hosts := newHosts(t, 2)
	a, b := hosts[0], hosts[1]
	p := pattern(40<<10, 3)
	var g errgroup.Group
	for i := range 60 {
		ino := a.put(fmt.Sprint("f", i), p)
		g.Go(func() error { return a.v.Unlink(ctx, root, fmt.Sprint("f", i)) })
		g.Go(func() error {
			h, err := b.v.Open(ctx, ino, volume.OpenFlags{Read: true})
			if errors.Is(err, volume.ErrStale) {
				return nil
			}
			if err != nil {
				return err
			}
			defer h.Release(ctx)
			time.Sleep(testLease)
			got := make([]byte, len(p))
			if n, err := h.Read(ctx, got, 0); err != nil || n != len(p) || !bytes.Equal(got, p) {
				return fmt.Errorf("file %d: read %d bytes, %w", i, n, err)
			}
			return nil
		})
	}
	must(t, g.Wait())
	eventually(t, "the removal of all", func() bool {
		list, err := a.v.Orphans(ctx)
		must(t, err)
		return len(list) == 0
	})
}
