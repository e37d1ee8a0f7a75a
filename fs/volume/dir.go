package volume

import (
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Lookup finds a name in a directory.
func (v *Volume) Lookup(ctx context.Context, parent namespace.Ino, name string) (*namespace.Inode, error) {
	if len(name) > MaxName {
		return nil, ErrNameTooLong
	}
	name = v.storedName(ctx, parent, name)
	if err := v.settleName(ctx, parent, name); err != nil {
		return nil, err
	}
	var rec *namespace.Inode
	want := namespace.Want{Entries: []namespace.EntryWant{{Parent: parent, Name: name}}}
	look := v.looks.begin()
	defer look.end()
	err := v.ns.View(ctx, want, func(tx namespace.Tx) (err error) {
		_, rec, err = entry(tx, parent, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	v.names.note(rec, name)
	v.overlayAttr(rec)
	if !look.missed(rec.Ino) && !v.hasUnborn(rec.Ino) {
		return rec, nil
	}
	rec, err = v.GetAttr(ctx, rec.Ino)
	if errors.Is(err, ErrStale) || err == nil && rec.Nlink == 0 { // removed meanwhile
		return nil, ErrNotFound
	}
	return rec, err
}

// LookupInode finds an inode by its number, or with parent the directory that a directory is in. ErrNotFound: there is none,
// or it has no name any more.
func (v *Volume) LookupInode(ctx context.Context, ino namespace.Ino, parent bool) (*namespace.Inode, error) {
	rec, err := v.GetAttr(ctx, ino)
	if err == nil && parent {
		rec, err = v.GetAttr(ctx, rec.Parent)
	}
	if errors.Is(err, ErrStale) || err == nil && rec.Nlink == 0 && !v.isOpen(rec.Ino) {
		return nil, ErrNotFound
	}
	return rec, err
}

// Entry is one name of a directory. Inode is nil unless it was asked for, and where it would be out of date: of a file
// whose written data was committed meanwhile.
type Entry struct {
	namespace.Dentry
	Inode *namespace.Inode
}

// ReadDir calls fn with the entries behind the position cookie, in the order in which they were made, until fn returns
// false. 0 is the position before the first. Entries that stay are seen exactly once, however many others come and go
// between the calls. With inodes, each entry comes with its inode.
func (v *Volume) ReadDir(ctx context.Context, dir namespace.Ino, cookie uint64, inodes bool, fn func(Entry) bool) error {
	settle := v.settleDir
	if inodes { // those of directories show when a name was made in them
		settle = func(ctx context.Context, _ namespace.Ino) error { return v.settleAll(ctx) }
	}
	if err := settle(ctx, dir); err != nil {
		return err
	}
	list := namespace.ListWant{Dir: dir, Cookie: cookie + 1, Limit: namesAhead, Inodes: inodes}
	if inodes {
		list.Limit = entriesAhead
	}
	look := v.looks.begin()
	defer look.end()
	return v.ns.View(ctx, namespace.Want{Lists: []namespace.ListWant{list}}, func(tx namespace.Tx) error {
		from := namespace.CookieKey{Parent: dir, Cookie: cookie + 1} // behind what an earlier run has shown
		for ent, err := range namespace.Scan[*namespace.Dentry](tx, from, 0) {
			if d := namespace.IsDamaged(err); d != nil {
				v.log.Error("an entry of a directory is left out, fsck tells more", "inode", dir, "err", err)
				continue
			}
			if err != nil {
				return err
			}
			e := Entry{Dentry: *ent}
			e.Name = standIn(ent)
			if inodes {
				e.Inode, err = namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ent.Ino})
				if isNotFound(err) || namespace.IsDamaged(err) != nil {
					e.Inode = nil // a name that leads nowhere is shown without attributes; fsck reports it
				} else if err != nil {
					return err
				} else {
					v.overlayAttr(e.Inode)
					v.names.note(e.Inode, e.Name)
					if look.missed(e.Ino) {
						e.Inode = nil
					}
				}
			}
			if !fn(e) {
				return nil
			}
			cookie = ent.Cookie
		}
		return nil
	})
}

// How many entries are asked for at a time, with their inodes and without: about what the kernel's buffer takes.
const (
	entriesAhead = 256
	namesAhead   = 1024
)

// Parent returns the parent of a directory.
func (v *Volume) Parent(ctx context.Context, dir namespace.Ino) (namespace.Ino, error) {
	rec, err := v.inode(ctx, dir)
	if err != nil {
		return 0, staleIfMissing(err)
	}
	return rec.Parent, nil
}

// Resolve follows a path of names from the root, without following symlinks.
func (v *Volume) Resolve(ctx context.Context, names []string) (*namespace.Inode, error) {
	rec, err := v.GetAttr(ctx, namespace.Root)
	for _, name := range names {
		if err != nil {
			return nil, err
		}
		if name == "" || name == "." {
			continue
		}
		if rec.Mode&ModeType != ModeDir {
			return nil, ErrNotDir
		}
		rec, err = v.Lookup(ctx, rec.Ino, name)
	}
	return rec, err
}

// Path returns a path of the inode from the root, for messages: by its parents, as far as they are known. For a file
// with several names it is one of them.
func (v *Volume) Path(ctx context.Context, ino namespace.Ino) string {
	_ = v.settleInode(ctx, ino) // what is not there has no path yet
	path := ""
	err := v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		path = ""
		seen := map[namespace.Ino]bool{}
		for at := ino; at != namespace.Root && len(path) < maxPathLen; {
			if seen[at] {
				path = "(cycle)" + path
				break
			}
			seen[at] = true
			rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: at})
			if err != nil {
				return err
			}
			path = "/" + nameIn(tx, rec.Parent, at) + path
			at = rec.Parent
		}
		return nil
	})
	if err != nil && path == "" {
		return "?"
	}
	if path == "" {
		return "/"
	}
	return path
}

// nameIn finds the name that a directory has for an inode, among its first entries.
func nameIn(tx namespace.Tx, dir, ino namespace.Ino) string {
	for ent, err := range namespace.Scan[*namespace.Dentry](tx, namespace.DentryKey{Parent: dir}, 100_000) {
		if err == nil && ent.Ino == ino {
			return ent.Name
		}
	}
	return "?"
}
