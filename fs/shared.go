package fs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/panics"
)

// openShared makes a file that is opened look as the other daemons left it: the kernel keeps its pages if they are still
// true, and otherwise drops them with this answer. It would keep the size that it knows, for a second, so that one is
// dropped by a notification. Of attributes alone that is safe from within a request: it takes no lock that the one who
// asks may hold.
func (f *FS) openShared(in *fuse.OpenIn, out *fuse.OpenOut, h *volume.Handle) {
	out.OpenFlags |= appendFlags(in.Flags)
	if h.KeepCache() {
		out.OpenFlags |= fuse.FOPEN_KEEP_CACHE
		return
	}
	f.forgetAttributes(in.NodeId)
}

// forgetAttributes has the kernel forget an inode's attributes, those in answers on their way to it too.
func (f *FS) forgetAttributes(ino uint64) {
	if s := f.server.Load(); s != nil {
		s.InodeNotify(ino, attributesOnly, 0)
	}
}

// attributesOnly is the offset of a notification that leaves an inode's pages alone.
const attributesOnly = -1

// appendFlags has the kernel pass appending writes on as they are: where the end of the file is, only the volume knows,
// so its pages would have them in the wrong place.
func appendFlags(flags uint32) uint32 {
	if flags&unix.O_APPEND != 0 && flags&unix.O_ACCMODE != unix.O_RDONLY {
		return fuse.FOPEN_DIRECT_IO
	}
	return 0
}

// kernelCache is what the kernel knows, to be dropped when other daemons change it. A notification that finds nothing
// to drop fails, which is as good.
type kernelCache struct{ fs *FS }

// Inode implements volume.Invalidator.
func (k *kernelCache) Inode(ino namespace.Ino) {
	if s := k.fs.server.Load(); s != nil {
		s.InodeNotify(uint64(ino), 0, 0)
	}
}

// Entry implements volume.Invalidator.
func (k *kernelCache) Entry(parent namespace.Ino, name string) {
	if s := k.fs.server.Load(); s != nil {
		s.EntryNotify(uint64(parent), name)
	}
}

// GetLk answers fcntl(2) with F_GETLK and F_OFD_GETLK.
func (f *FS) GetLk(_ <-chan struct{}, in *fuse.LkIn, out *fuse.LkOut) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err != nil {
		return f.status("getlk", in.NodeId, err)
	}
	c, err := h.TestLock(background(), lockOf(in))
	if err != nil {
		return f.status("getlk", in.NodeId, err)
	}
	out.Lk = fuse.FileLock{Start: in.Lk.Start, End: in.Lk.End, Typ: unix.F_UNLCK}
	if c != nil {
		out.Lk = fuse.FileLock{Start: c.Start, End: c.End, Typ: unix.F_RDLCK, Pid: c.PID}
		if c.Write {
			out.Lk.Typ = unix.F_WRLCK
		}
	}
	return fuse.OK
}

// SetLk answers flock(2) and fcntl(2) that don't wait.
func (f *FS) SetLk(_ <-chan struct{}, in *fuse.LkIn) fuse.Status {
	return f.setLock(background(), in, false)
}

// SetLkw answers those that wait for a lock. Any signal ends the wait; the kernel asks again if the program doesn't mind.
func (f *FS) SetLkw(cancel <-chan struct{}, in *fuse.LkIn) fuse.Status {
	ctx, end := context.WithCancel(background())
	defer end()
	panics.Go(func() {
		select {
		case <-cancel:
			end()
		case <-ctx.Done():
		}
	})
	return f.setLock(ctx, in, true)
}

func (f *FS) setLock(ctx context.Context, in *fuse.LkIn, wait bool) fuse.Status {
	h, err := f.open.get(in.Fh)
	if err != nil {
		return f.status("setlk", in.NodeId, err)
	}
	l := lockOf(in)
	if in.Lk.Typ == unix.F_UNLCK {
		return f.status("unlock", in.NodeId, h.Unlock(ctx, l))
	}
	outdated, err := h.SetLock(ctx, l, wait)
	if outdated {
		// Who asks for a lock holds none of the kernel's own, so its pages can be dropped here: what another wrote
		// under the lock is seen under it.
		(&kernelCache{f}).Inode(namespace.Ino(in.NodeId))
	}
	return f.status("setlk", in.NodeId, err)
}

func lockOf(in *fuse.LkIn) volume.Lock {
	return volume.Lock{
		Flock: in.LkFlags&fuse.LK_FLOCK != 0, Owner: in.Owner, Start: in.Lk.Start, End: min(in.Lk.End, volume.MaxFile),
		Write: in.Lk.Typ == unix.F_WRLCK, PID: in.Lk.Pid,
	}
}
