package volume

import (
	"context"
	"fmt"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume/acl"
)

// An access control list that says no more than the permission bits isn't kept: it sets these. One that says more is kept
// as an Xattr, and the inode's flags say that it may be there.

// SetACL sets an access control list: acl.Access, or acl.Default of a directory. No value, or one without entries, removes
// it. The permission bits follow from an access list, as chmod would set them. ErrNotPermit: by doesn't own the file;
// ErrAccess: a default list for what isn't a directory; ErrInvalid: it isn't a valid list; ErrUnsupported: a symbolic link.
func (v *Volume) SetACL(ctx context.Context, ino namespace.Ino, name string, value []byte, by Caller) error {
	list, err := acl.Parse(value)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	perm, extended := list.Mode()
	if name == acl.Access && len(list) > 0 && !extended { // as cp -p and tar set with each file that they make
		_, err := v.SetAttr(ctx, ino, SetAttr{ACLMode: &perm, By: by})
		return err
	}
	return v.changeXattr(ctx, ino, name, func(tx namespace.Tx, rec *namespace.Inode, _ bool) (bool, error) {
		if err := mayChangeACL(rec, by); err != nil {
			return false, err
		}
		if name == acl.Default {
			return setDefaultACL(tx, rec, list)
		}
		if len(list) > 0 {
			setACLMode(rec, perm, by)
		}
		return putACL(tx, rec, acl.Access, namespace.FlagACL, list), nil
	})
}

// mayChangeACL refuses who doesn't own the inode, and symbolic links.
func mayChangeACL(rec *namespace.Inode, by Caller) error {
	switch {
	case rec.Mode&ModeType == ModeLink:
		return ErrUnsupported
	case by != nil && !by.Owns(rec.UID):
		return ErrNotPermit
	}
	return nil
}

// setACLMode sets the permission bits that an access list amounts to. The setgid bit stays for members of the group only.
func setACLMode(rec *namespace.Inode, perm uint32, by Caller) {
	rec.Mode = rec.Mode&^0o777 | perm
	if by != nil && rec.Mode&ModeSetgid != 0 && !by.InGroup(rec.GID) {
		rec.Mode &^= ModeSetgid
	}
}

func setDefaultACL(tx namespace.Tx, rec *namespace.Inode, list acl.List) (changed bool, err error) {
	switch {
	case rec.Mode&ModeType == ModeDir:
		return putACL(tx, rec, acl.Default, namespace.FlagDefaultACL, list), nil
	case len(list) > 0:
		return false, ErrAccess
	}
	return false, nil
}

// putACL keeps a list of an inode, which the caller puts, or drops it if it isn't to be kept: an empty one, or an access
// list that says no more than the permission bits. It reports whether the inode had a list, or has one now.
func putACL(
	tx namespace.Tx, rec *namespace.Inode, name string, flag namespace.InodeFlags, list acl.List,
) (changed bool) {
	_, extended := list.Mode()
	if len(list) == 0 || flag == namespace.FlagACL && !extended {
		had := rec.Flags&flag != 0
		rec.Flags &^= flag
		tx.Delete(namespace.XattrKey{Ino: rec.Ino, Name: name})
		return had
	}
	rec.Flags = rec.Flags&^namespace.FlagNoXattrs | flag
	tx.Put(&namespace.Xattr{Ino: rec.Ino, Name: name, Value: list.Bytes()})
	return true
}

// readACL reads a list that the inode's flags say may be there.
func readACL(tx namespace.Tx, ino namespace.Ino, name string) (acl.List, error) {
	x, err := namespace.Get[*namespace.Xattr](tx, namespace.XattrKey{Ino: ino, Name: name})
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := acl.Parse(x.Value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s of inode %d: %w", namespace.ErrCorrupt, name, ino, err)
	}
	return list, nil
}

// chmodACL brings the access list of an inode in line with permission bits that were set.
func chmodACL(tx namespace.Tx, rec *namespace.Inode, set SetAttr) error {
	if set.ACLMode != nil {
		if err := mayChangeACL(rec, set.By); err != nil {
			return err
		}
		putACL(tx, rec, acl.Access, namespace.FlagACL, nil)
	}
	if set.Mode == nil || rec.Flags&namespace.FlagACL == 0 {
		return nil
	}
	list, err := readACL(tx, rec.Ino, acl.Access)
	if err != nil || len(list) == 0 {
		return err
	}
	putACL(tx, rec, acl.Access, namespace.FlagACL, list.Chmod(rec.Mode))
	return nil
}

// inherit gives a new inode the lists that its directory has for it. Where it has none, the umask takes permission bits
// away.
func inherit(tx namespace.Tx, dir, rec *namespace.Inode, umask uint32) error {
	if rec.Mode&ModeType == ModeLink {
		return nil
	}
	var list acl.List
	if dir.Flags&namespace.FlagDefaultACL != 0 {
		var err error
		if list, err = readACL(tx, dir.Ino, acl.Default); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		rec.Mode &^= umask & 0o777
		return nil
	}
	access := list.Inherit(rec.Mode)
	perm, _ := access.Mode()
	rec.Mode = rec.Mode&^0o777 | perm
	putACL(tx, rec, acl.Access, namespace.FlagACL, access)
	if rec.Mode&ModeType == ModeDir {
		putACL(tx, rec, acl.Default, namespace.FlagDefaultACL, list)
	}
	return nil
}
