package fs

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/fs/volume/acl"
)

// headerOf is the header of one about an inode, by a user whose process isn't there.
func headerOf(ino namespace.Ino, uid uint32) fuse.InHeader {
	return fuse.InHeader{NodeId: uint64(ino), Caller: fuse.Caller{Pid: 1 << 30, Owner: fuse.Owner{Uid: uid, Gid: uid}}}
}

// TestACLOfOthers sends what kernels before 6.2 pass on: an access control list that a stranger sets, which would be a
// chmod of any file.
func TestACLOfOthers(t *testing.T) {
	f, _ := overFaults(t)
	rec, err := f.vol.Create(background(), namespace.Root, "f", volume.Node{Mode: volume.ModeFile | 0o4640, UID: 1000, GID: 1000})
	must(t, err)
	list := acl.List{{Tag: acl.UserObj, Perm: 7}, {Tag: acl.GroupObj, Perm: 7}, {Tag: acl.Other, Perm: 7}}
	mode := func() uint32 {
		rec, err := f.vol.GetAttr(background(), rec.Ino)
		must(t, err)
		return rec.Mode & 0o7777
	}
	set := func(uid uint32) fuse.Status {
		return f.SetXAttr(nil, &fuse.SetXAttrIn{InHeader: headerOf(rec.Ino, uid)}, acl.Access, list.Bytes())
	}
	remove := func(uid uint32) fuse.Status {
		in := headerOf(rec.Ino, uid)
		return f.RemoveXAttr(nil, &in, acl.Access)
	}
	if got := set(4242); got != fuse.EPERM || mode() != 0o4640 {
		t.Errorf("a list by a stranger: %v, mode %o", got, mode())
	}
	if got := remove(4242); got != fuse.EPERM {
		t.Errorf("its removal by a stranger: %v", got)
	}
	if got := set(1000); got != fuse.OK || mode() != 0o4777 {
		t.Errorf("a list by the owner: %v, mode %o", got, mode())
	}
	if got := remove(0); got != fuse.OK {
		t.Errorf("its removal by root: %v", got)
	}
}

// TestSameOwner sends the chown(-1, -1) of a stranger, which kernels without permission checks pass on.
func TestSameOwner(t *testing.T) {
	f, _ := overFaults(t)
	rec, err := f.vol.Create(background(), namespace.Root, "f", volume.Node{Mode: volume.ModeFile | 0o4755, UID: 1000, GID: 1000})
	must(t, err)
	for _, c := range []struct{ uid, want uint32 }{{4242, 0o4755}, {1000, 0o755}} {
		in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: headerOf(rec.Ino, c.uid)}}
		var out fuse.AttrOut
		if got := f.SetAttr(nil, in, &out); got != fuse.OK || out.Mode&0o7777 != c.want {
			t.Errorf("by %d: %v, mode %o, want %o", c.uid, got, out.Mode&0o7777, c.want)
		}
	}
}

// TestPrivateSetAttr has someone who acts for another user on a mount of root's alone: refused, but for what whoever has a
// file open may do.
func TestPrivateSetAttr(t *testing.T) {
	f, _ := overFaults(t)
	p := private{f}
	rec, err := f.vol.Create(background(), namespace.Root, "f", volume.Node{Mode: volume.ModeFile | 0o644})
	must(t, err)
	for _, c := range []struct {
		name  string
		valid uint32
		want  fuse.Status
	}{
		{"chmod", fuse.FATTR_MODE | fuse.FATTR_CTIME, fuse.EACCES},
		{"fchmod", fuse.FATTR_MODE | fuse.FATTR_CTIME | fuse.FATTR_FH, fuse.EACCES},
		{"chown", fuse.FATTR_UID | fuse.FATTR_CTIME, fuse.EACCES},
		{"truncate", fuse.FATTR_SIZE | fuse.FATTR_MTIME | fuse.FATTR_CTIME, fuse.EACCES},
		{"utimes", fuse.FATTR_ATIME | fuse.FATTR_MTIME | fuse.FATTR_CTIME, fuse.EACCES},
		{"ftruncate", fuse.FATTR_SIZE | fuse.FATTR_FH, fuse.OK},
		{"write-back of times", fuse.FATTR_MTIME | fuse.FATTR_CTIME | fuse.FATTR_FH, fuse.OK},
	} {
		in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{InHeader: headerOf(rec.Ino, 4242), Valid: c.valid}}
		var out fuse.AttrOut
		if got := p.SetAttr(nil, in, &out); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
