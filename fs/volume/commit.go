package volume

import (
	"bytes"
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// change is what a commit does to the inode beside its data. It runs inside the transaction. If it refuses, the data is
// committed all the same.
type change func(e *extentEdit) error

// commit stores the file's written data and commits its extents, with chg, in one transaction: data first. On an error
// the data is dropped and the error is kept for the handles.
func (n *node) commit(ctx context.Context, chg change) error {
	n.v.lockOver(ctx, &n.flushing)
	defer n.flushing.Unlock()
	return n.commitLocked(ctx, MaxFile, chg)
}

// commitLocked is commit for a caller that holds flushing. Written data from keep on is not stored, since chg cuts it
// off.
func (n *node) commitLocked(ctx context.Context, keep uint64, chg change) error {
	return n.commitWith(ctx, keep, chg, nil)
}

// commitSynced is commit for a caller who wants it to be durable, and reports whether it is, with all that was before.
// First is done before it, while no other commit of the file may begin. If that has waited for a store in vain, the
// commit tries it only for a moment.
func (n *node) commitSynced(ctx context.Context, first func() error) (synced bool, err error) {
	n.v.lockOver(ctx, &n.flushing)
	defer n.flushing.Unlock()
	if isAway(first()) {
		ctx = patience.With(ctx, awayTime)
	}
	err = n.commitWith(ctx, MaxFile, nil, func() { synced = true })
	return synced && err == nil, err
}

// commitWith is commitLocked; synced is namespace.Want's.
func (n *node) commitWith(ctx context.Context, keep uint64, chg change, synced func()) error {
	n.mu.Lock()
	if n.dirty.bytes == 0 && n.mtime.IsZero() && chg == nil && !n.unborn.Load() {
		n.mu.Unlock()
		return nil
	}
	bytes, mem := n.dirty.bytes, n.dirty.mem
	n.dirty.cut(keep, MaxFile)
	cut, freed := bytes-n.dirty.bytes, mem-n.dirty.mem
	b := n.takeBatch()
	n.mu.Unlock()
	n.v.dirty.release(freed)
	b.cut, b.synced = cut, synced
	// From here on there are side effects: an interrupted caller doesn't stop them half way.
	ctx = context.WithoutCancel(ctx)
	var extents []*namespace.Extent
	var rec *namespace.Inode
	var refused error
	err := panics.Do(func() (err error) { // the data is out of the writers' reach, so whatever happens they are told
		extents, err = n.storeBatch(ctx, b)
		n.v.note(err)
		if err == nil {
			rec, err = n.commitExtents(ctx, b, extents, refusing(chg, &refused))
		}
		if refused != nil {
			rec, err = n.commitExtents(ctx, b, extents, nil)
		}
		return err
	})
	if errors.Is(err, ErrStale) || errors.Is(err, namespace.ErrLost) || isNoSpace(err) {
		n.dropBlob(ctx, b, extents)
	}
	n.endBatch(b, rec, err)
	if err == nil {
		err = refused
	}
	return err
}

// refusing is chg, whose error it keeps; nil if that is.
func refusing(chg change, refused *error) change {
	if chg == nil {
		return nil
	}
	return func(e *extentEdit) error {
		*refused = chg(e)
		return *refused
	}
}

// changeOnly changes the inode and leaves written data as they are. It is for a file that is being written: the
// kernel's write-back sends its times every few seconds, and each commit would end the blob. The caller holds flushing.
func (n *node) changeOnly(ctx context.Context, chg change) error {
	n.mu.Lock()
	mtime := n.mtime
	n.mu.Unlock()
	rec, err := n.commitExtents(context.WithoutCancel(ctx), &batch{mtime: mtime}, nil, chg)
	n.endBatch(&batch{mtime: mtime}, rec, err)
	return err
}

// growing reports whether the file has written data that will make a blob.
func (n *node) growing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stream != nil || n.dirty.bytes > uint64(max(n.v.cfg.InlineMax, n.v.cfg.StageMax))
}

// takeBatch takes all written data out of the writers' reach. The caller holds mu.
func (n *node) takeBatch() *batch {
	b := &batch{gen: n.gen, stream: n.stream, mtime: n.mtime, appended: n.appended}
	n.gen++
	n.stream = nil
	b.loose = n.dirty.loose
	switch {
	case b.stream != nil:
		b.parts = n.layOut(b.stream)
		b.key, b.size = b.stream.key, b.stream.size
	case b.loose > 0:
		whole := n.dirty.gatherAll()
		b.parts, b.size = []part{whole}, whole.size // it gets its key when it is put
	}
	n.dirty.tree.Scan(func(_ uint64, p *piece) bool {
		b.pieces = append(b.pieces, *p)
		return true
	})
	if len(b.pieces) == 0 && b.stream != nil { // all of it was cut off or overwritten
		b.empty, b.stream, b.key = b.stream, nil, ""
	}
	return b
}

