package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// reapTx removes several small orphans in one transaction.
type reapTx struct {
	v     *Volume
	list  []reapable // what it is to remove
	nodes []*node    // theirs, with flushing held
	lives []*node    // those whose life is held, from the decision until the transaction ended

	gone  int
	busy  []reapable // in use by something that takes a moment
	large []reapable // for a transaction of their own
	later []reapable // more than one transaction takes
}

// hold takes what can be taken without a wait, since nothing says in which order others hold several nodes, and returns
// the rest.
func (b *reapTx) hold(list []reapable) (busy []reapable) {
	for _, o := range list {
		n := b.v.nodes.get(b.v, o.ino)
		if !n.flushing.TryLock() {
			b.v.nodes.put(n)
			busy = append(busy, o)
			continue
		}
		b.list, b.nodes = append(b.list, o), append(b.nodes, n)
	}
	return busy
}

func (b *reapTx) release() {
	for _, n := range b.nodes {
		n.flushing.Unlock()
		b.v.nodes.put(n)
	}
}

// undo lets go of what an earlier run of the transaction decided.
func (b *reapTx) undo() {
	for _, n := range b.lives {
		n.life.Unlock()
	}
	b.lives, b.gone = nil, 0
	b.busy, b.large, b.later = nil, nil, nil
}

func (b *reapTx) run(ctx context.Context) error {
	if len(b.list) == 0 {
		return nil
	}
	want := namespace.Want{Reclaims: true, Undo: b.undo}
	for _, o := range b.list {
		want.Inodes = append(want.Inodes, reapWant(b.v, o.ino, smallFile+1))
	}
	err := b.v.update(ctx, want, func(tx namespace.Tx) error {
		b.undo()
		room := reapExtents
		for i, o := range b.list {
			used, err := b.remove(tx, b.nodes[i], o, room)
			if err != nil {
				return err
			}
			room -= used
		}
		return nil
	})
	for _, n := range b.lives {
		n.gone = n.gone || err == nil
		if err == nil {
			b.v.staging.forget(n.ino)
		}
		n.life.Unlock()
	}
	b.lives = nil
	return err
}

// remove adds the removal of an orphan to the transaction if it has room for what that one has, which it returns.
func (b *reapTx) remove(tx namespace.Tx, n *node, o reapable, room int) (used int, err error) {
	if room <= 0 {
		b.later = append(b.later, o)
		return 0, nil
	}
	if !n.life.TryLock() {
		b.busy = append(b.busy, o)
		return 0, nil
	}
	rec, err := b.v.reapableRecord(tx, n, o.unheld)
	if rec == nil || err != nil {
		n.life.Unlock()
		return 0, err
	}
	exts, attrs, small, err := contents(tx, rec, smallFile)
	switch used = len(exts) + len(attrs); {
	case err != nil:
		n.life.Unlock()
		return 0, err
	case !small:
		b.large = append(b.large, o)
	case used > room && room < reapExtents: // the first always has room
		b.later = append(b.later, o)
	default:
		deleteContents(b.v, tx, rec, exts, attrs)
		tx.Delete(namespace.OrphanKey{Ino: rec.Ino})
		b.lives, b.gone = append(b.lives, n), b.gone+1
		return used, nil
	}
	n.life.Unlock()
	return 0, nil
}

// reapWant is what the removal of an orphan reads.
func reapWant(v *Volume, ino namespace.Ino, contents int) namespace.InodeWant {
	return namespace.InodeWant{
		Ino: ino, Lock: namespace.Exclusive, Contents: contents, Orphan: true, Holds: v.members != nil,
	}
}

// reapableRecord returns an orphan's inode, or nil if it has to stay or is gone. The caller holds the node's life.
func (v *Volume) reapableRecord(tx namespace.Tx, n *node, unheld bool) (*namespace.Inode, error) {
	if n.handles > 0 && !v.closing.Load() {
		return nil, nil
	}
	o, err := namespace.Get[*namespace.Orphan](tx, namespace.OrphanKey{Ino: n.ino})
	if isNotFound(err) {
		return nil, nil // got a name again, or reaped already
	}
	if err != nil || o.Session == 0 && v.cfg.Shared && !unheld {
		return nil, err
	}
	if held, err := v.isHeld(tx, n.ino); held || err != nil {
		return nil, err
	}
	rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino})
	if isNotFound(err) {
		tx.Delete(namespace.OrphanKey{Ino: n.ino})
		return nil, nil
	}
	return rec, err
}

// reapLarge removes an orphan in as many transactions as it takes.
func (v *Volume) reapLarge(ctx context.Context, o reapable) error {
	n := v.nodes.get(v, o.ino)
	defer v.nodes.put(n)
	for {
		if done, err := v.reapSome(ctx, n, o.unheld); done || err != nil {
			return err
		}
	}
}

func (v *Volume) reapSome(ctx context.Context, n *node, unheld bool) (done bool, err error) {
	n.flushing.Lock()
	defer n.flushing.Unlock()
	life := lifeHold{n: n}
	var gone bool
	want := namespace.Want{
		Inodes: []namespace.InodeWant{reapWant(v, n.ino, reapBatch+1)}, Reclaims: true, Undo: life.release,
	}
	err = v.update(ctx, want, func(tx namespace.Tx) error {
		done, gone = true, false
		// As in a removal, the decision is made inside the transaction and holds until it ended.
		life.take()
		rec, err := v.reapableRecord(tx, n, unheld)
		if rec == nil || err != nil {
			return err
		}
		if gone, err = deleteInode(v, tx, rec, reapBatch); err != nil {
			return err
		}
		if gone {
			tx.Delete(namespace.OrphanKey{Ino: n.ino})
			return nil
		}
		done = false
		return v.shrinkOrphan(tx, rec)
	})
	if life.held {
		n.gone = n.gone || err == nil && gone
		life.release()
	}
	return done, err
}

// shrinkOrphan deletes some of an orphan's extents and attributes.
func (v *Volume) shrinkOrphan(tx namespace.Tx, rec *namespace.Inode) error {
	exts, err := collectSound[*namespace.Extent](tx, namespace.ExtentKey{Ino: rec.Ino}, reapBatch+1)
	if err != nil {
		return err
	}
	edit := newExtentEdit(v, tx, rec)
	kept := uint64(maxBlock) // from this block on
	if len(exts) > reapBatch {
		kept, _ = blocksOf(exts[reapBatch].Off, exts[reapBatch].End())
		exts = exts[:reapBatch]
	}
	for _, x := range exts {
		edit.remove(x)
	}
	edit.blocks = -countBlocks(exts, 0, kept)
	if err := edit.finish(); err != nil {
		return err
	}
	attrs, err := collectSound[*namespace.Xattr](tx, namespace.XattrKey{Ino: rec.Ino}, reapBatch)
	for _, a := range attrs {
		tx.Delete(a.Key())
	}
	return err
}
