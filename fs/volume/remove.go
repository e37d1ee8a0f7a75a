package volume

import (
	"context"
	"iter"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// smallFile is how many extents and attributes a removal deletes in its own transaction; a larger inode is made an
// orphan and emptied in the background.
const smallFile = 64

// Unlink removes a name that isn't a directory's, and the inode with its last one. An open inode stays for its handles.
func (v *Volume) Unlink(ctx context.Context, parent namespace.Ino, name string) error {
	return v.removeName(ctx, parent, name, false)
}

// Rmdir removes an empty directory.
func (v *Volume) Rmdir(ctx context.Context, parent namespace.Ino, name string) error {
	return v.removeName(ctx, parent, name, true)
}

func (v *Volume) removeName(ctx context.Context, parent namespace.Ino, name string, dir bool) error {
	name = v.storedName(ctx, parent, name)
	want := entryWant(parent, name)
	want.Entries[0].Empty = dir
	want.Entries[0].Contents = smallFile + 1
	want.Reclaims = true
	return v.changeNames(ctx, func() error { return v.remove(ctx, parent, name, dir, want) })
}

func (v *Volume) remove(ctx context.Context, parent namespace.Ino, name string, dir bool, want namespace.Want) error {
	alone, release := v.company()
	defer release()
	r := removal{v: v, alone: alone}
	want.Undo = r.reset
	err := v.update(ctx, want, func(tx namespace.Tx) error {
		r.reset()
		if _, err := directory(tx, parent); err != nil {
			return err
		}
		ent, rec, err := entry(tx, parent, name)
		if err != nil {
			return err
		}
		if err := checkRemovable(tx, rec, dir); err != nil {
			return err
		}
		now := v.now()
		touch := namespace.Delta{Mtime: now, Ctime: now}
		if dir {
			touch.Nlink = -1
		}
		tx.Delete(ent.Key())
		tx.Apply(namespace.InodeKey{Ino: parent}, touch)
		return r.unlink(tx, rec, now)
	})
	r.done(err)
	return err
}

// entry reads a name and its inode.
func entry(tx namespace.Tx, parent namespace.Ino, name string) (*namespace.Dentry, *namespace.Inode, error) {
	ent, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: parent, Name: name})
	if isNotFound(err) {
		return nil, nil, ErrNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ent.Ino})
	return ent, rec, err
}

// checkRemovable says whether a name of the inode may go, as one of a directory or not.
func checkRemovable(tx namespace.Tx, rec *namespace.Inode, dir bool) error {
	isDir := rec.Mode&ModeType == ModeDir
	switch {
	case dir && !isDir:
		return ErrNotDir
	case !dir && isDir:
		return ErrIsDir
	case !dir:
		return nil
	}
	for _, err := range tx.Scan(namespace.DentryKey{Parent: rec.Ino}, 1) {
		if err != nil {
			return err
		}
		return ErrNotEmpty
	}
	return nil
}

// removal is the part of a transaction that takes names from inodes. It holds the life of each inode that lost its last
// name from the decision what becomes of it until the transaction ended, so that no handle is opened in between.
//
// What another daemon may have open always becomes an orphan: see mindOrphans.
type removal struct {
	v     *Volume
	alone bool // no other daemon lives
	held  []held
}

type held struct {
	n      *node
	rec    *namespace.Inode
	orphan bool // kept until its handles are gone, or emptied in the background
}

// unlink takes one name from the inode. The caller deletes the entry.
func (r *removal) unlink(tx namespace.Tx, rec *namespace.Inode, now namespace.Time) error {
	rec.Ctime = now
	if rec.Mode&ModeType == ModeDir {
		rec.Nlink = 0
	} else {
		rec.Nlink--
	}
	if rec.Nlink > 0 {
		tx.Put(rec)
		return nil
	}
	n := r.v.nodes.get(r.v, rec.Ino)
	n.life.Lock()
	h := held{n: n, rec: rec, orphan: n.handles > 0 || !r.alone}
	r.held = append(r.held, h)
	if !h.orphan {
		small, err := deleteInode(r.v, tx, rec, smallFile)
		if err != nil {
			return err
		}
		h.orphan = !small
	}
	if h.orphan {
		tx.Put(rec)
		o := &namespace.Orphan{Ino: rec.Ino}
		if r.alone {
			o.Session = r.v.Session()
		}
		tx.Put(o)
	}
	r.held[len(r.held)-1] = h
	return nil
}

