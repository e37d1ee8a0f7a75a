package fs

import (
	"encoding/binary"
	"testing"
)

func acl(version uint32, entries ...[3]uint32) []byte {
	list := binary.LittleEndian.AppendUint32(nil, version)
	for _, e := range entries {
		list = binary.LittleEndian.AppendUint16(list, uint16(e[0]))
		list = binary.LittleEndian.AppendUint16(list, uint16(e[1]))
		list = binary.LittleEndian.AppendUint32(list, e[2])
	}
	return list
}

func TestACLMode(t *testing.T) {
	const none = ^uint32(0)
	plain := acl(2, [3]uint32{1, 7, none}, [3]uint32{4, 5, none}, [3]uint32{0x20, 4, none})
	if mode, ok := aclMode(plain); !ok || mode != 0o754 {
		t.Errorf("mode %o, %v; want 754", mode, ok)
	}
	for name, list := range map[string][]byte{
		"empty":        nil,
		"cut off":      plain[:len(plain)-1],
		"version":      acl(1, [3]uint32{1, 7, none}, [3]uint32{4, 5, none}, [3]uint32{0x20, 4, none}),
		"a named user": acl(2, [3]uint32{1, 7, none}, [3]uint32{2, 7, 5}, [3]uint32{4, 5, none}, [3]uint32{0x10, 7, none}, [3]uint32{0x20, 4, none}),
		"permissions":  acl(2, [3]uint32{1, 9, none}, [3]uint32{4, 5, none}, [3]uint32{0x20, 4, none}),
		"order":        acl(2, [3]uint32{4, 7, none}, [3]uint32{1, 5, none}, [3]uint32{0x20, 4, none}),
	} {
		if mode, ok := aclMode(list); ok {
			t.Errorf("%s: taken for %o", name, mode)
		}
	}
}
