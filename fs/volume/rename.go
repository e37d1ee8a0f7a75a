package volume

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Rename modes; see renameat2(2).
const (
	RenameNoReplace = 1
	RenameExchange  = 2
)

// move is a rename: from a name to a name.
type move struct {
	v          *Volume
	from, to   namespace.Ino // directories
	oldName    string
	newName    string
	mode       uint32
	cookie     uint64 // two of them
	whiteout   *Node  // what takes the old name, or nil
	whiteoutID uint64 // its inode number; its cookie is the next number
	now        namespace.Time
	removed    *removal
	fromLinks  int32 // change of the directories' links
	toLinks    int32
	movedEntry *namespace.Dentry
	moved      *namespace.Inode
}

// Rename gives the entry oldName of one directory the name newName in another, and replaces what has that name, if it
// may: a file a file, a directory an empty directory. With RenameExchange the two change places. It is one transaction:
// also after a crash there is the old state or the new.
func (v *Volume) Rename(ctx context.Context, from namespace.Ino, oldName string, to namespace.Ino, newName string,
	mode uint32,
) error {
	return v.rename(ctx, from, oldName, to, newName, mode, nil)
}

// RenameWhiteout is the mode of Rename, which may go with RenameNoReplace, that RenameAndWhiteout is.
const RenameWhiteout = 4

// RenameAndWhiteout is Rename that leaves a whiteout of an owner under the old name: a character device 0/0, by which
// overlayfs knows that a name was removed.
func (v *Volume) RenameAndWhiteout(ctx context.Context, from namespace.Ino, oldName string, to namespace.Ino,
	newName string, mode, uid, gid uint32,
) error {
	if mode&RenameExchange != 0 {
		return ErrInvalid
	}
	return v.rename(ctx, from, oldName, to, newName, mode, &Node{Mode: unix.S_IFCHR, UID: uid, GID: gid})
}

func (v *Volume) rename(ctx context.Context, from namespace.Ino, oldName string, to namespace.Ino, newName string,
	mode uint32, whiteout *Node,
) error {
	if mode != 0 && mode != RenameNoReplace && mode != RenameExchange {
		return ErrInvalid
	}
	if err := checkName(newName); err != nil {
		return err
	}
	oldName = v.storedName(ctx, from, oldName)
	numbers := uint64(2)
	if whiteout != nil {
		numbers = 4
	}
	cookie, err := v.takeIDs(ctx, numbers)
	if err != nil {
		return err
	}
	want := namespace.Want{
		Inodes: []namespace.InodeWant{{Ino: from, Lock: namespace.Shared}, {Ino: to, Lock: namespace.Shared}},
		Entries: []namespace.EntryWant{
			{Parent: from, Name: oldName, Lock: namespace.Exclusive},
			{Parent: to, Name: newName, Lock: namespace.Exclusive, Empty: true, Contents: smallFile + 1},
		},
	}
	return v.changeNames(ctx, func() error {
		alone, release := v.company()
		defer release()
		r := removal{v: v, alone: alone}
		want.Undo = r.reset
		err := v.update(ctx, want, func(tx namespace.Tx) error {
			r.reset()
			m := move{
				v: v, from: from, to: to, oldName: oldName, newName: newName, mode: mode,
				cookie: cookie, now: v.now(), removed: &r, whiteout: whiteout, whiteoutID: cookie + 2,
			}
			return m.run(tx)
		})
		r.done(err)
		return err
	})
}

func (m *move) run(tx namespace.Tx) error {
	fromDir, err := directory(tx, m.from)
	if err != nil {
		return err
	}
	if _, err := directory(tx, m.to); err != nil {
		return err
	}
	m.movedEntry, m.moved, err = entry(tx, m.from, m.oldName)
	if err != nil {
		return err
	}
	targetEntry, target, err := entry(tx, m.to, m.newName)
	if err != nil && err != ErrNotFound {
		return err
	}
	exists := err == nil
	switch {
	case exists && m.mode == RenameNoReplace:
		return ErrExists
	case !exists && m.mode == RenameExchange:
		return ErrNotFound
	case exists && target.Ino == m.moved.Ino:
		return nil // two names of one inode: rename(2) does nothing
	}
	if err := m.checkLoop(tx, m.moved, m.to); err != nil {
		return err
	}
	if m.mode == RenameExchange {
		if err := m.checkLoop(tx, target, m.from); err != nil {
			return err
		}
		m.place(tx, target, m.from, m.to, m.oldName, m.cookie+1)
	} else {
		if exists {
			if err := m.replace(tx, targetEntry, target); err != nil {
				return err
			}
		}
		tx.Delete(m.movedEntry.Key())
	}
	if m.whiteout != nil {
		rec := m.v.newInode(namespace.Ino(m.whiteoutID), fromDir, *m.whiteout)
		tx.Put(rec)
		m.v.putEntry(tx, rec, m.oldName, m.whiteoutID+1)
	}
	m.place(tx, m.moved, m.to, m.from, m.newName, m.cookie)
	m.touch(tx)
	return nil
}

// place writes the entry of an inode that comes from another directory, or the same.
func (m *move) place(tx namespace.Tx, rec *namespace.Inode, dir, was namespace.Ino, name string, cookie uint64) {
	rec.Ctime = m.now
	rec.Parent = dir
	if rec.Mode&ModeType == ModeDir && dir != was {
		m.link(dir, 1)
		m.link(was, -1)
	}
	tx.Put(rec)
	tx.Put(&namespace.Dentry{Parent: dir, Name: name, Ino: rec.Ino, Type: rec.Mode & ModeType, Cookie: cookie})
	m.v.names.note(rec, name) // only a hint, so it needn't wait for the commit
}

func (m *move) link(dir namespace.Ino, n int32) {
	if dir == m.from {
		m.fromLinks += n
	} else {
		m.toLinks += n
	}
}

// replace removes what has the new name.
func (m *move) replace(tx namespace.Tx, ent *namespace.Dentry, target *namespace.Inode) error {
	movedDir := m.moved.Mode&ModeType == ModeDir
	if err := checkRemovable(tx, target, movedDir); err != nil {
		return err
	}
	if movedDir {
		m.link(m.to, -1)
	}
	tx.Delete(ent.Key())
	return m.removed.unlink(tx, target, m.now)
}

// touch brings the directories up to date.
func (m *move) touch(tx namespace.Tx) {
	d := namespace.Delta{Mtime: m.now, Ctime: m.now, Nlink: m.fromLinks}
	if m.from == m.to {
		d.Nlink += m.toLinks
	} else {
		e := namespace.Delta{Mtime: m.now, Ctime: m.now, Nlink: m.toLinks}
		tx.Apply(namespace.InodeKey{Ino: m.to}, e)
	}
	tx.Apply(namespace.InodeKey{Ino: m.from}, d)
}

// checkLoop refuses to move a directory below itself.
func (m *move) checkLoop(tx namespace.Tx, rec *namespace.Inode, dir namespace.Ino) error {
	if rec.Mode&ModeType != ModeDir || m.from == m.to {
		return nil
	}
	seen := map[namespace.Ino]bool{}
	for at := dir; at != namespace.Root; {
		if at == rec.Ino {
			return ErrInvalid
		}
		if seen[at] {
			return fmt.Errorf("directory %d is below itself: %w", at, namespace.ErrCorrupt)
		}
		seen[at] = true
		up, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: at})
		if err != nil {
			return err
		}
		at = up.Parent
	}
	return nil
}
