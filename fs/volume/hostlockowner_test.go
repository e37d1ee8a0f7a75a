package volume_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/fs/volume"
)

// whole is a write lock of a whole file.
func whole(owner uint64) volume.Lock {
	return volume.Lock{Owner: owner, End: volume.MaxFile, Write: true}
}

// TestHostsLateRelease has the release of an open file come after the process closed it, opened it again and locked it
// again: it must not touch that lock. So must none that a child kept open.
func TestHostsLateRelease(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	other := hosts[1].openFile("f")
	defer other.Release(ctx)
	a := hosts[0].openFile("f")
	lock(t, a, whole(1), nil)
	must(t, a.Closing(1)(ctx)) // the parent's close; a child has it open still
	b := hosts[0].openFile("f")
	lock(t, b, whole(1), nil)
	must(t, a.Closing(2)(ctx)) // the child's, which has no locks
	a.Release(ctx)
	lock(t, other, whole(7), volume.ErrLocked)
	lock(t, b, whole(1), nil)
	must(t, b.Closing(1)(ctx))
	lock(t, other, whole(7), nil)
	b.Release(ctx)
}

// TestHostsLateClose has a close be late: the one whose number the kernel gave to another process is waited for no more.
func TestHostsLateClose(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	other := hosts[1].openFile("f")
	defer other.Release(ctx)
	a, b := hosts[0].openFile("f"), hosts[0].openFile("f")
	defer b.Release(ctx)
	first := volume.Lock{Owner: 1, End: 9, Write: true}
	second := volume.Lock{Owner: 1, Start: 20, End: 29, Write: true}
	lock(t, a, first, nil)
	unlock := a.Closing(1)
	lock(t, b, second, nil)
	must(t, unlock(ctx))
	a.Release(ctx)
	lock(t, other, volume.Lock{Owner: 7, End: 9, Write: true}, nil)
	lock(t, other, volume.Lock{Owner: 7, Start: 20, End: 29, Write: true}, volume.ErrLocked)
}

// TestHostsOpenFileLock keeps the lock of an open file until its release, whoever closes a descriptor.
func TestHostsOpenFileLock(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	other := hosts[1].openFile("f")
	defer other.Release(ctx)
	a, b := hosts[0].openFile("f"), hosts[0].openFile("f")
	lock(t, a, whole(100), nil) // as F_OFD_SETLK: the owner is the open file
	must(t, a.Closing(1)(ctx))
	must(t, b.Closing(1)(ctx))
	b.Release(ctx)
	lock(t, other, whole(7), volume.ErrLocked)
	a.Release(ctx)
	lock(t, other, whole(7), nil)
}

// TestHostsUnlockLater gives a lock back whose file was released while the server could not be reached.
func TestHostsUnlockLater(t *testing.T) {
	hosts, links := farHosts(t, 2)
	hosts[0].put("f", nil)
	other := hosts[1].openFile("f")
	defer other.Release(ctx)
	a := hosts[0].openFile("f")
	lock(t, a, whole(1), nil)
	links[0].Hold()
	a.Release(hosts[0].impatient())
	links[0].Release()
	eventually(t, "the lock", func() bool {
		_, err := other.SetLock(ctx, whole(7), false)
		if err != nil && !errors.Is(err, volume.ErrLocked) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// TestHostsCloseWhileWaiting has a process close one descriptor of a file while a thread of it waits for a lock through
// another one: it gets that lock, as on a local disk.
func TestHostsCloseWhileWaiting(t *testing.T) {
	hosts := newHosts(t, 2)
	hosts[0].put("f", nil)
	other := hosts[1].openFile("f")
	defer other.Release(ctx)
	a, b := hosts[0].openFile("f"), hosts[0].openFile("f")
	defer b.Release(ctx)
	lock(t, other, whole(7), nil)
	lock(t, b, whole(1), volume.ErrLocked)
	got := make(chan error, 1)
	go func() {
		_, err := b.SetLock(ctx, whole(1), true)
		got <- err
	}()
	eventually(t, "the wait", func() bool { return hosts[0].v.Waits(b.Ino()) })
	must(t, a.Closing(1)(ctx))
	a.Release(ctx)
	must(t, other.Unlock(ctx, whole(7)))
	must(t, <-got)
	lock(t, other, whole(7), volume.ErrLocked)
	must(t, b.Closing(1)(ctx))
	lock(t, other, whole(7), nil)
}

// TestHostsManyLocks sets many locks of one file. Each costs as many exchanges as the first, and about the time.
func TestHostsManyLocks(t *testing.T) {
	h := newHosts(t, 1)[0]
	h.put("f", nil)
	f := h.openFile("f")
	defer f.Release(ctx)
	const n, some = 3000, 100
	next := 0
	set := func(count int) (trips uint64, took time.Duration) {
		before, begin := h.db.NamespaceStats().Trips, time.Now()
		for range count {
			lock(t, f, volume.Lock{Owner: 1, Start: uint64(2 * next), End: uint64(2 * next), Write: true}, nil)
			next++
		}
		return h.db.NamespaceStats().Trips - before, time.Since(begin)
	}
	first, early := set(some)
	set(n - 2*some)
	last, late := set(some)
	t.Logf("%d locks: the first %d took %v, the last %v", n, some, early, late)
	if last > first+first/4 { // beats have some, too
		t.Errorf("the first %d locks cost %d exchanges, the last %d", some, first, last)
	}
	if late > 10*early+time.Second {
		t.Errorf("the first %d locks took %v, the last %v", some, early, late)
	}
}

// impatient is a context of operations that give up soon.
func (h *host) impatient() context.Context { return patience.With(ctx, 300*time.Millisecond) }
