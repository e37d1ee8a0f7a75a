package volume

import (
	"context"
	"errors"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
)

// OpenFlags says what a handle is for.
type OpenFlags struct {
	Read, Write bool
	Sync        bool // every write is durable when it returns (O_SYNC, O_DSYNC)
	NoAtime     bool // reads leave the access time alone (O_NOATIME)
}

// Handle is an open file or directory. Its methods may be called concurrently, but not after Release.
type Handle struct {
	n     *node
	flags OpenFlags
	told  uint64 // up to which of the node's errors an fsync told; guarded by the node's mu
	// toldKernel is up to which of the node's unsent errors the kernel told; guarded by the node's mu.
	toldKernel uint64
	read       bool // the access time was looked after; guarded by the node's mu
	// admitted says that the inode is known to stay while the handle is open; guarded by the node's life.
	admitted bool
	keep     bool                // see KeepCache; set before the handle is used
	lockers  map[*lockOwner]bool // whose locks were set through it; guarded by the node's mu
}

// Ino is the open inode.
func (h *Handle) Ino() namespace.Ino { return h.n.ino }

// Open opens a file or directory. An inode that doesn't exist any more is ErrStale, but for a directory that was removed
// here and that the kernel still knows, as the working directory of a process: it is empty.
func (v *Volume) Open(ctx context.Context, ino namespace.Ino, flags OpenFlags) (*Handle, error) {
	if flags.Write {
		if err := v.writable(ctx); err != nil {
			return nil, err
		}
	}
	n := v.nodes.get(v, ino)
	if v.removed.isDir(ino) {
		n.life.Lock()
		defer n.life.Unlock()
		return n.newHandle(flags), nil
	}
	if v.cfg.Shared {
		return n.openShared(ctx, flags)
	}
	if err := n.ensureLoaded(ctx); err != nil {
		v.nodes.put(n)
		return nil, err
	}
	h, err := n.open(flags)
	if err != nil {
		v.nodes.put(n)
	}
	return h, err
}

// open makes a handle of a node that the caller holds; the hold goes to the handle.
func (n *node) open(flags OpenFlags) (*Handle, error) {
	n.life.Lock()
	defer n.life.Unlock()
	if n.gone {
		return nil, ErrStale
	}
	return n.newHandle(flags), nil
}

// openShared opens a node that other daemons may have changed, and shows it as it is now. The handle is counted first:
// if the inode loses its name meanwhile, this daemon holds it from its next beat on, or finds here that it has none.
func (n *node) openShared(ctx context.Context, flags OpenFlags) (*Handle, error) {
	h, err := n.open(flags)
	if err != nil {
		n.v.nodes.put(n)
		return nil, err
	}
	rec, err := n.latest(ctx)
	if err == nil {
		n.life.Lock()
		if rec.Nlink == 0 && n.admitted == 0 {
			err = ErrStale
		} else {
			h.admitted = true
			n.admitted++
		}
		n.life.Unlock()
	}
	if err != nil {
		h.close()
		return nil, err
	}
	h.keep = n.v.known.isSame(rec)
	return h, nil
}

// latest is reload for a caller that doesn't hold flushing.
func (n *node) latest(ctx context.Context) (*namespace.Inode, error) {
	n.v.lockOver(ctx, &n.flushing)
	defer n.flushing.Unlock()
	return n.reload(ctx)
}

// KeepCache reports whether the file is as this mount last knew it, so that what the kernel has of it is true.
func (h *Handle) KeepCache() bool { return h.keep }

