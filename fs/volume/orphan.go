package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// reapBatch is how many extents one transaction takes from an orphan.
const reapBatch = 1024

// queueReap has an orphan that nobody uses removed in the background. If the queue is full, the next mount or gc finds
// it. unheld says that no session has it open, which a session's own orphan is known by its handles.
func (v *Volume) queueReap(ino namespace.Ino, unheld bool) {
	select {
	case v.reapers <- reapable{ino, unheld}:
	default:
	}
}

// reapable is an orphan to be removed.
type reapable struct {
	ino    namespace.Ino
	unheld bool
}

func (v *Volume) reapLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-v.reapers:
			v.reap(ctx, r.ino, r.unheld)
		}
	}
}

// reapOwn removes the orphans of this session that nobody has open.
func (v *Volume) reapOwn(ctx context.Context) error {
	orphans, err := v.orphans(ctx)
	for _, o := range orphans {
		if o.Session == v.Session() {
			v.reap(ctx, o.Ino, false)
		}
	}
	return err
}

// reap deletes an orphan with all it has, in bounded transactions. It reports whether the orphan is gone; an error is
// logged, and a later gc tries again. An orphan that any session may have open stays unless unheld is set.
func (v *Volume) reap(ctx context.Context, ino namespace.Ino, unheld bool) bool {
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	for {
		done, err := v.reapSome(ctx, n, unheld)
		if err != nil {
			v.log.Warn("an unlinked file was not removed, gc will try again", "inode", ino, "err", err)
			return false
		}
		if done {
			return true
		}
	}
}

func (v *Volume) reapSome(ctx context.Context, n *node, unheld bool) (done bool, err error) {
	n.flushing.Lock()
	defer n.flushing.Unlock()
	life := lifeHold{n: n}
	var gone bool
	want := namespace.Want{
		Inodes:   []namespace.InodeWant{{Ino: n.ino, Lock: namespace.Exclusive, Contents: reapBatch + 1, Orphan: true, Holds: v.members != nil}},
		Reclaims: true,
		Undo:     life.release,
	}
	err = v.update(ctx, want, func(tx namespace.Tx) error {
		done, gone = true, false
		// As in a removal, the decision is made inside the transaction and holds until it ended.
		life.take()
		if n.handles > 0 {
			return nil
		}
		o, err := namespace.Get[*namespace.Orphan](tx, namespace.OrphanKey{Ino: n.ino})
		if isNotFound(err) {
			return nil // got a name again, or reaped already
		}
		if err != nil || o.Session == 0 && v.cfg.Shared && !unheld {
			return err
		}
		if held, err := v.isHeld(tx, n.ino); held || err != nil {
			return err
		}
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: n.ino})
		if isNotFound(err) {
			tx.Delete(namespace.OrphanKey{Ino: n.ino})
			return nil
		}
		if err != nil {
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
	edit.finish()
	attrs, err := collectSound[*namespace.Xattr](tx, namespace.XattrKey{Ino: rec.Ino}, reapBatch)
	for _, a := range attrs {
		tx.Delete(a.Key())
	}
	return err
}
