package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Node is what to make.
type Node struct {
	Mode     uint32 // type and permission bits
	Umask    uint32 // permission bits that it doesn't get, unless its directory has a default ACL
	UID, GID uint32
	Rdev     uint32
	Target   string // of a symlink
}

// Create makes a file of any type but a directory's second name, under a name that must not exist.
func (v *Volume) Create(ctx context.Context, parent namespace.Ino, name string, what Node) (*namespace.Inode, error) {
	first, err := v.checkNew(ctx, name, what)
	if err != nil {
		return nil, err
	}
	var rec *namespace.Inode
	err = v.changeNames(ctx, func() error {
		rec, err = v.create(ctx, parent, name, what, first)
		return err
	})
	return rec, err
}

// checkNew refuses what can't be made, and returns an inode number and a cookie for what can.
func (v *Volume) checkNew(ctx context.Context, name string, what Node) (first uint64, err error) {
	if err := checkName(name); err != nil {
		return 0, err
	}
	if len(what.Target) > MaxTarget {
		return 0, ErrNameTooLong
	}
	return v.takeIDs(ctx, 2)
}

// takeIDs returns the first of n new numbers.
func (v *Volume) takeIDs(ctx context.Context, n uint64) (uint64, error) {
	if err := v.writable(ctx); err != nil {
		return 0, err
	}
	return v.ids.take(ctx, n)
}

// create is Create with the new inode's number, and the cookie behind it.
func (v *Volume) create(ctx context.Context, parent namespace.Ino, name string, what Node, first uint64) (
	*namespace.Inode, error,
) {
	var rec *namespace.Inode
	err := v.update(ctx, entryWant(parent, name), func(tx namespace.Tx) error {
		dir, err := v.freeName(tx, parent, name)
		if err != nil {
			return err
		}
		rec = v.newInode(namespace.Ino(first), dir, what)
		if what.Mode&ModeType == ModeDir {
			if dir.Nlink >= MaxLink {
				return ErrTooManyLink
			}
			rec.Nlink = 2
		}
		if err := inherit(tx, dir, rec, what.Umask); err != nil {
			return err
		}
		tx.Put(rec)
		v.putEntry(tx, rec, name, first+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c := *rec
	return &c, nil
}

// CreateOpen is Create of a regular file, and opens it.
func (v *Volume) CreateOpen(ctx context.Context, parent namespace.Ino, name string, what Node, flags OpenFlags) (
	*namespace.Inode, *Handle, error,
) {
	first, err := v.checkNew(ctx, name, what)
	if err != nil {
		return nil, nil, err
	}
	// It is open before it can be seen, so that whoever removes it at once leaves it to the handle.
	h := v.openNew(namespace.Ino(first), what.Mode, flags, false)
	var rec *namespace.Inode
	if err = errInherits; v.putsOff() {
		rec, err = v.putOff(ctx, h.n, parent, name, what, first+1)
	}
	if err == errInherits {
		err = v.changeNames(ctx, func() error {
			rec, err = v.create(ctx, parent, name, what, first)
			return err
		})
	}
	if err != nil {
		h.close()
		return nil, nil, err
	}
	v.names.note(rec, name)
	v.xattrless.note(rec)
	return rec, h, nil
}

// Tmpfile makes and opens a file without a name, which vanishes with its last handle unless Link gives it one.
func (v *Volume) Tmpfile(ctx context.Context, parent namespace.Ino, what Node, flags OpenFlags) (
	*namespace.Inode, *Handle, error,
) {
	first, err := v.takeIDs(ctx, 1)
	if err != nil {
		return nil, nil, err
	}
	h := v.openNew(namespace.Ino(first), what.Mode, flags, true)
	var rec *namespace.Inode
	want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: parent}}}
	err = v.update(ctx, want, func(tx namespace.Tx) error {
		dir, err := directory(tx, parent)
		if err != nil {
			return err
		}
		rec = v.newInode(namespace.Ino(first), dir, what)
		rec.Nlink = 0
		if err := inherit(tx, dir, rec, what.Umask); err != nil {
			return err
		}
		tx.Put(rec)
		tx.Put(&namespace.Orphan{Ino: rec.Ino, Session: v.Session()})
		tx.Apply(namespace.UsageKey{Session: v.Session()}, namespace.Delta{Inodes: 1})
		return nil
	})
	if err != nil {
		h.close()
		return nil, nil, err
	}
	c := *rec
	return &c, h, nil
}

