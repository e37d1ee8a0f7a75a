package volume

import (
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// GetAttr describes an inode, with what is written and not yet committed.
func (v *Volume) GetAttr(ctx context.Context, ino namespace.Ino) (*namespace.Inode, error) {
	if err := v.settleDir(ctx, ino); err != nil {
		return nil, err
	}
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	if rec := n.beforeBirth(ctx); rec != nil {
		v.overlayAttr(rec)
		return rec, nil
	}
	for try := 0; ; try++ {
		if try == attrTries {
			v.lockOver(ctx, &n.flushing)
			defer n.flushing.Unlock()
		}
		commits := n.committed()
		rec, err := v.inode(ctx, ino)
		if isNotFound(err) {
			if rec = v.removed.get(ino); rec != nil {
				return rec, nil
			}
			return nil, ErrStale
		}
		if err != nil {
			return nil, err
		}
		v.overlayAttr(rec)
		// What a commit took out of memory in between is in neither.
		if n.committed() == commits || try == attrTries {
			return rec, nil
		}
	}
}

// attrTries is how often the attributes of a file that is committed all the time are read again before its commits wait.
const attrTries = 8

func (v *Volume) inode(ctx context.Context, ino namespace.Ino) (*namespace.Inode, error) {
	var rec *namespace.Inode
	err := v.ns.View(ctx, namespace.Want{Inodes: []namespace.InodeWant{{Ino: ino}}}, func(tx namespace.Tx) (err error) {
		rec, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		return err
	})
	return rec, err
}

// overlayAttr brings a record up to what this daemon knows.
func (v *Volume) overlayAttr(rec *namespace.Inode) {
	if n := v.nodes.peek(rec.Ino); n != nil {
		n.overlayAttr(rec)
		v.nodes.put(n)
	}
	v.atimes.overlay(v, rec)
	v.xattrless.note(rec)
}

// SetAttr is what to change of an inode; nil leaves a field as it is.
type SetAttr struct {
	Mode         *uint32 // permission bits
	ACLMode      *uint32 // the same of an access control list, which replaces the one there is; see SetACL
	UID, GID     *uint32
	Size         *uint64
	Atime, Mtime *namespace.Time
	Ctime        *namespace.Time // the change's own time; nil means now
	KillFor      Caller          // with Size: as in Written
	By           Caller          // who asks
	SameOwner    bool            // the owner is set to what it was, if by who may do that
}

// SetAttr changes an inode and returns it; together with the data that was written to it before, in one transaction,
// unless those are many. A new size cuts the file off or extends it with zeros.
func (v *Volume) SetAttr(ctx context.Context, ino namespace.Ino, set SetAttr) (*namespace.Inode, error) {
	if v.cfg.ReadOnly {
		return nil, ErrReadOnly
	}
	if err := v.settleDir(ctx, ino); err != nil { // or its files would change its times later
		return nil, err
	}
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	if set.Size == nil {
		if rec := n.setUnborn(ctx, set); rec != nil {
			if set.Atime != nil {
				v.atimes.forget(ino)
			}
			v.overlayAttr(rec)
			return rec, nil
		}
	}
	if rec := v.knows(ctx, ino, set); rec != nil {
		return rec, nil
	}
	rec, err := n.setAttr(ctx, set)
	if errors.Is(err, ErrStale) {
		return v.removed.setAttr(v, ino, set)
	}
	return rec, err
}

// setAttr changes an inode that is in the namespace, or brings it there. No commit ends before the answer is complete: it
// would take data out of memory that the record of the answer doesn't have.
func (n *node) setAttr(ctx context.Context, set SetAttr) (*namespace.Inode, error) {
	var rec *namespace.Inode
	apply := func(e *extentEdit) error {
		if n.v.applySet(e.rec, set) {
			e.tx.Delete(namespace.XattrKey{Ino: n.ino, Name: xattrCaps})
		}
		rec = e.rec
		return chmodACL(e.tx, rec, set)
	}
	n.mu.Lock()
	ctx = n.shortly(ctx, false) // write-back sends the times after the data
	n.mu.Unlock()
	n.v.lockOver(ctx, &n.flushing)
	defer n.flushing.Unlock()
	var err error
	switch {
	case set.Size != nil:
		err = n.truncate(ctx, *set.Size, apply)
	case n.growing() && !n.unborn.Load():
		err = n.changeOnly(ctx, apply)
	default:
		err = n.commitLocked(ctx, MaxFile, apply)
	}
	if err != nil {
		return nil, err
	}
	if set.Atime != nil {
		n.v.atimes.forget(n.ino)
	}
	n.v.overlayAttr(rec)
	return rec, nil
}

// isNews reports whether only times are set, as the kernel's write-back does once a file was written.
func (s *SetAttr) isNews() bool {
	return s.Mtime != nil && s.Ctime != nil &&
		s.Mode == nil && s.UID == nil && s.GID == nil && s.Size == nil && s.Atime == nil && !s.SameOwner
}

// knows returns the inode if only times are to be set, and they are those that it has already, which is usual: then nothing
// is to be written. Otherwise it returns nil.
func (v *Volume) knows(ctx context.Context, ino namespace.Ino, set SetAttr) *namespace.Inode {
	if !set.isNews() {
		return nil
	}
	have, err := v.GetAttr(ctx, ino)
	if err != nil || have.Mtime != *set.Mtime || have.Ctime != *set.Ctime {
		return nil
	}
	return have
}

// applySet changes a record, and reports whether that takes the file's capabilities away.
func (v *Volume) applySet(r *namespace.Inode, set SetAttr) (dropCaps bool) {
	dir := r.Mode&ModeType == ModeDir
	again := set.SameOwner && (set.By == nil || set.By.Owns(r.UID))
	if owner := set.UID != nil || set.GID != nil || again; owner && !dir {
		clearSuid(r, set.By)
		dropCaps = true
	}
	if set.UID != nil {
		r.UID = *set.UID
	}
	if set.GID != nil {
		r.GID = *set.GID
	}
	if set.ACLMode != nil {
		setACLMode(r, *set.ACLMode, set.By)
	}
	if set.Mode != nil {
		r.Mode = r.Mode&ModeType | *set.Mode&modePerm
	}
	if set.Size != nil {
		if set.KillFor != nil {
			clearSuid(r, set.KillFor)
		}
		dropCaps = true
		r.Mtime = v.now()
	}
	if set.Atime != nil {
		r.Atime = *set.Atime
	}
	if set.Mtime != nil {
		r.Mtime = *set.Mtime
	}
	if set.Ctime != nil {
		r.Ctime = *set.Ctime
	} else {
		r.Ctime = v.now()
	}
	return dropCaps
}

// Statfs is the volume's size; see statfs(2).
type Statfs struct {
	Total, Free int64 // bytes of the place where the data is
	Used        int64 // bytes of the volume's files
	Inodes      int64
}

// unlimited is the free space of a store that has no limit, in bytes.
const unlimited = 1 << 50

// Statfs measures the volume.
func (v *Volume) Statfs(ctx context.Context) (Statfs, error) {
	var st Statfs
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		st = Statfs{}
		for u, err := range namespace.Scan[*namespace.Usage](tx, namespace.UsageKey{}, 0) {
			if err != nil {
				return err
			}
			st.Used += u.Bytes
			st.Inodes += u.Inodes
		}
		return nil
	})
	if err != nil {
		return st, err
	}
	st.Total, st.Free, err = v.capacity(ctx)
	if st.Total == 0 { // a store without a limit of its own; programs take no space for a full disk
		st.Free = unlimited
		st.Total = st.Used + st.Free
	}
	return st, err
}