// storeBatch puts the batch's data where they belong and returns the extents that describe them.
func (n *node) storeBatch(ctx context.Context, b *batch) ([]*namespace.Extent, error) {
	if b.empty != nil {
		b.empty.pending.Add(-len(b.parts)) // nobody needs them
		n.dropStream(ctx, b.empty)
	}
	switch {
	case b.stream != nil:
		for _, job := range b.parts {
			n.sendPart(ctx, b.stream, job)
		}
		if err := b.stream.finish(ctx); err != nil {
			n.dropStream(ctx, b.stream)
			return nil, err
		}
	case b.loose > n.v.inlineLimit():
		b.key = n.v.newKey()
		content := b.gather()
		if err := n.v.blobs.Put(ctx, b.key, bytes.NewReader(content), int64(len(content)), n.hints()); err != nil {
			return nil, err
		}
	default:
		return b.inlineExtents(n.ino, uint64(max(n.v.cfg.InlineMax, stageChunk))), nil
	}
	return b.blobExtents(n.ino), nil
}

// commitExtents runs the transaction and returns the inode as it is after it.
func (n *node) commitExtents(ctx context.Context, b *batch, list []*namespace.Extent, chg change) (
	*namespace.Inode, error,
) {
	n.v.lockOver(ctx, &n.birthing)
	defer n.birthing.Unlock()
	fresh := n.birth != nil && !n.birth.tried && chg == nil
	want := n.commitWant(fresh, list)
	want.Synced = b.synced
	var rec *namespace.Inode
	var inline uint64
	var worn wear
	var before version
	err := n.v.update(ctx, want, func(tx namespace.Tx) (err error) {
		if rec, err = n.record(tx); err != nil {
			return err
		}
		before = versionOf(rec)
		if b.appended != 0 && b.appended != n.v.Session() {
			return namespace.ErrFenced // others may have appended at the same place meanwhile
		}
		edit := newExtentEdit(n.v, tx, rec)
		edit.fresh = fresh
		for _, e := range list {
			if err := edit.put(e); err != nil {
				return err
			}
		}
		if b.key != "" {
			if err := edit.newBlob(b.key, b.size); err != nil {
				return err
			}
		}
		written(rec, b.mtime)
		if chg != nil {
			if err := chg(edit); err != nil {
				return err
			}
		}
		if n.v.cfg.Shared {
			before.mark(rec)
		}
		inline, worn = edit.inline, edit.worn
		return edit.finish()
	})
	if err == nil {
		n.v.known.changed(rec, before)
	}
	n.born(err)
	if err == nil {
		n.v.noteStaged(rec, inline)
		n.v.compactor.note(n.ino, worn)
	}
	return rec, err
}

// commitWant is what a commit's transaction reads. The caller holds birthing.
func (n *node) commitWant(fresh bool, list []*namespace.Extent) namespace.Want {
	want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: n.ino, Lock: namespace.Exclusive}}}
	if n.birth != nil {
		want.Inodes[0] = namespace.InodeWant{Ino: n.birth.rec.Parent}
	}
	switch {
	case fresh: // nothing is read, so nothing is fetched: over a network that is one exchange instead of two
		return namespace.Want{}
	case len(list) > 0:
		first, end := blocksOf(list[0].Off, list[len(list)-1].End())
		want.Extents = []namespace.RangeWant{{
			Ino: n.ino, From: first * namespace.BlockSize, To: end * namespace.BlockSize,
		}}
	default:
		want.Reclaims = n.birth == nil
	}
	return want
}

// record reads the inode in a transaction; one that isn't in the namespace yet gets there. The caller holds birthing.
func (n *node) record(tx namespace.Tx) (*namespace.Inode, error) {
	if n.birth != nil {
		return n.birth.write(n.v, tx)
	}
	rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino})
	return rec, staleIfMissing(err)
}

// endBatch takes the batch's data out of memory, since the committed extents have them now or they are lost.
func (n *node) endBatch(b *batch, rec *namespace.Inode, err error) {
	n.mu.Lock()
	n.v.looks.note(n.ino)
	mem := n.dirty.mem
	n.dirty.drop(b.gen)
	mem -= n.dirty.mem
	if n.dirty.bytes == 0 {
		n.appended = 0
	}
	n.commits++
	if n.mtime == b.mtime { // else a write came in since
		n.mtime = namespace.Time{}
	}
	lost := err != nil && (len(b.pieces) > 0 || b.cut > 0)
	if lost {
		n.errs.set(err)
		n.loaded = false // the size is the committed one again; read when next needed
	}
	if err == nil && n.loaded {
		n.stored = rec.Size
		if n.v.cfg.Shared { // it may have become less
			n.size = 0
		}
		n.size = max(n.size, rec.Size, n.dirty.end())
		n.hasSuid = privileged(rec.Mode)
	}
	n.mu.Unlock()
	n.v.dirty.release(mem)
	if err != nil {
		n.v.leftover.Store(true)
	}
	if lost {
		n.v.faults.record(n.v, n.ino, "commit written data", err)
	}
}

// dropBlob deletes a batch's blob, which no transaction will name: on a full disk it would be in the way until the next
// mount finds it.
func (n *node) dropBlob(ctx context.Context, b *batch, list []*namespace.Extent) {
	if b.key != "" && len(list) > 0 {
		_ = n.v.blobs.Delete(ctx, b.key) // the session is marked as leaving something behind
	}
}

// flushFor commits in the background and keeps the error for the handles.
func (n *node) flushFor(ctx context.Context) { _ = n.commit(ctx, nil) }
