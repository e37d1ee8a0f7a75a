package fs

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// The attributes in which programs see access control lists; see acl(5). None is kept, but one that says no more than the
// permission bits sets these, as on other file systems: cp -p and tar do so with every file.
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

func isACL(name string) bool { return name == aclAccess || name == aclDefault }

// Tags of a list's entries, and its layout: a version, and entries of a tag, permissions and an id.
const (
	aclVersion  = 2
	aclHeader   = 4
	aclEntry    = 8
	aclUserObj  = 0x01
	aclGroupObj = 0x04
	aclOther    = 0x20
)

// aclMode returns the permission bits that a list amounts to, or false if it says more than they can, or is malformed.
func aclMode(list []byte) (mode uint32, ok bool) {
	if len(list) != aclHeader+3*aclEntry || binary.LittleEndian.Uint32(list) != aclVersion {
		return 0, false
	}
	for i, tag := range []uint16{aclUserObj, aclGroupObj, aclOther} {
		e := list[aclHeader+i*aclEntry:]
		perm := binary.LittleEndian.Uint16(e[2:])
		if binary.LittleEndian.Uint16(e) != tag || perm > 7 {
			return 0, false
		}
		mode = mode<<3 | uint32(perm)
	}
	return mode, true
}

// setACL sets an inode's permission bits by an access control list.
func (f *FS) setACL(ino uint64, name string, list []byte) error {
	mode, ok := aclMode(list)
	if name != aclAccess || !ok {
		return volume.ErrUnsupported
	}
	rec, err := f.vol.GetAttr(background(), namespace.Ino(ino))
	if err != nil {
		return err
	}
	if rec.Mode&unix.S_IFMT == unix.S_IFLNK {
		return volume.ErrUnsupported
	}
	mode |= rec.Mode & 0o7000
	_, err = f.vol.SetAttr(background(), namespace.Ino(ino), volume.SetAttr{Mode: &mode})
	return err
}
