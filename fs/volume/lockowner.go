package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// lockOwner is a locker from its first lock until it gave all up. What gives those up, a close or the release of an open
// file, may come late: it must not touch the locks that were set since.
type lockOwner struct {
	kind namespace.HoldKind
	id   uint64 // what Hold.Owner says
	// retired says that it sets no more locks, freed that those it had are given back; both are guarded by the node's mu.
	retired, freed bool
}

// lockOwner returns whose locks a locker sets through the handle now.
func (h *Handle) lockOwner(who locker) *lockOwner {
	n := h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.lockers[who]
	if o == nil {
		if n.lockers == nil {
			n.lockers = map[locker]*lockOwner{}
		}
		o = &lockOwner{kind: who.kind, id: n.v.lockOwners.Add(1)}
		n.lockers[who] = o
	}
	if h.lockers == nil {
		h.lockers = map[*lockOwner]bool{}
	}
	h.lockers[o] = true
	return o
}

// keepLock reports whether a lock that was set stays. If a close has given back those that the owner had meanwhile, this one
// is given back, too.
func (n *node) keepLock(ctx context.Context, o *lockOwner) (kept bool, err error) {
	n.mu.Lock()
	retired := o.retired
	o.freed = o.freed && !retired
	n.mu.Unlock()
	if !retired {
		return true, nil
	}
	return false, n.free(ctx, o)
}

// Closing is called when a process closes a descriptor of the file, before anything is waited for, and returns what then
// gives back all its locks on byte ranges that were set until now, through whichever handle. If that fails, the release
// of the file tries again.
func (h *Handle) Closing(owner uint64) (unlock func(ctx context.Context) error) {
	n, who := h.n, locker{namespace.HoldPosix, owner}
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.lockers[who]
	if o == nil {
		return func(context.Context) error { return nil }
	}
	delete(n.lockers, who)
	o.retired = true
	return func(ctx context.Context) error { return n.free(ctx, o) }
}

// free gives back all locks of an owner who sets no more.
func (n *node) free(ctx context.Context, o *lockOwner) error {
	n.mu.Lock()
	freed := o.freed
	n.mu.Unlock()
	if freed {
		return nil
	}
	whole := Lock{Flock: o.kind == namespace.HoldFlock, End: MaxFile}
	err := n.unlock(context.WithoutCancel(ctx), o, whole)
	n.mu.Lock()
	defer n.mu.Unlock()
	o.freed = o.freed || err == nil
	return err
}

// releaseLocks gives back what was locked through the handle and no close of a descriptor did: locks that belong to the
// open file. Those of a process that are left go with its own closes.
func (h *Handle) releaseLocks(ctx context.Context) {
	n := h.n
	n.mu.Lock()
	list := h.lockers
	h.lockers = nil
	for who, o := range n.lockers {
		if list[o] {
			delete(n.lockers, who)
			o.retired = true
		}
	}
	n.mu.Unlock()
	for o := range list {
		if err := n.free(ctx, o); err != nil {
			n.v.log.Warn("a lock was not given back, it is tried again", "inode", n.ino, "err", err)
			n.v.freeLater(n.ino, o)
		}
	}
}

// freeLater gives locks back in the background, once the store can be reached.
func (v *Volume) freeLater(ino namespace.Ino, o *lockOwner) {
	if v.closing.Load() {
		return // the session's end gives them back
	}
	n := v.nodes.get(v, ino)
	v.bg.Go(func() {
		defer v.nodes.put(n)
		for {
			select {
			case <-v.compactor.closing:
				return
			case <-time.After(lockPoll):
			}
			if err := n.free(context.Background(), o); err == nil || !isAway(err) {
				return
			}
		}
	})
}
