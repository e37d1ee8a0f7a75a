package fs

import (
	"errors"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Lookup finds a name. That a name is missing is an answer too, which the kernel may keep.
func (f *FS) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	dir, begun, q := namespace.Ino(in.NodeId), time.Now(), question{node: in.NodeId, name: name}
	if name == "." || name == ".." {
		return f.lookupHandle(cancel, in, name, out)
	}
	if s, ok := f.failed.again(q, 0, 0); ok {
		return s
	}
	a, err := call(f, cancel, in.Pid, func() (answer, error) {
		return f.toShow(func() (*namespace.Inode, error) { return f.vol.Lookup(background(), dir, name) })
	}, nil)
	if errors.Is(err, volume.ErrNotFound) && f.timeout > 0 {
		out.SetEntryTimeout(f.timeout)
		return fuse.OK // with node id 0: a negative entry
	}
	if err != nil {
		return f.failed.note(q, 0, 0, f.status("lookup", in.NodeId, err), begun)
	}
	f.fillAnswer(out, a)
	return fuse.OK
}

// lookupHandle finds an inode by its number, or a directory's parent. It is what the kernel asks for when a file handle is
// used whose inode it has forgotten, as an NFS server's or one of open_by_handle_at(2).
func (f *FS) lookupHandle(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	ino := namespace.Ino(in.NodeId)
	a, err := call(f, cancel, in.Pid, func() (answer, error) {
		return f.toShow(func() (*namespace.Inode, error) { return f.vol.LookupInode(background(), ino, name == "..") })
	}, nil)
	if err != nil {
		return f.status("lookup", in.NodeId, err)
	}
	f.fillAnswer(out, a)
	return fuse.OK
}

// Forget says that the kernel dropped an inode.
func (f *FS) Forget(ino, _ uint64) { f.vol.Forget(namespace.Ino(ino)) }

// Mknod makes a file of any type but directory and symlink.
func (f *FS) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	what := newNode(&in.InHeader, in.Mode, in.Umask)
	what.Rdev = in.Rdev
	return f.create(cancel, "mknod", &in.InHeader, name, what, out)
}

// Mkdir makes a directory.
func (f *FS) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.create(cancel, "mkdir", &in.InHeader, name, newNode(&in.InHeader, in.Mode&0o7777|unix.S_IFDIR, in.Umask), out)
}

// Symlink makes a symbolic link.
func (f *FS) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	what := newNode(in, unix.S_IFLNK|0o777, 0)
	what.Target = target
	return f.create(cancel, "symlink", in, name, what, out)
}

func (f *FS) create(
	cancel <-chan struct{}, op string, in *fuse.InHeader, name string, what volume.Node, out *fuse.EntryOut,
) fuse.Status {
	parent := namespace.Ino(in.NodeId)
	rec, err := call(f, cancel, in.Pid, func() (*namespace.Inode, error) {
		return f.vol.Create(background(), parent, name, what)
	}, nil)
	if err != nil {
		return f.status(op, in.NodeId, err)
	}
	f.fillEntry(out, rec)
	return fuse.OK
}

// newNode describes a new inode of the caller's. The kernel leaves the caller's umask to the volume, since it doesn't count
// where a directory has a default ACL; the daemon's own never does.
func newNode(in *fuse.InHeader, mode, umask uint32) volume.Node {
	return volume.Node{Mode: mode, Umask: umask, UID: in.Uid, GID: in.Gid}
}

// Readlink reads a symbolic link.
func (f *FS) Readlink(cancel <-chan struct{}, in *fuse.InHeader) ([]byte, fuse.Status) {
	a, err := f.inode(cancel, in)
	if err != nil {
		return nil, f.status("readlink", in.NodeId, err)
	}
	return []byte(a.rec.Target), fuse.OK
}

// Unlink removes a name of a file.
func (f *FS) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir := namespace.Ino(in.NodeId)
	err := change(f, cancel, in.Pid, func() error { return f.vol.Unlink(background(), dir, name) })
	return f.status("unlink", in.NodeId, err)
}

// Rmdir removes an empty directory.
func (f *FS) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	dir := namespace.Ino(in.NodeId)
	err := change(f, cancel, in.Pid, func() error { return f.vol.Rmdir(background(), dir, name) })
	return f.status("rmdir", in.NodeId, err)
}

// Rename answers renameat2(2).
func (f *FS) Rename(cancel <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	from, to, flags, who := namespace.Ino(in.NodeId), namespace.Ino(in.Newdir), in.Flags, in.Owner
	err := change(f, cancel, in.Pid, func() error {
		if flags&volume.RenameWhiteout != 0 {
			flags &^= volume.RenameWhiteout
			return f.vol.RenameAndWhiteout(background(), from, oldName, to, newName, flags, who.Uid, who.Gid)
		}
		return f.vol.Rename(background(), from, oldName, to, newName, flags)
	})
	return f.status("rename", in.NodeId, err)
}

// Link gives an inode another name.
func (f *FS) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	ino, dir := namespace.Ino(in.Oldnodeid), namespace.Ino(in.NodeId)
	rec, err := call(f, cancel, in.Pid, func() (*namespace.Inode, error) {
		return f.vol.Link(background(), ino, dir, name)
	}, nil)
	if err != nil {
		return f.status("link", in.NodeId, err)
	}
	f.fillAnswer(out, answer{rec, f.showChanged(rec)})
	return fuse.OK
}
