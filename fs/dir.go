package fs

import (
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Positions of the two entries that every directory has. Those of the others are their cookies, which are larger.
const (
	afterSelf   = 1
	afterParent = 2
)

// OpenDir opens a directory.
func (f *FS) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	h, err := f.openInode(cancel, in, volume.OpenFlags{Read: true})
	if err != nil {
		return f.status("opendir", in.NodeId, err)
	}
	out.Fh = f.open.add(h)
	return fuse.OK
}

// ReleaseDir ends a directory's handle.
func (f *FS) ReleaseDir(in *fuse.ReleaseIn) { f.Release(nil, in) }

// FsyncDir answers fsync(2) of a directory.
func (f *FS) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.Fsync(cancel, in)
}

// ReadDir lists names.
func (f *FS) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, false, func(e fuse.DirEntry, _ *namespace.Inode) bool { return out.AddDirEntry(e) })
}

// ReadDirPlus lists names with their attributes, which spares a lookup of each.
func (f *FS) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.readDir(cancel, in, true, func(e fuse.DirEntry, rec *namespace.Inode) bool {
		entry := out.AddDirLookupEntry(e)
		if entry != nil && rec != nil {
			if a, ok := f.showListed(rec); ok {
				f.fillAnswer(entry, a)
			}
		}
		return entry != nil
	})
}

// readDir adds the entries from a position on until the kernel's buffer is full. Each call looks at the directory as it
// is now: what the kernel learns here it keeps, so a name that is gone by now must not be among it.
func (f *FS) readDir(
	cancel <-chan struct{}, in *fuse.ReadIn, inodes bool, add func(fuse.DirEntry, *namespace.Inode) bool,
) fuse.Status {
	ctx := background()
	if f.workers != nil {
		var end func()
		ctx, end = interruptible(cancel, in.Pid)
		defer end()
	}
	dir := namespace.Ino(in.NodeId)
	if in.Offset < afterSelf && !add(fuse.DirEntry{Name: ".", Mode: unix.S_IFDIR, Ino: in.NodeId, Off: afterSelf}, nil) {
		return fuse.OK
	}
	if in.Offset < afterParent {
		parent, err := f.vol.Parent(ctx, dir)
		if err != nil {
			parent = dir // a removed directory, still open
		}
		e := fuse.DirEntry{Name: "..", Mode: unix.S_IFDIR, Ino: uint64(parent), Off: afterParent}
		if !add(e, nil) {
			return fuse.OK
		}
	}
	err := f.vol.ReadDir(ctx, dir, max(in.Offset, afterParent), inodes, func(e volume.Entry) bool {
		return add(fuse.DirEntry{Name: e.Name, Mode: e.Type, Ino: uint64(e.Ino), Off: e.Cookie}, e.Inode)
	})
	return f.status("readdir", in.NodeId, err)
}
