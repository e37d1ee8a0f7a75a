package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// ops are the requests that FuzzRequests makes.
var ops = []func(r *requests){
	func(r *requests) {
		in := &fuse.CreateIn{InHeader: r.header(), Flags: r.small() &^ unix.O_DSYNC, Mode: r.small()}
		var out fuse.CreateOut
		if st := r.f.Create(r.quit, in, r.name(), &out); st.Ok() {
			r.inos, r.files = append(r.inos, out.NodeId), append(r.files, out.Fh)
		}
	},
	func(r *requests) {
		in := &fuse.CreateIn{InHeader: r.header(), Mode: r.small()}
		var out fuse.CreateOut
		if st := r.f.Tmpfile(r.quit, in, &out); st.Ok() {
			r.inos, r.files = append(r.inos, out.NodeId), append(r.files, out.Fh)
		}
	},
	func(r *requests) {
		data := []byte(r.text())
		in := &fuse.WriteIn{InHeader: r.header(), Fh: r.handle(r.files), Offset: r.number(), Size: uint32(len(data)), WriteFlags: r.small(), Flags: r.small()}
		_, _ = r.f.Writev(r.quit, in, [][]byte{data, data})
	},
	func(r *requests) {
		in := &fuse.ReadIn{InHeader: r.header(), Fh: r.handle(r.files), Offset: r.number(), Size: r.small()}
		_, _ = r.f.Read(r.quit, in, make([]byte, min(in.Size, 64<<10)))
	},
	func(r *requests) {
		in := &fuse.FallocateIn{InHeader: r.header(), Fh: r.handle(r.files), Offset: r.number(), Length: r.number(), Mode: r.small()}
		r.f.Fallocate(r.quit, in)
	},
	func(r *requests) {
		in := &fuse.LseekIn{InHeader: r.header(), Fh: r.handle(r.files), Offset: r.number(), Whence: r.small()}
		r.f.Lseek(r.quit, in, &fuse.LseekOut{})
	},
	func(r *requests) {
		in := &fuse.CopyFileRangeIn{
			InHeader: r.header(), FhIn: r.handle(r.files), OffIn: r.number(), NodeIdOut: r.ino(), FhOut: r.handle(r.files), OffOut: r.number(),
			Len: r.number(), Flags: r.number(),
		}
		_, _ = r.f.CopyFileRange(r.quit, in)
	},
	func(r *requests) {
		in := &fuse.SetAttrIn{SetAttrInCommon: fuse.SetAttrInCommon{
			InHeader: r.header(), Valid: r.small(), Fh: r.handle(r.files), Size: r.number(), Atime: r.number(), Mtime: r.number(), Ctime: r.number(),
			Atimensec: r.small(), Mtimensec: r.small(), Ctimensec: r.small(), Mode: r.small(),
		}}
		in.Owner = fuse.Owner{Uid: r.small(), Gid: r.small()}
		r.f.SetAttr(r.quit, in, &fuse.AttrOut{})
	},
	func(r *requests) {
		in := r.header()
		r.f.GetAttr(r.quit, &fuse.GetAttrIn{InHeader: in}, &fuse.AttrOut{})
		var out fuse.EntryOut
		r.f.Lookup(r.quit, &in, r.text(), &out)
		r.f.StatFs(r.quit, &in, &fuse.StatfsOut{})
		_, _ = r.f.Readlink(r.quit, &in)
	},
	func(r *requests) {
		var out fuse.EntryOut
		r.made(r.f.Mkdir(r.quit, &fuse.MkdirIn{InHeader: r.header(), Mode: r.small()}, r.name(), &out), &out)
	},
	func(r *requests) {
		var out fuse.EntryOut
		r.made(r.f.Mknod(r.quit, &fuse.MknodIn{InHeader: r.header(), Mode: r.small(), Rdev: r.small()}, r.name(), &out), &out)
	},
	func(r *requests) {
		var out fuse.EntryOut
		in := r.header()
		r.made(r.f.Symlink(r.quit, &in, r.text(), r.name(), &out), &out)
	},
	func(r *requests) {
		var out fuse.EntryOut
		r.f.Link(r.quit, &fuse.LinkIn{InHeader: r.header(), Oldnodeid: r.ino()}, r.name(), &out)
	},
	func(r *requests) {
		in := &fuse.RenameIn{InHeader: r.header(), Newdir: r.ino(), Flags: r.small()}
		r.f.Rename(r.quit, in, r.name(), r.name())
	},
	func(r *requests) {
		in := r.header()
		r.f.Unlink(r.quit, &in, r.text())
		r.f.Rmdir(r.quit, &in, r.name())
	},
	func(r *requests) {
		in := &fuse.SetXAttrIn{InHeader: r.header(), Flags: r.small()}
		r.f.SetXAttr(r.quit, in, xattrs[int(r.byte())%len(xattrs)]+r.text(), []byte(r.text()))
	},
	func(r *requests) {
		in := r.header()
		name := xattrs[int(r.byte())%len(xattrs)] + r.text()
		_, _ = r.f.GetXAttr(r.quit, &in, name, make([]byte, r.byte()))
		_, _ = r.f.ListXAttr(r.quit, &in, make([]byte, r.byte()))
		r.f.RemoveXAttr(r.quit, &in, name)
	},
	func(r *requests) {
		var out fuse.OpenOut
		if st := r.f.Open(r.quit, &fuse.OpenIn{InHeader: r.header(), Flags: r.small() &^ unix.O_DSYNC}, &out); st.Ok() {
			r.files = append(r.files, out.Fh)
		}
		if st := r.f.OpenDir(r.quit, &fuse.OpenIn{InHeader: r.header()}, &out); st.Ok() {
			r.dirs = append(r.dirs, out.Fh)
		}
	},
	func(r *requests) {
		in := &fuse.ReadIn{InHeader: r.header(), Fh: r.handle(r.dirs), Offset: r.number(), Size: 4096}
		r.f.ReadDir(r.quit, in, fuse.NewDirEntryList(make([]byte, 4096), in.Offset))
		r.f.ReadDirPlus(r.quit, in, fuse.NewDirEntryList(make([]byte, 4096), in.Offset))
	},
	func(r *requests) {
		fh := r.handle(r.files)
		r.f.Flush(r.quit, &fuse.FlushIn{InHeader: r.header(), Fh: fh, LockOwner: r.number()})
		r.f.Fsync(r.quit, &fuse.FsyncIn{InHeader: r.header(), Fh: fh, FsyncFlags: r.small()})
	},
	func(r *requests) {
		lk := &fuse.LkIn{InHeader: r.header(), Fh: r.handle(r.files), Owner: r.number(), LkFlags: r.small()}
		lk.Lk = fuse.FileLock{Start: r.number(), End: r.number(), Typ: r.small(), Pid: 1}
		r.f.GetLk(r.quit, lk, &fuse.LkOut{})
		r.f.SetLk(r.quit, lk)
	},
}

var xattrs = []string{"user.", "trusted.", "security.", "security.capability", "system.posix_acl_access", "system.posix_acl_default", ""}

// close ends all handles.
func (r *requests) close() {
	for _, fh := range append(r.files, r.dirs...) {
		r.f.Release(r.quit, &fuse.ReleaseIn{Fh: fh})
	}
}

// empty removes all below a directory.
func (r *requests) empty(dir namespace.Ino) {
	ctx := context.Background()
	var list []volume.Entry
	must(r.t, r.f.vol.ReadDir(ctx, dir, 0, false, func(e volume.Entry) bool {
		list = append(list, e)
		return true
	}))
	for _, e := range list {
		if e.Type == volume.ModeDir {
			r.empty(e.Ino)
			must(r.t, r.f.vol.Rmdir(ctx, dir, e.Name))
		} else {
			must(r.t, r.f.vol.Unlink(ctx, dir, e.Name))
		}
	}
}
