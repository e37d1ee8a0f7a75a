package fs

import (
	"bytes"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// setACL sets an access control list, or with no value removes it. Who may do that the kernel decides only since 6.2, and
// only on a mount with its permission checks, so it is decided here, unless the caller's id is one that only the kernel can
// map.
func (f *FS) setACL(cancel <-chan struct{}, in *fuse.InHeader, name string, value []byte) fuse.Status {
	ino, list, by := namespace.Ino(in.NodeId), bytes.Clone(value), callerOf(in)
	by.checked = in.Uid == unknownID
	err := change(f, cancel, in.Pid, func() error { return f.vol.SetACL(background(), ino, name, list, by) })
	if err == nil {
		// The permission bits have changed, which the kernel knows only if it checks permissions.
		f.forgetAttributes(in.NodeId)
	}
	return f.status("setxattr", in.NodeId, err)
}
