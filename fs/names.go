package fs

import (
	"errors"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Lookup finds a name. That a name is missing is an answer too, which the kernel may keep.
func (f *FS) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	rec, err := f.vol.Lookup(background(), namespace.Ino(in.NodeId), name)
	if errors.Is(err, volume.ErrNotFound) && f.timeout > 0 {
		out.SetEntryTimeout(f.timeout)
		return fuse.OK // with node id 0: a negative entry
	}
	if err != nil {
		return f.status("lookup", in.NodeId, err)
	}
	f.fillEntry(out, rec)
	return fuse.OK
}

// Forget says that the kernel dropped an inode.
func (f *FS) Forget(ino, _ uint64) { f.vol.Forget(namespace.Ino(ino)) }

// Mknod makes a file of any type but directory and symlink.
func (f *FS) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	what := newNode(&in.InHeader, in.Mode)
	what.Rdev = in.Rdev
	return f.create("mknod", in.NodeId, name, what, out)
}

// Mkdir makes a directory.
func (f *FS) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create("mkdir", in.NodeId, name, newNode(&in.InHeader, in.Mode&0o7777|unix.S_IFDIR), out)
}

// Symlink makes a symbolic link.
func (f *FS) Symlink(_ <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	what := newNode(in, unix.S_IFLNK|0o777)
	what.Target = target
	return f.create("symlink", in.NodeId, name, what, out)
}

func (f *FS) create(op string, parent uint64, name string, what volume.Node, out *fuse.EntryOut) fuse.Status {
	rec, err := f.vol.Create(background(), namespace.Ino(parent), name, what)
	if err != nil {
		return f.status(op, parent, err)
	}
	f.fillEntry(out, rec)
	return fuse.OK
}

// newNode describes a new inode of the caller's. The kernel has applied the caller's umask; the daemon's own never is.
func newNode(in *fuse.InHeader, mode uint32) volume.Node {
	return volume.Node{Mode: mode, UID: in.Uid, GID: in.Gid}
}

// Readlink reads a symbolic link.
func (f *FS) Readlink(_ <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	rec, err := f.vol.GetAttr(background(), namespace.Ino(in.NodeId))
	if err != nil {
		return nil, f.status("readlink", in.NodeId, err)
	}
	return []byte(rec.Target), fuse.OK
}

// Unlink removes a name of a file.
func (f *FS) Unlink(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.status("unlink", in.NodeId, f.vol.Unlink(background(), namespace.Ino(in.NodeId), name))
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(_ <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return f.status("rmdir", in.NodeId, f.vol.Rmdir(background(), namespace.Ino(in.NodeId), name))
}

// Rename answers renameat2(2).
func (f *FS) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	err := f.vol.Rename(background(), namespace.Ino(in.NodeId), oldName, namespace.Ino(in.Newdir), newName, in.Flags)
	return f.status("rename", in.NodeId, err)
}

// Link gives an inode another name.
func (f *FS) Link(_ <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	rec, err := f.vol.Link(background(), namespace.Ino(in.Oldnodeid), namespace.Ino(in.NodeId), name)
	if err != nil {
		return f.status("link", in.NodeId, err)
	}
	f.fillEntry(out, rec)
	return fuse.OK
}