// openNew opens an inode that is about to be made, of which all is known.
func (v *Volume) openNew(ino namespace.Ino, mode uint32, flags OpenFlags, orphan bool) *Handle {
	n := v.nodes.get(v, ino)
	n.mu.Lock()
	n.loaded, n.hasSuid = true, privileged(mode)
	n.mu.Unlock()
	n.life.Lock()
	defer n.life.Unlock()
	n.orphan = orphan
	h := n.newHandle(flags)
	h.admitted = true
	n.admitted++
	return h
}

// Link gives an inode another name. A directory has only one.
func (v *Volume) Link(ctx context.Context, ino, parent namespace.Ino, name string) (*namespace.Inode, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	cookie, err := v.takeIDs(ctx, 1)
	if err != nil {
		return nil, err
	}
	var rec *namespace.Inode
	err = v.changeNames(ctx, func() error {
		rec, err = v.link(ctx, ino, parent, name, cookie)
		return err
	})
	return rec, err
}

func (v *Volume) link(ctx context.Context, ino, parent namespace.Ino, name string, cookie uint64) (
	*namespace.Inode, error,
) {
	n := v.nodes.get(v, ino)
	defer v.nodes.put(n)
	life := lifeHold{n: n} // whether it has a name is decided here
	look := v.looks.begin()
	defer look.end()
	var rec *namespace.Inode
	want := entryWant(parent, name)
	want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: ino, Lock: namespace.Exclusive})
	want.Undo = life.release
	err := v.update(ctx, want, func(tx namespace.Tx) error {
		if _, err := v.freeName(tx, parent, name); err != nil {
			return err
		}
		var err error
		rec, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		if err != nil {
			return staleIfMissing(err)
		}
		if rec.Mode&ModeType == ModeDir {
			return ErrNotPermit
		}
		if rec.Nlink >= MaxLink {
			return ErrTooManyLink
		}
		if rec.Nlink == 0 { // made by Tmpfile
			life.take()
			tx.Delete(namespace.OrphanKey{Ino: ino})
			rec.Parent = parent
		}
		now := v.now()
		rec.Nlink++
		rec.Ctime = now
		tx.Put(rec)
		tx.Put(&namespace.Dentry{Parent: parent, Name: name, Ino: ino, Type: rec.Mode & ModeType, Cookie: cookie})
		tx.Apply(namespace.InodeKey{Ino: parent}, namespace.Delta{Mtime: now, Ctime: now})
		return nil
	})
	if life.held {
		n.orphan = n.orphan && err != nil
		life.release()
	}
	if err != nil {
		return nil, err
	}
	c := *rec
	v.overlayAttr(&c)
	if look.missed(ino) {
		if now, err := v.GetAttr(ctx, ino); err == nil {
			return now, nil
		}
	}
	return &c, nil
}

// entryWant is what an operation on one name reads.
func entryWant(parent namespace.Ino, name string) namespace.Want {
	return namespace.Want{
		Inodes:  []namespace.InodeWant{{Ino: parent, Lock: namespace.Shared}},
		Entries: []namespace.EntryWant{{Parent: parent, Name: name, Lock: namespace.Exclusive}},
	}
}

// directory reads the inode of a directory that must exist.
func directory(tx namespace.Tx, ino namespace.Ino) (*namespace.Inode, error) {
	dir, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
	if isNotFound(err) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if dir.Mode&ModeType != ModeDir {
		return nil, ErrNotDir
	}
	if dir.Nlink == 0 {
		return nil, ErrNotFound // removed, and still open somewhere
	}
	return dir, nil
}

// freeName returns the directory if the name is free in it.
func (v *Volume) freeName(tx namespace.Tx, parent namespace.Ino, name string) (*namespace.Inode, error) {
	dir, err := directory(tx, parent)
	if err != nil {
		return nil, err
	}
	_, err = tx.Get(namespace.DentryKey{Parent: parent, Name: name})
	switch {
	case err == nil:
		return nil, ErrExists
	case isNotFound(err):
		return dir, nil
	}
	return nil, err
}

// newInode fills in a new inode. In a setgid directory it gets the directory's group, and a directory the bit too.
func (v *Volume) newInode(ino namespace.Ino, dir *namespace.Inode, what Node) *namespace.Inode {
	now := v.now()
	rec := &namespace.Inode{
		Ino: ino, Mode: what.Mode, Flags: namespace.FlagNoXattrs | namespace.FlagBlocks,
		UID: what.UID, GID: what.GID, Nlink: 1, Rdev: what.Rdev,
		Size: uint64(len(what.Target)), Target: what.Target,
		Atime: now, Mtime: now, Ctime: now, Btime: now, Parent: dir.Ino,
	}
	if dir.Mode&ModeSetgid != 0 {
		rec.GID = dir.GID
		if rec.Mode&ModeType == ModeDir {
			rec.Mode |= ModeSetgid
		}
	}
	return rec
}