// newHandle counts a handle of a node that the caller holds, with its life.
func (n *node) newHandle(flags OpenFlags) *Handle {
	n.handles++
	if flags.Write {
		n.writers++
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Handle{n: n, flags: flags, told: n.errs.n, toldKernel: n.unsent.n}
}

// Flush commits what was written to the file if the handle may write, and its creation: it then survives a kill of the
// daemon. This is what close(2) does.
//
// It reports an error of an earlier commit, and leaves it to be reported by each next Flush until a Sync did. A handle has
// several descriptors after dup and fork, and any program that the writer starts closes those that it inherited without a
// look at the outcome: were the error gone then, the writer's own close would say that its data is stored.
func (h *Handle) Flush(ctx context.Context) error {
	var err error
	if h.flags.Write || h.n.unborn.Load() {
		err = h.n.commit(h.failing(ctx), nil)
	}
	_, err = h.outcome(err)
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if err == nil {
		err = h.n.unsent.since(h.toldKernel)
	}
	return err
}

// failing is ctx, or one that waits for the stores for a moment only, if they were waited for in vain just now: for an
// upload of the file, or for data that is lost already, which is reported whatever becomes of the rest.
func (h *Handle) failing(ctx context.Context) context.Context {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return h.n.shortly(ctx, isAway(h.n.errs.since(h.told)))
}

// shortly is ctx, or one that waits for a moment only if the stores were waited for in vain just now, or failed says so.
// The caller holds mu.
func (n *node) shortly(ctx context.Context, failed bool) context.Context {
	if failed || time.Since(n.away) < awayTime {
		return patience.With(ctx, awayTime)
	}
	return ctx
}

// outcome returns what an fsync or close has to report after its own commit, and up to which of the node's errors that
// speaks for.
func (h *Handle) outcome(committed error) (upTo uint64, err error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	if committed != nil {
		return h.n.errs.n, committed
	}
	return h.n.errs.n, h.n.errs.since(h.told)
}

// Sync commits the file's data and makes the file and every operation before it durable. This is what fsync(2) does, on
// directories too. It reports an error of an earlier commit once a handle.
func (h *Handle) Sync(ctx context.Context) error {
	upTo, err := h.SyncUntold(ctx)
	h.Told(upTo)
	return err
}

// SyncUntold is Sync for a caller that may be gone when it ends: the error is reported again, by the next Sync or Flush,
// until Told is called with upTo.
func (h *Handle) SyncUntold(ctx context.Context) (upTo uint64, err error) {
	h.n.mu.Lock()
	h.toldKernel = h.n.unsent.n // had it not told them, it would not have sent this
	h.n.mu.Unlock()
	ctx = h.failing(ctx)
	var unsettled error
	synced, err := h.n.commitSynced(ctx, func() error { // what else was made, so that the commit makes it durable, too
		unsettled = h.n.v.settle(ctx, func(_ namespace.DentryKey, n *node) bool { return n != h.n })
		return unsettled
	})
	if upTo, err = h.outcome(err); err != nil {
		return upTo, err
	}
	if unsettled != nil {
		return upTo, unsettled
	}
	if synced || h.n.v.cfg.ReadOnly {
		return upTo, nil
	}
	err = h.n.v.sync(context.WithoutCancel(ctx))
	if errors.Is(err, namespace.ErrLost) { // which is one of the node's errors, too
		h.n.mu.Lock()
		upTo = h.n.errs.n
		h.n.mu.Unlock()
	}
	return upTo, err
}

// Told notes that the error of a SyncUntold was given to who called fsync.
func (h *Handle) Told(upTo uint64) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.told = max(h.told, upTo)
}

// Release ends the handle. Data that was written and never flushed is committed; an inode that lost its last name is
// removed with its last handle.
func (h *Handle) Release(ctx context.Context) {
	if h.flags.Write || h.n.unborn.Load() {
		h.n.flushFor(ctx)
	}
	h.releaseLocks(ctx)
	v, ino := h.n.v, h.n.ino
	if h.close() {
		v.queueReap(ino, false)
	}
}

// close takes the handle from its node and reports whether the inode has nothing more to stay for.
func (h *Handle) close() (reap bool) {
	n := h.n
	n.life.Lock()
	n.handles--
	if h.admitted {
		n.admitted--
	}
	if h.flags.Write {
		n.writers--
	}
	reap = n.handles == 0 && n.orphan && !n.gone
	n.life.Unlock()
	n.v.nodes.put(n)
	return reap
}

// OpenForWrite reports whether any handle may write to the inode.
func (v *Volume) OpenForWrite(ino namespace.Ino) bool {
	n := v.nodes.peek(ino)
	if n == nil {
		return false
	}
	defer v.nodes.put(n)
	n.life.Lock()
	defer n.life.Unlock()
	return n.writers > 0
}
