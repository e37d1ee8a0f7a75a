package volume_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/fs/volume"
)

// noOrphans checks that no inode is without a name.
func (e *env) noOrphans() {
	e.t.Helper()
	list, err := e.v.Orphans(ctx)
	must(e.t, err)
	if len(list) > 0 {
		e.t.Errorf("orphans are left: %+v", list[0])
	}
}

func TestUnlinkWhileOpen(t *testing.T) {
	for name, size := range map[string]int{"inline": 1000, "blob": 200 << 10} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			p := pattern(size, 1)
			h := e.create("f")
			e.write(h, 0, p)
			must(t, h.Flush(ctx))
			h2 := e.openFile("f")
			must(t, e.v.Unlink(ctx, root, "f"))
			_, err := e.v.Lookup(ctx, root, "f")
			wantErr(t, err, volume.ErrNotFound)
			e.put("f", []byte("another"))
			e.want(h, p)
			e.write(h, 5, []byte("more"))
			copy(p[5:], "more")
			must(t, h.Sync(ctx))
			h.Release(ctx)
			e.want(h2, p)
			h2.Release(ctx)
			e.reopen()
			e.noOrphans()
			_, err = e.v.Collect(ctx, 0, true)
			must(t, err)
			if blobs, _ := e.storedBlobs(); blobs != 0 {
				t.Errorf("%d blobs are left of the unlinked file", blobs)
			}
			e.wantFile("f", []byte("another"))
		})
	}
}

// TestUnlinkLarge removes a file with more extents than one transaction takes.
func TestUnlinkLarge(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	for i := range 3000 {
		e.write(h, uint64(i)*8192, []byte{1})
	}
	e.done(h)
	must(t, e.v.Unlink(ctx, root, "f"))
	e.reopen() // which waits for the background
	e.noOrphans()
	st, err := e.v.Statfs(ctx)
	must(t, err)
	if st.Used != 0 || st.Inodes != 1 {
		t.Errorf("the volume counts %d bytes in %d inodes, want an empty one", st.Used, st.Inodes)
	}
}

func TestTmpfile(t *testing.T) {
	e := newEnv(t)
	node := volume.Node{Mode: volume.ModeFile | 0o600}
	rec, h, err := e.v.Tmpfile(ctx, root, node, rw)
	must(t, err)
	if rec.Nlink != 0 {
		t.Errorf("a file without a name has %d links", rec.Nlink)
	}
	p := pattern(30_000, 1)
	e.write(h, 0, p)
	_, err = e.v.Link(ctx, rec.Ino, root, "f")
	must(t, err)
	e.done(h)
	e.wantFile("f", p)

	_, h, err = e.v.Tmpfile(ctx, root, node, rw)
	must(t, err)
	e.write(h, 0, p)
	e.done(h)
	e.reopen()
	e.noOrphans()
	e.wantFile("f", p)
	// A file that got a name and lost it again is an orphan as any other.
	rec, h, err = e.v.Tmpfile(ctx, root, node, rw)
	must(t, err)
	_, err = e.v.Link(ctx, rec.Ino, root, "g")
	must(t, err)
	must(t, e.v.Unlink(ctx, root, "g"))
	e.write(h, 0, p)
	e.want(h, p)
	e.done(h)
	e.reopen()
	e.noOrphans()
}

// TestOrphansOfACrash are reaped at the next open, with their space.
func TestOrphansOfACrash(t *testing.T) {
	e := newEnv(t)
	h := e.create("f")
	e.write(h, 0, pattern(500<<10, 1))
	must(t, h.Flush(ctx))
	must(t, e.v.Unlink(ctx, root, "f"))
	_, h, err := e.v.Tmpfile(ctx, root, volume.Node{Mode: volume.ModeFile}, rw)
	must(t, err)
	e.write(h, 0, pattern(500<<10, 1))
	must(t, h.Flush(ctx))
	e.crash()
	e.buried()
	e.noOrphans()
	got, err := e.v.Collect(ctx, 0, false)
	must(t, err)
	if got.Blobs != 2 {
		t.Errorf("collected %+v, want two blobs", got)
	}
}

// TestRemovedUnderOpen races opening against removing: whoever got a handle can use it.
func TestRemovedUnderOpen(t *testing.T) {
	e := newEnv(t)
	p := pattern(100, 1)
	for range 200 {
		ino := e.put("f", p)
		var wg sync.WaitGroup
		wg.Go(func() {
			h, err := e.v.Open(ctx, ino, rw)
			if err != nil {
				wantErr(t, err, volume.ErrStale)
				return
			}
			defer h.Release(ctx)
			got := make([]byte, 100)
			if n, err := h.Read(ctx, got, 0); err != nil || n != 100 {
				t.Errorf("read %d, %v", n, err)
			}
			if err := h.Write(ctx, 0, [][]byte{{1}}, volume.Written{}); err != nil {
				t.Error(err)
			}
			if err := h.Flush(ctx); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := e.v.Unlink(ctx, root, "f"); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	e.reopen()
	e.noOrphans()
}

// TestReapMany removes more unlinked files than one transaction or the queue takes, and is idle then.
func TestReapMany(t *testing.T) {
	e := newEnv(t)
	var open []*volume.Handle
	for i := range 700 {
		h := e.create(fmt.Sprint("f", i))
		e.write(h, 0, pattern(100, byte(i)))
		must(t, h.Flush(ctx))
		must(t, e.v.Unlink(ctx, root, fmt.Sprint("f", i)))
		open = append(open, h)
	}
	for _, h := range open {
		h.Release(ctx)
	}
	eventually(t, "the removal", func() bool {
		list, err := e.v.Orphans(ctx)
		return err == nil && len(list) == 0
	})
	calm := 0
	eventually(t, "rest", func() bool {
		if calm++; !e.v.ReapsNothing() {
			calm = 0
		}
		return calm == 50
	})
}

// TestReapAfterError removes many orphans at once, of which a large one fails: none of the others is forgotten.
func TestReapAfterError(t *testing.T) {
	e := newEnv(t)
	in := e.inject()
	var handles []*volume.Handle
	for i, extents := range []int{70, 60, 60, 60} { // the first is large, the last has no room in the transaction of the others
		h := e.create(fmt.Sprint(i))
		for x := range extents {
			e.write(h, uint64(x)*8192, []byte{1})
		}
		must(t, h.Sync(ctx))
		must(t, e.v.Unlink(ctx, root, fmt.Sprint(i)))
		handles = append(handles, h)
	}
	var fail atomic.Bool // until all of them wait
	var updates atomic.Int32
	fail.Store(true)
	in.FailIf(func(c faults.Call) error {
		if c.Op == "update" && (fail.Load() || updates.Add(1) == 2) { // the second removes the large one
			return faults.ErrInjected
		}
		return nil
	})
	for _, h := range handles {
		h.Release(ctx)
	}
	fail.Store(false)
	e.reaped()
}
