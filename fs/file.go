package fs

import (
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Create makes and opens a file.
func (f *FS) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	what := newNode(&in.InHeader, in.Mode&0o7777|unix.S_IFREG, in.Umask)
	dir, flags := namespace.Ino(in.NodeId), f.openFlags(in.Flags)
	c, err := call(f, cancel, in.Pid, func() (created, error) {
		rec, h, err := f.vol.CreateOpen(background(), dir, name, what, flags)
		return created{rec, h}, err
	}, created.release)
	if err != nil {
		return f.status("create", in.NodeId, err)
	}
	f.fillEntry(&out.EntryOut, c.rec)
	f.fillOpen(&out.OpenOut, c.h)
	if !f.cached {
		out.OpenFlags |= appendFlags(in.Flags)
	}
	return fuse.OK
}

// created is a new file, open.
type created struct {
	rec *namespace.Inode
	h   *volume.Handle
}

func (c created) release() { c.h.Release(background()) }

// Tmpfile makes and opens a file without a name (O_TMPFILE).
func (f *FS) Tmpfile(cancel <-chan struct{}, in *fuse.CreateIn, out *fuse.CreateOut) fuse.Status {
	what := newNode(&in.InHeader, in.Mode&0o7777|unix.S_IFREG, in.Umask)
	dir, flags := namespace.Ino(in.NodeId), f.openFlags(in.Flags)
	c, err := call(f, cancel, in.Pid, func() (created, error) {
		rec, h, err := f.vol.Tmpfile(background(), dir, what, flags)
		return created{rec, h}, err
	}, created.release)
	if err != nil {
		return f.status("tmpfile", in.NodeId, err)
	}
	f.fillEntry(&out.EntryOut, c.rec)
	f.fillOpen(&out.OpenOut, c.h)
	return fuse.OK
}

// Open opens a file.
func (f *FS) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	h, err := f.openInode(cancel, in, f.openFlags(in.Flags))
	if err != nil {
		return f.status("open", in.NodeId, err)
	}
	f.fillOpen(out, h)
	if !f.cached {
		f.openShared(in, out, h)
	}
	return fuse.OK
}

func (f *FS) openInode(cancel <-chan struct{}, in *fuse.OpenIn, flags volume.OpenFlags) (*volume.Handle, error) {
	ino := namespace.Ino(in.NodeId)
	return call(f, cancel, in.Pid, func() (*volume.Handle, error) { return f.vol.Open(background(), ino, flags) },
		func(h *volume.Handle) { h.Release(background()) })
}

func (f *FS) openFlags(flags uint32) volume.OpenFlags {
	mode := flags & unix.O_ACCMODE
	return volume.OpenFlags{
		Read: mode != unix.O_WRONLY, Write: mode != unix.O_RDONLY,
		Sync: flags&unix.O_DSYNC != 0, NoAtime: flags&unix.O_NOATIME != 0,
	}
}

func (f *FS) fillOpen(out *fuse.OpenOut, h *volume.Handle) {
	out.Fh = f.open.add(h)
	if f.cached && !f.vol.LostCommits() {
		// Only this mount changes the file, so what the kernel has of it stays true.
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
	}
}

// Read answers read(2) and page faults.
func (f *FS) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	h, err := f.open.get(in.Fh)
	if err != nil {
		return nil, f.status("read", in.NodeId, err)
	}
	begun, q, to := time.Now(), question{fh: in.Fh}, in.Offset+uint64(in.Size)
	if s, ok := f.failed.again(q, in.Offset, to); ok {
		return nil, s
	}
	ctx, end := interruptible(cancel, in.Pid)
	defer end()
	n, err := h.Read(ctx, buf[:min(len(buf), int(in.Size))], in.Offset)
	if err != nil {
		return nil, f.failed.note(q, in.Offset, to, f.status("read", in.NodeId, err), begun)
	}
	return fuse.ReadResultData(buf[:n]), fuse.OK
}

