package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// private answers for a mount of root's that nobody else may use. The kernel lets no other user near it, and root may do
// everything, so it needs no permission checks of the kernel's: they would ask for a directory's attributes again after
// each name made or removed in it. Left to check are access(2), and that whoever acts for another user, as file servers
// do with setfsuid(2), is refused.
type private struct{ *FS }

// denies reports whether a request is made for someone but root.
func denies(in *fuse.InHeader) bool { return in.Uid != 0 }

// Access answers access(2) and chdir(2): root may do all but execute what nobody may.
func (p private) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	if in.Mask&unix.X_OK == 0 {
		return fuse.OK
	}
	a, err := p.inode(cancel, &in.InHeader)
	if err == nil && a.rec.Mode&unix.S_IFMT != unix.S_IFDIR && a.rec.Mode&0o111 == 0 {
		return fuse.EACCES
	}
	return p.status("access", in.NodeId, err)
}

func (p private) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if denies(in) {
		return fuse.EACCES
	}
	return p.FS.Lookup(cancel, in, name, out)
}

func (p private) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if denies(&in.InHeader) && !ofOpenFile(in.Valid) {
		return fuse.EACCES
	}
	return p.FS.SetAttr(cancel, in, out)
}

// ofOpenFile reports whether a request sets nothing but what whoever has a file open for writing may set: its size, and the
// times, which write-back sends in the name of whoever made it necessary.
func ofOpenFile(valid uint32) bool {
	const may = fuse.FATTR_FH | fuse.FATTR_SIZE | fuse.FATTR_MTIME | fuse.FATTR_CTIME | fuse.FATTR_KILL_SUIDGID |
		fuse.FATTR_LOCKOWNER
	return valid&fuse.FATTR_FH != 0 && valid&^may == 0
}

func (p private) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Mknod(cancel, in, name, out)
}

func (p private) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Mkdir(cancel, in, name, out)
}

func (p private) Symlink(cancel <-chan struct{}, in *fuse.InHeader, to, name string, out *fuse.EntryOut) fuse.Status {
	if denies(in) {
		return fuse.EACCES
	}
	return p.FS.Symlink(cancel, in, to, name, out)
}

func (p private) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Link(cancel, in, name, out)
}

func (p private) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if denies(in) {
		return fuse.EACCES
	}
	return p.FS.Unlink(cancel, in, name)
}

func (p private) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if denies(in) {
		return fuse.EACCES
	}
	return p.FS.Rmdir(cancel, in, name)
}

func (p private) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Rename(cancel, in, from, to)
}

func (p private) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Create(cancel, in, name, out)
}

func (p private) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Tmpfile(cancel, in, out)
}

func (p private) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.Open(cancel, in, out)
}

func (p private) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.OpenDir(cancel, in, out)
}

func (p private) GetXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string, to []byte) (uint32, fuse.Status) {
	if denies(in) {
		return 0, fuse.EACCES
	}
	return p.FS.GetXAttr(cancel, in, name, to)
}

func (p private) SetXAttr(cancel <-chan struct{}, in *fuse.SetXAttrIn, name string, value []byte) fuse.Status {
	if denies(&in.InHeader) {
		return fuse.EACCES
	}
	return p.FS.SetXAttr(cancel, in, name, value)
}

func (p private) RemoveXAttr(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	if denies(in) {
		return fuse.EACCES
	}
	return p.FS.RemoveXAttr(cancel, in, name)
}
