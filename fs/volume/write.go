package volume

import (
	"context"
	"time"
)

// Written tells how a write came about.
type Written struct {
	Cached  bool   // from the kernel's page cache; with its write-back cache it also owns the file's times
	KillFor Caller // by someone whose writes clear setuid and setgid bits; nil if they don't
	Append  bool   // at the end of the file as it is, wherever that is; off is ignored
}

// Write puts data at an offset of the file. It is visible to every read that begins after Write returned, and kept in
// memory until a flush, a sync, or the dirty budget commits it. Data is copied. Write waits while the budget is used
// up, until ctx ends.
func (h *Handle) Write(ctx context.Context, off uint64, data [][]byte, how Written) error {
	err := h.write(ctx, off, data, how)
	if err != nil && how.Cached {
		h.n.mu.Lock()
		h.n.unsent.set(err)
		h.n.mu.Unlock()
	}
	return err
}

func (h *Handle) write(ctx context.Context, off uint64, data [][]byte, how Written) (err error) {
	n := h.n
	var size uint64
	for _, d := range data {
		size += uint64(len(d))
	}
	if off+size > MaxFile || off+size < off {
		return ErrTooBig
	}
	if size == 0 {
		return nil
	}
	if err := n.ensureLoaded(ctx); err != nil {
		return err
	}
	if err := n.dropPrivileges(ctx, how.KillFor); err != nil {
		return err
	}
	if err := n.v.dirty.take(ctx, size); err != nil {
		return err
	}
	if how.Append { // not before: a beat waits for who holds the company, and for memory one may wait long
		var done bool
		if off, done, err = n.append(ctx, data, size, how); done || err != nil {
			return err
		}
	} else {
		n.lay(data, off, how)
	}
	n.feed(ctx, off, off+size)
	if h.flags.Sync && !how.Cached {
		return h.Sync(ctx)
	}
	return nil
}

// append puts written data, for which memory was taken, at the end of the file, and returns where. While other daemons live
// it is done then: committed already.
func (n *node) append(ctx context.Context, data [][]byte, size uint64, how Written) (off uint64, done bool, err error) {
	alone, release := n.v.company()
	defer release()
	if !alone {
		n.v.dirty.release(size)
		return 0, true, n.appendNow(ctx, data, size)
	}
	if err := n.ensureLoaded(ctx); err != nil { // others may have appended before they left
		n.v.dirty.release(size)
		return 0, false, err
	}
	return n.lay(data, 0, how), false, nil
}

// lay puts written data, for which memory was taken, over what the file has, and returns where.
func (n *node) lay(data [][]byte, off uint64, how Written) uint64 {
	n.mu.Lock()
	if how.Append {
		off = n.size
		if n.appended == 0 {
			n.appended = n.v.Session()
		}
	}
	mem := n.dirty.mem
	at := off
	for _, d := range data {
		n.dirty.write(at, d, n.gen)
		at += uint64(len(d))
	}
	// What overwrote data in memory took no memory.
	back := at - off + mem - n.dirty.mem
	n.size = max(n.size, at)
	if !how.Cached || n.v.cfg.Shared { // without its write-back cache, the kernel has no times: then it is a mapped page
		n.mtime = n.v.now()
	}
	n.touched = time.Now()
	n.mu.Unlock()
	n.v.dirty.release(back)
	return off
}

// ensureLoaded reads the committed size if it isn't known.
func (n *node) ensureLoaded(ctx context.Context) error {
	if n.isLoaded() {
		return nil
	}
	n.flushing.Lock()
	defer n.flushing.Unlock()
	return n.load(ctx)
}

// dropPrivileges removes what a write to the file has to clear: file capabilities always, setuid and setgid bits when
// it is by someone, not nil, who loses them.
func (n *node) dropPrivileges(ctx context.Context, by Caller) error {
	n.mu.Lock()
	caps, suid := n.hasCaps, n.hasSuid
	n.hasCaps = false // before the commit: capabilities that are set after it count
	n.mu.Unlock()
	if by != nil && (!suid || !by.LosesPrivileges()) {
		by = nil
	}
	if !caps && by == nil {
		return nil
	}
	err := n.commit(ctx, func(e *extentEdit) error {
		clearPrivileges(e.tx, e.rec, by)
		e.rec.Ctime = n.v.now()
		return nil
	})
	if err != nil {
		n.mu.Lock()
		n.hasCaps = n.hasCaps || caps
		n.mu.Unlock()
	}
	return err
}

// flushLoop commits data that its writers left alone for a while, and makes room when a writer waits for memory.
func (v *Volume) flushLoop(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.dirty.low:
			v.makeRoom(ctx)
		case <-tick.C:
			v.flushIdle(ctx)
			if err := v.atimes.flush(ctx, v); err != nil {
				v.log.Warn("access times were not stored", "err", err)
			}
		}
	}
}

// makeRoom commits the files with the most data in memory until nobody waits and half of the budget is free. Where
// nothing is left to commit, what is used was taken by writers that have not added it yet: they call again.
func (v *Volume) makeRoom(ctx context.Context) {
	for v.dirty.short() {
		var most *node
		var mem uint64
		all := v.nodes.all()
		for _, n := range all {
			if m := n.memory(); m > mem {
				most, mem = n, m
			}
		}
		if most != nil {
			most.flushFor(ctx)
		}
		for _, n := range all {
			v.nodes.put(n)
		}
		if most == nil {
			return
		}
	}
}

// flushPause is how long after a store was found away data that nobody waits for stays in memory.
const flushPause = 2 * time.Second

// flushIdle commits data that its writers left alone. It gets in nobody's way: who commits a file already, or comes to do
// so while the store is away, would wait for it first.
func (v *Volume) flushIdle(ctx context.Context) {
	if time.Since(time.Unix(0, v.away.Load())) < flushPause {
		return
	}
	for _, n := range v.nodes.all() {
		n.mu.Lock()
		idle := (n.dirty.bytes > 0 || !n.mtime.IsZero() || n.unborn.Load()) && time.Since(n.touched) > v.cfg.Idle
		n.mu.Unlock()
		if idle && n.flushing.TryLock() {
			_ = n.commitLocked(ctx, MaxFile, nil) // an error is kept for the handles
			n.flushing.Unlock()
		}
		v.nodes.put(n)
	}
}

func (n *node) memory() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dirty.mem
}
