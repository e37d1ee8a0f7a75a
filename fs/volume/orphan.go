package volume

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

const (
	// reapBatch is how many extents one transaction takes from a large orphan.
	reapBatch = 1024
	// reapInodes is how many orphans one transaction removes, and reapExtents how many extents and attributes they have
	// together: as many rows as a store locks without locking everything.
	reapInodes  = 64
	reapExtents = 128
	// reapParallel is how many such transactions run at a time, so that a store that is far away keeps up with writers.
	reapParallel = 4
	// reapQueue is how many orphans wait in memory; those beyond are found by their records.
	reapQueue = 1 << 16
	// reapPause is how long the background waits after a store failed, or an inode was in use.
	reapPause = time.Second
)

// reapable is an orphan to be removed. unheld says that no session has it open, which a session's own orphan is known by
// its handles.
type reapable struct {
	ino    namespace.Ino
	unheld bool
}

// reaping are the orphans that wait to be removed in the background.
type reaping struct {
	mu     sync.Mutex
	queue  map[namespace.Ino]bool // to unheld
	missed bool                   // there are more of this session's than the queue took
	wake   chan struct{}
}

func (r *reaping) init() { r.queue, r.wake = map[namespace.Ino]bool{}, make(chan struct{}, 1) }

func (r *reaping) add(list ...reapable) {
	if len(list) == 0 {
		return // nobody is to be woken for that
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range list {
		if len(r.queue) >= reapQueue && !o.unheld { // of one that is unheld the next beat says so again
			r.missed = true
		} else if len(r.queue) < reapQueue {
			r.queue[o.ino] = r.queue[o.ino] || o.unheld
		}
	}
	wake(r.wake)
}

// take removes up to n orphans from the queue, in order of their numbers. search says that it is empty now, and that
// there may be more.
func (r *reaping) take(n int) (list []reapable, search bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for ino, unheld := range r.queue {
		if len(list) == n {
			break
		}
		list = append(list, reapable{ino, unheld})
		delete(r.queue, ino)
	}
	if search = len(list) == 0 && r.missed; search {
		r.missed = false
	}
	slices.SortFunc(list, func(a, b reapable) int { return int(int64(a.ino) - int64(b.ino)) })
	return list, search
}

// queueReap has an orphan that nobody uses removed in the background.
func (v *Volume) queueReap(ino namespace.Ino, unheld bool) { v.reaping.add(reapable{ino, unheld}) }

func (v *Volume) reapLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.reaping.wake:
		}
		for more := true; more && ctx.Err() == nil; {
			list, search := v.reaping.take(reapInodes * reapParallel)
			var err error
			if search {
				list, err = v.ownOrphans(ctx)
			}
			left, _, rerr := v.reapAll(ctx, list)
			v.reaping.add(left...)
			if err = errors.Join(err, rerr); err != nil && ctx.Err() == nil {
				v.log.Warn("unlinked files could not be removed, it is tried again", "files", len(left), "err", err)
			}
			if more = len(list) > 0 || err != nil; len(left) > 0 || err != nil {
				_ = sleep(ctx, reapPause)
			}
		}
	}
}

// ownOrphans are the orphans of this session that aren't open. After an error they are still to be looked for.
func (v *Volume) ownOrphans(ctx context.Context) (list []reapable, err error) {
	orphans, err := v.orphans(ctx)
	for _, o := range orphans {
		if o.Session == v.Session() && !v.isOpen(o.Ino) {
			list = append(list, reapable{o.Ino, false})
		}
	}
	if err != nil {
		v.reaping.mu.Lock()
		defer v.reaping.mu.Unlock()
		v.reaping.missed = true
	}
	return list, err
}

// reapOwn removes the orphans of this session at its end, when no handle is left but those whose release the kernel
// didn't send any more. It returns how many are left when ctx ends.
func (v *Volume) reapOwn(ctx context.Context) (left int, err error) {
	orphans, err := v.orphans(ctx)
	var list []reapable
	for _, o := range orphans {
		if o.Session == v.Session() {
			list = append(list, reapable{o.Ino, false})
		}
	}
	if err != nil {
		return 0, err
	}
	again, _, err := v.reapAll(ctx, list)
	return len(again), err
}

// reapAll removes orphans that nobody has open, many in each transaction and several transactions at a time. It returns
// those that it didn't come to, because of an error or because they are in use just now, and how many are gone.
func (v *Volume) reapAll(ctx context.Context, list []reapable) (left []reapable, gone int, err error) {
	var mu sync.Mutex
	g, _ := panics.WithContext(ctx) // an error doesn't end the others
	g.SetLimit(reapParallel)
	for some := range slices.Chunk(list, reapInodes) {
		g.Go(func() error {
			again, n, err := v.reapSeveral(ctx, some)
			mu.Lock()
			defer mu.Unlock()
			left, gone = append(left, again...), gone+n
			return err
		})
	}
	err = g.Wait()
	return left, gone, err
}

// reapSeveral is reapAll for as many as one transaction takes; what is too large for that follows by itself.
func (v *Volume) reapSeveral(ctx context.Context, list []reapable) (left []reapable, gone int, err error) {
	for len(list) > 0 {
		b := reapTx{v: v}
		left = append(left, b.hold(list)...)
		err := b.run(ctx)
		b.release()
		if err != nil {
			return append(left, b.list...), gone, err
		}
		gone += b.gone
		for _, o := range b.large {
			if err := v.reapLarge(ctx, o); err != nil {
				return slices.Concat(left, b.large, b.busy, b.later), gone, err
			}
			gone++
		}
		left = append(left, b.busy...)
		list = b.later
	}
	return left, gone, nil
}

// reap removes an orphan now, and reports whether it is gone; an error is logged, and a later gc tries again. One that
// any session may have open stays unless unheld is set.
func (v *Volume) reap(ctx context.Context, ino namespace.Ino, unheld bool) bool {
	_, gone, err := v.reapAll(ctx, []reapable{{ino, unheld}})
	if err != nil {
		v.log.Warn("an unlinked file was not removed, gc will try again", "inode", ino, "err", err)
	}
	return gone > 0
}
