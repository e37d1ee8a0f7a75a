package differential

import (
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

var xattrFlags = []bit{{"0", 0}, {"XATTR_CREATE", unix.XATTR_CREATE}, {"XATTR_REPLACE", unix.XATTR_REPLACE}}

// xattrCalls are the calls on extended attributes. The value set is Len bytes of Seed; a read has a
// buffer of Len bytes, 0 asks for the size.
func xattrCalls() map[string]*call {
	set := []string{"path", "name", "len", "seed", "flags"}
	return map[string]*call{
		"setxattr": {fields: set, weight: 4, flags: xattrFlags, one: true, run: func(_ *side, op Op) Outcome {
			return result(unix.Setxattr(op.Path, op.Name, blob(op.Seed, xattrLen(op)), op.Flags))
		}},
		"lsetxattr": {fields: set, weight: 1, flags: xattrFlags, one: true, run: func(_ *side, op Op) Outcome {
			return result(unix.Lsetxattr(op.Path, op.Name, blob(op.Seed, xattrLen(op)), op.Flags))
		}},
		"fsetxattr": {fields: []string{"slot", "name", "len", "seed", "flags"}, weight: 1, flags: xattrFlags, one: true, run: func(s *side, op Op) Outcome {
			return result(unix.Fsetxattr(s.fds[op.Slot], op.Name, blob(op.Seed, xattrLen(op)), op.Flags))
		}},
		"getxattr": {fields: []string{"path", "name", "len"}, weight: 2, run: func(_ *side, op Op) Outcome {
			buf := make([]byte, xattrLen(op))
			n, err := unix.Getxattr(op.Path, op.Name, buf)
			return value(buf, n, err)
		}},
		"fgetxattr": {fields: []string{"slot", "name", "len"}, weight: 1, run: func(s *side, op Op) Outcome {
			buf := make([]byte, xattrLen(op))
			n, err := unix.Fgetxattr(s.fds[op.Slot], op.Name, buf)
			return value(buf, n, err)
		}},
		"listxattr": {fields: []string{"path"}, weight: 2, run: func(_ *side, op Op) Outcome {
			return attributeNames(func(buf []byte) (int, error) { return unix.Listxattr(op.Path, buf) })
		}},
		"flistxattr": {fields: []string{"slot"}, weight: 1, run: func(s *side, op Op) Outcome {
			return attributeNames(func(buf []byte) (int, error) { return unix.Flistxattr(s.fds[op.Slot], buf) })
		}},
		"removexattr": {fields: []string{"path", "name"}, weight: 2, run: func(_ *side, op Op) Outcome {
			return result(unix.Removexattr(op.Path, op.Name))
		}},
		"fremovexattr": {fields: []string{"slot", "name"}, weight: 1, run: func(s *side, op Op) Outcome {
			return result(unix.Fremovexattr(s.fds[op.Slot], op.Name))
		}},
	}
}

// xattrLen keeps values small: ext4 has one block for all attributes of an inode.
func xattrLen(op Op) int64 { return op.Len % 500 }

// value renders an attribute that was read.
func value(buf []byte, n int, err error) Outcome {
	out := count(n, err)
	if err == nil && len(buf) > 0 {
		out.Data = digest(buf[:n])
	}
	return out
}

// attributeNames reads a list of names and sorts it. The size that a call with an empty buffer
// asks for must be enough.
func attributeNames(list func([]byte) (int, error)) Outcome {
	size, err := list(nil)
	if err != nil {
		return result(err)
	}
	buf := make([]byte, size+1)
	n, err := list(buf)
	if err != nil {
		return result(err)
	}
	var names []string
	for name := range strings.SplitSeq(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		// A security module labels what it likes.
		if name != "" && name != "security.selinux" && name != "security.ima" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return Outcome{Ret: int64(len(names)), Data: strings.Join(names, " ")}
}