// Writev answers write(2) and the kernel's write-back.
func (f *FS) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	h, err := f.open.get(in.Fh)
	if err != nil {
		return 0, f.status("write", in.NodeId, err)
	}
	how := volume.Written{
		Cached:  in.WriteFlags&fuse.WRITE_CACHE != 0,
		KillFor: killer(&in.InHeader, in.WriteFlags&fuse.WRITE_KILL_SUIDGID != 0),
		Append:  !f.cached && in.Flags&unix.O_APPEND != 0,
	}
	ctx := background()
	if !how.Cached { // write-back can't be interrupted: its pages would be lost
		var end func()
		ctx, end = interruptible(cancel, in.Pid)
		defer end()
	}
	if err := h.Write(ctx, in.Offset, data, how); err != nil {
		return 0, f.status("write", in.NodeId, err)
	}
	if how.Append { // the kernel thinks that it is at its own idea of the end
		f.vol.Drop(namespace.Ino(in.NodeId))
	}
	return in.Size, fuse.OK
}

// Flush answers close(2).
func (f *FS) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err == nil {
		ctx := f.after(in.NodeId)
		unlock := h.Closing(in.LockOwner) // before anything is waited for: the owner may lock again
		err = callClose(f, cancel, in.Pid, func() error {
			err := h.Flush(ctx)
			if uerr := unlock(ctx); err == nil {
				err = uerr
			}
			return err
		})
	}
	return f.status("close", in.NodeId, err)
}

// Fsync answers fsync(2) and fdatasync(2).
func (f *FS) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err == nil {
		ctx := f.after(in.NodeId)
		var told uint64 // stays 0 if the caller left: then the error is for its next fsync or close
		told, err = call(f, cancel, in.Pid, func() (uint64, error) { return h.SyncUntold(ctx) }, nil)
		h.Told(told)
	}
	return f.status("fsync", in.NodeId, err)
}

// Release ends a handle.
func (f *FS) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	if h := f.open.remove(in.Fh); h != nil {
		h.Release(background())
	}
}

// Fallocate answers fallocate(2).
func (f *FS) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err == nil {
		what, by := *in, callerOf(&in.InHeader)
		err = change(f, cancel, in.Pid, func() error {
			return h.Allocate(background(), what.Mode, what.Offset, what.Length, by)
		})
	}
	return f.status("fallocate", in.NodeId, err)
}

// Lseek answers lseek(2) with SEEK_DATA and SEEK_HOLE.
func (f *FS) Lseek(_ <-chan struct{}, in *fuse.LseekIn, out *fuse.LseekOut) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err != nil {
		return f.status("lseek", in.NodeId, err)
	}
	f.writeBack(in.NodeId)
	if in.Whence == unix.SEEK_DATA {
		out.Offset, err = h.SeekData(background(), in.Offset)
	} else {
		out.Offset, err = h.SeekHole(background(), in.Offset)
	}
	return f.status("lseek", in.NodeId, err)
}

// writeBack has the kernel send what it holds of a file in its write-back cache, since it asks where a file has data
// without doing so itself. The one who asks holds the inode's lock, which write-back doesn't take.
func (f *FS) writeBack(ino uint64) {
	if !f.cached || !f.vol.OpenForWrite(namespace.Ino(ino)) {
		return
	}
	if s := f.server.Load(); s != nil {
		s.InodeNotify(ino, 0, 0)
	}
}

// CopyFileRange answers copy_file_range(2) by sharing extents.
func (f *FS) CopyFileRange(_ <-chan struct{}, in *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	src, err := f.open.get(in.FhIn)
	if err != nil {
		return 0, f.status("copy_file_range", in.NodeId, err)
	}
	dst, err := f.open.get(in.FhOut)
	if err != nil {
		return 0, f.status("copy_file_range", in.NodeIdOut, err)
	}
	n, err := dst.CopyRange(background(), src, in.OffIn, in.OffOut, min(in.Len, maxCopy), callerOf(&in.InHeader))
	return uint32(n), f.status("copy_file_range", in.NodeIdOut, err)
}

// maxCopy is the most that one copy_file_range copies: its answer has 32 bits.
const maxCopy = 1 << 30
