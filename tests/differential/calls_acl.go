package differential

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Tags of an access control list's entries; see linux/posix_acl.h.
const (
	aclUserObj  = 0x01
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

type aclEntry struct {
	tag, perm uint16
	id        uint32
}

// acls are the lists that a call picks from with Op.Seed: such as say no more than a mode, with users and groups, and some
// that are not valid.
var acls = [][]aclEntry{
	{{aclUserObj, 6, 0}, {aclGroupObj, 4, 0}, {aclOther, 0, 0}},
	{{aclUserObj, 7, 0}, {aclUser, 7, other}, {aclGroupObj, 5, 0}, {aclMask, 7, 0}, {aclOther, 5, 0}},
	{{aclUserObj, 7, 0}, {aclUser, 4, other}, {aclGroupObj, 0, 0}, {aclMask, 4, 0}, {aclOther, 0, 0}},
	{{aclUserObj, 7, 0}, {aclUser, 0, third}, {aclGroupObj, 7, 0}, {aclMask, 7, 0}, {aclOther, 7, 0}},
	{{aclUserObj, 6, 0}, {aclGroupObj, 0, 0}, {aclGroup, 6, otherGroup}, {aclMask, 6, 0}, {aclOther, 0, 0}},
	{{aclUserObj, 6, 0}, {aclGroupObj, 6, 0}, {aclGroup, 7, thirdGroup}, {aclMask, 2, 0}, {aclOther, 4, 0}},
	{{aclUserObj, 7, 0}, {aclGroupObj, 7, 0}, {aclMask, 0, 0}, {aclOther, 7, 0}},
	{},
	{{aclUserObj, 6, 0}, {aclUser, 6, other}, {aclGroupObj, 4, 0}, {aclOther, 0, 0}}, // no mask
	{{aclOther, 6, 0}, {aclGroupObj, 4, 0}, {aclUserObj, 0, 0}},                      // no order
	{{aclUserObj, 9, 0}, {aclGroupObj, 4, 0}, {aclOther, 0, 0}},
}

// acl encodes the list that Op.Seed selects.
func (op Op) acl() []byte {
	const version = 2
	value := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range acls[op.Seed%len(acls)] {
		id := e.id
		if e.tag != aclUser && e.tag != aclGroup {
			id = ^uint32(0)
		}
		value = binary.LittleEndian.AppendUint16(value, e.tag)
		value = binary.LittleEndian.AppendUint16(value, e.perm)
		value = binary.LittleEndian.AppendUint32(value, id)
	}
	return value
}

// aclCalls set access control lists. They are read, listed and removed as the extended attributes that they are.
func aclCalls() map[string]*call {
	return map[string]*call{
		"setfacl": {fields: []string{"path", "name", "seed"}, weight: 4, run: func(_ *side, op Op) Outcome {
			return result(unix.Setxattr(op.Path, op.Name, op.acl(), 0))
		}},
		"fsetfacl": {fields: []string{"slot", "name", "seed"}, weight: 1, run: func(s *side, op Op) Outcome {
			return result(unix.Fsetxattr(s.fds[op.Slot], op.Name, op.acl(), 0))
		}},
	}
}
