package fs

import (
	"bytes"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/fs/volume/acl"
)

// checkXattr refuses the attribute namespaces that aren't kept, see xattr(7), with the errno that lets programs go on
// without. system. has nothing but the access control lists.
func checkXattr(name string) error {
	if acl.IsName(name) {
		return nil
	}
	for _, space := range []string{"user.", "trusted.", "security."} {
		if name == space {
			return volume.ErrInvalid
		}
		if strings.HasPrefix(name, space) {
			return nil
		}
	}
	return volume.ErrUnsupported
}

// GetXAttr reads an extended attribute. An empty dest asks for its size.
func (f *FS) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string, dest []byte) (uint32, fuse.Status) {
	err := checkXattr(name)
	var value []byte
	if err == nil {
		ino := namespace.Ino(in.NodeId)
		value, err = call(f, cancel, in.Pid, func() ([]byte, error) {
			return f.vol.GetXattr(background(), ino, name)
		}, nil)
	}
	if err != nil {
		return 0, f.status("getxattr", in.NodeId, err)
	}
	return copyOut(dest, value)
}

// ListXAttr lists the names of extended attributes, each with a NUL behind it. Only root sees trusted ones.
func (f *FS) ListXAttr(cancel <-chan struct{}, in *fuse.InHeader, dest []byte) (uint32, fuse.Status) {
	ino := namespace.Ino(in.NodeId)
	names, err := call(f, cancel, in.Pid, func() ([]string, error) { return f.vol.ListXattr(background(), ino) }, nil)
	if err != nil {
		return 0, f.status("listxattr", in.NodeId, err)
	}
	var list []byte
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.") && !callerOf(in).capable(unix.CAP_SYS_ADMIN) {
			continue
		}
		list = append(append(list, name...), 0)
	}
	return copyOut(dest, list)
}

func copyOut(dest, value []byte) (uint32, fuse.Status) {
	if len(dest) > 0 && len(dest) < len(value) {
		return uint32(len(value)), fuse.ERANGE
	}
	copy(dest, value)
	return uint32(len(value)), fuse.OK
}

// SetXAttr sets an extended attribute.
func (f *FS) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, data []byte) fuse.Status {
	if acl.IsName(name) {
		return f.setACL(cancel, &in.InHeader, name, data)
	}
	err := checkXattr(name)
	if err == nil {
		mode := volume.XattrAny
		switch {
		case in.Flags&unix.XATTR_CREATE != 0:
			mode = volume.XattrCreate
		case in.Flags&unix.XATTR_REPLACE != 0:
			mode = volume.XattrReplace
		}
		ino, value := namespace.Ino(in.NodeId), bytes.Clone(data)
		err = change(f, cancel, in.Pid, func() error { return f.vol.SetXattr(background(), ino, name, value, mode) })
	}
	return f.status("setxattr", in.NodeId, err)
}

// RemoveXAttr removes an extended attribute.
func (f *FS) RemoveXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if acl.IsName(name) {
		return f.setACL(cancel, in, name, nil)
	}
	err := checkXattr(name)
	if err == nil {
		ino := namespace.Ino(in.NodeId)
		err = change(f, cancel, in.Pid, func() error { return f.vol.RemoveXattr(background(), ino, name) })
	}
	return f.status("removexattr", in.NodeId, err)
}
