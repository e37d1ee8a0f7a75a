package fs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// inode returns the inode that a request is about.
func (f *FS) inode(cancel <-chan struct{}, in *fuse.InHeader) (answer, error) {
	ino := namespace.Ino(in.NodeId)
	return call(f, cancel, in.Pid, func() (answer, error) {
		return f.toShow(func() (*namespace.Inode, error) { return f.vol.GetAttr(background(), ino) })
	}, nil)
}

// GetAttr answers stat(2).
func (f *FS) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	a, err := f.inode(cancel, &in.InHeader)
	if err != nil {
		return f.status("getattr", in.NodeId, err)
	}
	out.SetTimeout(a.keep)
	fillAttr(&out.Attr, a.rec)
	return fuse.OK
}

// Statx answers statx(2), for the time of birth.
func (f *FS) Statx(cancel <-chan struct{}, in *fuse.StatxIn, out *fuse.StatxOut) fuse.Status {
	a, err := f.inode(cancel, &in.InHeader)
	if err != nil {
		return f.status("statx", in.NodeId, err)
	}
	rec := a.rec
	out.SetTimeout(a.keep)
	out.Statx = fuse.Statx{
		Mask: unix.STATX_BASIC_STATS | unix.STATX_BTIME, Blksize: blockSize,
		Nlink: rec.Nlink, Uid: rec.UID, Gid: rec.GID, Mode: uint16(rec.Mode),
		Ino: uint64(rec.Ino), Size: rec.Size, Blocks: sectors(rec),
		Atime: sxTime(rec.Atime), Btime: sxTime(rec.Btime), Ctime: sxTime(rec.Ctime), Mtime: sxTime(rec.Mtime),
		RdevMajor: unix.Major(uint64(rec.Rdev)), RdevMinor: unix.Minor(uint64(rec.Rdev)),
	}
	return fuse.OK
}

func sxTime(t namespace.Time) fuse.SxTime { return fuse.SxTime{Sec: uint64(t.Sec), Nsec: t.Nsec} }

// fieldsSet are the bits of a SETATTR that sets something. One without any is chown(2) with -1 for both: it clears setuid
// bits all the same, and the kernel sends it for nothing else that matters.
const fieldsSet = fuse.FATTR_MODE | fuse.FATTR_UID | fuse.FATTR_GID | fuse.FATTR_SIZE | fuse.FATTR_ATIME | fuse.FATTR_MTIME

// SetAttr answers chmod, chown, truncate and utimensat.
func (f *FS) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	set, begun := attrToSet(in), time.Now()
	ino := namespace.Ino(in.NodeId)
	rec, err := call(f, cancel, in.Pid, func() (*namespace.Inode, error) {
		return f.vol.SetAttr(background(), ino, set)
	}, nil)
	if err != nil {
		return f.failed.note(question{node: in.NodeId}, 0, 0, f.status("setattr", in.NodeId, err), begun)
	}
	out.SetTimeout(f.showChanged(rec))
	fillAttr(&out.Attr, rec)
	return fuse.OK
}

// attrToSet is what a request sets.
func attrToSet(in *fuse.SetAttrIn) volume.SetAttr {
	what := *in // the request may be gone before what is asked for is done
	in = &what
	set := volume.SetAttr{By: callerOf(&in.InHeader)}
	if in.Valid&fuse.FATTR_MODE != 0 {
		set.Mode = &in.Mode
	}
	if in.Valid&fuse.FATTR_UID != 0 {
		set.UID = &in.Uid
	}
	if in.Valid&fuse.FATTR_GID != 0 {
		set.GID = &in.Gid
	}
	if in.Valid&fuse.FATTR_SIZE != 0 {
		set.Size = &in.Size
		set.KillFor = killer(&in.InHeader, in.Valid&fuse.FATTR_KILL_SUIDGID != 0)
	}
	set.Atime = timeToSet(in.Valid, fuse.FATTR_ATIME, fuse.FATTR_ATIME_NOW, in.Atime, in.Atimensec)
	set.Mtime = timeToSet(in.Valid, fuse.FATTR_MTIME, fuse.FATTR_MTIME_NOW, in.Mtime, in.Mtimensec)
	set.Ctime = timeToSet(in.Valid, fuse.FATTR_CTIME, 0, in.Ctime, in.Ctimensec)
	set.SameOwner = in.Valid&fieldsSet == 0
	return set
}

func timeToSet(valid, bit, now uint32, sec uint64, nsec uint32) *namespace.Time {
	switch {
	case valid&bit == 0:
		return nil
	case now != 0 && valid&now != 0:
		t := volume.Now()
		return &t
	}
	return &namespace.Time{Sec: int64(sec), Nsec: nsec}
}

// StatFs answers statfs(2).
func (f *FS) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	st, err := call(f, cancel, in.Pid, func() (volume.Statfs, error) { return f.vol.Statfs(background()) }, nil)
	if err != nil {
		return f.status("statfs", in.NodeId, err)
	}
	const manyInodes = 1 << 32 // their number isn't limited
	*out = fuse.StatfsOut{
		Blocks: uint64(st.Total) / blockSize, Bfree: uint64(st.Free) / blockSize, Bavail: uint64(st.Free) / blockSize,
		Files: uint64(st.Inodes) + manyInodes, Ffree: manyInodes,
		Bsize: blockSize, Frsize: blockSize, NameLen: volume.MaxName,
	}
	return fuse.OK
}
