package volume

import (
	"context"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Invalidator is a cache in front of the volume, as the kernel's: it is told what other daemons changed. The methods are
// called by background goroutines, never while a call of the volume waits for them.
type Invalidator interface {
	// Inode drops an inode's attributes and data.
	Inode(ino namespace.Ino)
	// Entry drops what is known of a name, also that it is missing.
	Entry(parent namespace.Ino, name string)
}

// told is who is told of changes, and what is still to be told.
type told struct {
	mu    sync.Mutex
	to    Invalidator
	drops chan namespace.Ino // 0 for all
}

// dropsMost is how many inodes wait to be dropped before everything is.
const dropsMost = 1024

func (t *told) init() { t.drops = make(chan namespace.Ino, dropsMost) }

func (t *told) get() Invalidator {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.to
}

// Invalidate has a cache told what others change from now on. There is one at most.
func (v *Volume) Invalidate(to Invalidator) {
	v.told.mu.Lock()
	defer v.told.mu.Unlock()
	v.told.to = to
}

// Drop has an inode dropped from the cache in the background.
func (v *Volume) Drop(ino namespace.Ino) {
	select {
	case v.told.drops <- ino:
	default: // full: one of those that wait becomes all
		select {
		case <-v.told.drops:
		default:
		}
		select {
		case v.told.drops <- 0:
		default:
		}
	}
}

// dropAll has everything dropped in the background, as after a server that lost commits.
func (v *Volume) dropAll() {
	if v.members != nil {
		v.Drop(0)
	}
}

// dropLoop drops what is to be dropped.
func (v *Volume) dropLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case ino := <-v.told.drops:
			if ino == 0 {
				v.applyAll()
			} else {
				v.applyInode(ino)
			}
		}
	}
}

// watchPause is how long after a failure of the store is watched again.
const watchPause = time.Second

// watchLoop follows what other daemons change.
func (v *Volume) watchLoop(ctx context.Context) {
	for ctx.Err() == nil {
		for c, err := range v.ns.Watch(ctx, 0) {
			if err != nil {
				if ctx.Err() == nil {
					v.log.Warn("changes of other daemons can't be followed, their names and attributes may be a second old",
						"err", err)
				}
				break
			}
			v.applyChange(c)
		}
		_ = sleep(ctx, watchPause)
	}
}

func (v *Volume) applyChange(c namespace.Change) {
	switch {
	case c.All:
		v.applyAll()
		v.waits.wakeAll()
	case c.Holds:
		v.waits.wake(c.Ino)
	case c.Name != "":
		if to := v.told.get(); to != nil {
			to.Entry(c.Ino, c.Name)
		}
	default:
		v.applyInode(c.Ino)
	}
}

// applyInode forgets what is known of an inode.
func (v *Volume) applyInode(ino namespace.Ino) {
	if n := v.nodes.peek(ino); n != nil {
		n.forgetSize()
		v.nodes.put(n)
	}
	v.known.forget(ino)
	v.xattrless.forget(ino)
	if to := v.told.get(); to != nil {
		to.Inode(ino)
	}
}

// applyAll forgets everything. What the cache knows of names and attributes it keeps for a second only, so it is the
// files' data that has to be dropped: those that are open, and those that it keeps from one open to the next.
func (v *Volume) applyAll() {
	for _, n := range v.nodes.all() {
		ino := n.ino
		v.nodes.put(n)
		v.applyInode(ino)
	}
	to := v.told.get()
	for _, ino := range v.known.forget(0) {
		if to != nil {
			to.Inode(ino)
		}
	}
}