// reset lets go of what an earlier run of the transaction held.
func (r *removal) reset() {
	for _, h := range r.held {
		h.n.life.Unlock()
		r.v.nodes.put(h.n)
	}
	r.held = r.held[:0]
}

// done ends the removal with the transaction's outcome.
func (r *removal) done(err error) {
	for _, h := range r.held {
		if err == nil {
			h.n.orphan = h.orphan
			h.n.gone = !h.orphan
			r.v.removed.add(h.rec)
			if h.n.gone {
				r.v.atimes.forget(h.rec.Ino)
				r.v.staging.forget(h.rec.Ino)
			}
		}
		reap := err == nil && h.orphan && h.n.handles == 0 && r.alone
		h.n.life.Unlock()
		r.v.nodes.put(h.n)
		if reap {
			r.v.queueReap(h.rec.Ino, false)
		}
	}
	r.held = nil
}

// deleteInode deletes an inode with its extents and attributes if they are at most limit, and reports whether it did;
// otherwise they stay.
func deleteInode(v *Volume, tx namespace.Tx, rec *namespace.Inode, limit int) (bool, error) {
	exts, attrs, small, err := contents(tx, rec, limit)
	if small && err == nil {
		deleteContents(v, tx, rec, exts, attrs)
	}
	return small && err == nil, err
}

// contents reads an inode's extents and attributes, and reports whether they are at most limit.
func contents(tx namespace.Tx, rec *namespace.Inode, limit int) (
	exts []*namespace.Extent, attrs []*namespace.Xattr, small bool, err error,
) {
	if exts, err = collectSound[*namespace.Extent](tx, namespace.ExtentKey{Ino: rec.Ino}, limit+1); err != nil {
		return nil, nil, false, err
	}
	attrs, err = collectSound[*namespace.Xattr](tx, namespace.XattrKey{Ino: rec.Ino}, limit+1)
	return exts, attrs, len(exts)+len(attrs) <= limit, err
}

// deleteContents deletes an inode with all that it has.
func deleteContents(v *Volume, tx namespace.Tx, rec *namespace.Inode, exts []*namespace.Extent, attrs []*namespace.Xattr) {
	edit := newExtentEdit(v, tx, rec)
	for _, x := range exts {
		edit.remove(x)
	}
	edit.finishSums()
	for _, a := range attrs {
		tx.Delete(a.Key())
	}
	tx.Delete(rec.Key())
	tx.Apply(namespace.UsageKey{Session: v.Session()}, namespace.Delta{Inodes: -1})
}

// collect reads up to limit records of a group.
func collect[R namespace.Record](tx namespace.Tx, from namespace.Key, limit int) ([]R, error) {
	var list []R
	for rec, err := range namespace.Scan[R](tx, from, limit) {
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return list, nil
}

// collectSound is collect for records that are about to be deleted: the damaged ones go at once.
func collectSound[R namespace.Record](tx namespace.Tx, from namespace.Key, limit int) ([]R, error) {
	var list []R
	for rec, err := range namespace.Scan[R](tx, from, limit) {
		if d := namespace.IsDamaged(err); d != nil {
			tx.Delete(d.Key)
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, rec)
	}
	return list, nil
}

// sound is a scan that leaves damaged records out, for work on the whole volume: one of them doesn't keep it from the
// others, and fsck reports it.
func sound[R namespace.Record](tx namespace.Tx, from namespace.Key, limit int) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		for rec, err := range namespace.Scan[R](tx, from, limit) {
			if namespace.IsDamaged(err) == nil && !yield(rec, err) {
				return
			}
		}
	}
}
