// Package acl has POSIX access control lists as acl(5) describes them, in the form in which Linux passes them in extended
// attributes. It decides nothing about who may do what: that is the kernel's work. It says which lists are valid, and how
// a list and the permission bits of a file follow from each other.
package acl

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The extended attributes in which programs see the lists of a file, and of a directory for what is made in it.
const (
	Access  = "system.posix_acl_access"
	Default = "system.posix_acl_default"
)

// IsName reports whether an extended attribute holds a list.
func IsName(xattr string) bool { return xattr == Access || xattr == Default }

// Tag says whom an entry is for.
type Tag uint16

// The tags, in the order that a list has; User and Group have an ID.
const (
	UserObj  Tag = 0x01
	User     Tag = 0x02
	GroupObj Tag = 0x04
	Group    Tag = 0x08
	Mask     Tag = 0x10
	Other    Tag = 0x20
)

// Entry grants permissions: read 4, write 2 and execute 1.
type Entry struct {
	Tag  Tag
	Perm uint16
	ID   uint32 // of User and Group
}

// List is an access control list. An empty one stands for none.
type List []Entry

// NoID is the ID of entries that have none.
const NoID = ^uint32(0)

// ErrInvalid is bytes that are no list, or a list that acl(5) doesn't allow.
var ErrInvalid = errors.New("invalid access control list")

// Layout of the attribute's value, little endian: a version, and for each entry a tag, permissions and an ID.
const (
	version    = 2
	headerSize = 4
	entrySize  = 8
)

// Parse decodes an attribute's value, and returns a valid list. No bytes, or no entries, are no list.
func Parse(value []byte) (List, error) {
	if len(value) == 0 {
		return nil, nil
	}
	if len(value) < headerSize || (len(value)-headerSize)%entrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(value))
	}
	if v := binary.LittleEndian.Uint32(value); v != version {
		return nil, fmt.Errorf("%w: version %d", ErrInvalid, v)
	}
	var l List
	for b := value[headerSize:]; len(b) > 0; b = b[entrySize:] {
		e := Entry{
			Tag: Tag(binary.LittleEndian.Uint16(b)), Perm: binary.LittleEndian.Uint16(b[2:]),
			ID: binary.LittleEndian.Uint32(b[4:]),
		}
		if e.Tag != User && e.Tag != Group {
			e.ID = NoID
		}
		l = append(l, e)
	}
	return l, l.check()
}

// Bytes encodes the list as an attribute's value.
func (l List) Bytes() []byte {
	b := make([]byte, 0, headerSize+len(l)*entrySize)
	b = binary.LittleEndian.AppendUint32(b, version)
	for _, e := range l {
		b = binary.LittleEndian.AppendUint16(b, uint16(e.Tag))
		b = binary.LittleEndian.AppendUint16(b, e.Perm)
		b = binary.LittleEndian.AppendUint32(b, e.ID)
	}
	return b
}

// check refuses a list whose entries are not in order, occur twice, or lack one that must be there: the three of the
// permission bits, and the mask if users or groups are named.
func (l List) check() error {
	if len(l) == 0 {
		return nil
	}
	count := map[Tag]int{}
	for i, e := range l {
		if e.Perm > 7 {
			return fmt.Errorf("%w: permissions %o", ErrInvalid, e.Perm)
		}
		switch e.Tag {
		case UserObj, User, GroupObj, Group, Mask, Other:
		default:
			return fmt.Errorf("%w: tag %#x", ErrInvalid, e.Tag)
		}
		if i > 0 && e.Tag < l[i-1].Tag {
			return fmt.Errorf("%w: not in order", ErrInvalid)
		}
		if (e.Tag == User || e.Tag == Group) && e.ID == NoID {
			return fmt.Errorf("%w: an entry without an id", ErrInvalid)
		}
		count[e.Tag]++
	}
	named := count[User]+count[Group] > 0
	if count[UserObj] != 1 || count[GroupObj] != 1 || count[Other] != 1 || count[Mask] > 1 || named && count[Mask] == 0 {
		return fmt.Errorf("%w: an entry is missing, or there twice", ErrInvalid)
	}
	return nil
}

// Mode returns the permission bits of a file with this list, where those of the group are the mask's if there is one, and
// whether the list says more than these bits.
func (l List) Mode() (perm uint32, extended bool) {
	var group, mask uint32
	for _, e := range l {
		switch e.Tag {
		case UserObj:
			perm |= uint32(e.Perm) << 6
		case GroupObj:
			group = uint32(e.Perm) << 3
		case Other:
			perm |= uint32(e.Perm)
		case Mask:
			mask, extended = uint32(e.Perm)<<3, true
		default:
			extended = true
		}
	}
	if l.has(Mask) {
		group = mask
	}
	return perm | group, extended
}

func (l List) has(t Tag) bool {
	for _, e := range l {
		if e.Tag == t {
			return true
		}
	}
	return false
}

// groupClass is the tag of the entry that the group's permission bits stand for.
func (l List) groupClass() Tag {
	if l.has(Mask) {
		return Mask
	}
	return GroupObj
}

// Chmod returns the list of a file whose permission bits are set to perm.
func (l List) Chmod(perm uint32) List {
	return l.change(perm, func(_, bits uint16) uint16 { return bits })
}

// Inherit returns the access list of what is made with the permission bits perm in a directory that has l as its default:
// it allows what both do. The umask doesn't count then. See OBJECT CREATION AND DEFAULT ACLs in acl(5).
func (l List) Inherit(perm uint32) List {
	return l.change(perm, func(have, bits uint16) uint16 { return have & bits })
}

// change returns a copy of the list in which the entries that permission bits stand for are changed with those of perm.
func (l List) change(perm uint32, fn func(have, bits uint16) uint16) List {
	group := l.groupClass()
	out := append(List(nil), l...)
	for i := range out {
		e := &out[i]
		switch e.Tag {
		case UserObj:
			e.Perm = fn(e.Perm, uint16(perm>>6&7))
		case group:
			e.Perm = fn(e.Perm, uint16(perm>>3&7))
		case Other:
			e.Perm = fn(e.Perm, uint16(perm&7))
		}
	}
	return out
}
