// Package fs is the FUSE front end: a request comes in, a method of volume.Volume answers, an errno goes out. It is a
// thin layer over go-fuse's raw API, where the kernel's node ids are the volume's inode numbers. Nothing else knows
// go-fuse.
package fs

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/fs/volume"
)

// blockSize is the unit of st_blksize and of statfs, in bytes.
const blockSize = namespace.BlockSize

// FS answers the kernel's requests for one mounted volume. It implements fuse.RawFileSystem.
type FS struct {
	fuse.RawFileSystem

	vol     *volume.Volume
	timeout time.Duration // how long the kernel may keep names and attributes
	server  atomic.Pointer[fuse.Server]
	cached  bool     // the kernel's write-back cache is on, since no other daemon changes the volume
	workers *workers // of requests to stores that may be away for long, see call; nil if they never are
	open    handleTable
	failed  failures // of requests that the kernel sends twice
	shown   *shown   // nil with the write-back cache: the kernel counts the sizes itself
}

var _ fuse.RawFileSystem = (*FS)(nil)

func newFS(vol *volume.Volume, timeout time.Duration, cached, patient bool) *FS {
	f := &FS{
		RawFileSystem: fuse.NewDefaultRawFileSystem(), vol: vol, timeout: timeout, cached: cached,
		open: handleTable{m: map[uint64]*volume.Handle{}}, failed: failures{m: map[question]failure{}},
	}
	if !cached {
		f.shown = newShown(timeout, f.forgetAttributes)
	}
	if patient {
		f.workers = newWorkers()
	}
	return f
}

// String names the filesystem in go-fuse's debug output.
func (f *FS) String() string { return "graviton" }

// Init is called when the kernel is connected.
func (f *FS) Init(s *fuse.Server) { f.server.Store(s) }

// OnUnmount is called when the kernel sends no more requests.
func (f *FS) OnUnmount() {
	if f.workers != nil {
		f.workers.close()
	}
}

// status turns an operation's outcome into what the kernel is told. An EIO is logged with the path that it hit, unless
// that was done where it happened.
func (f *FS) status(op string, ino uint64, err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	no := errno(err)
	if no == syscall.EIO {
		f.vol.Fault(namespace.Ino(ino), op, err)
	}
	return fuse.Status(no)
}

// background is the context of operations that are short, or that must not stop half way. It carries the operation's
// clock, so that io-timeout is that of all it does.
func background() context.Context { return patience.With(context.Background(), 0) }

// fillAttr translates an inode.
func fillAttr(out *fuse.Attr, rec *namespace.Inode) {
	*out = fuse.Attr{
		Ino: uint64(rec.Ino), Size: rec.Size, Blocks: sectors(rec),
		Atime: uint64(rec.Atime.Sec), Atimensec: rec.Atime.Nsec,
		Mtime: uint64(rec.Mtime.Sec), Mtimensec: rec.Mtime.Nsec,
		Ctime: uint64(rec.Ctime.Sec), Ctimensec: rec.Ctime.Nsec,
		Mode: rec.Mode, Nlink: rec.Nlink, Owner: fuse.Owner{Uid: rec.UID, Gid: rec.GID},
		Rdev: rec.Rdev, Blksize: blockSize,
	}
}

// sectors is st_blocks, in units of 512 bytes: whole blocks, as on a disk. Volumes of before count bytes.
func sectors(rec *namespace.Inode) uint64 {
	return (rec.Bytes + namespace.BlockSize - 1) / namespace.BlockSize * (namespace.BlockSize / 512)
}

// fillAnswer translates the outcome of a lookup.
func (f *FS) fillAnswer(out *fuse.EntryOut, a answer) {
	f.fillEntry(out, a.rec)
	out.SetAttrTimeout(a.keep)
}

// fillEntry translates an inode that a name leads to.
func (f *FS) fillEntry(out *fuse.EntryOut, rec *namespace.Inode) {
	out.NodeId = uint64(rec.Ino)
	out.Generation = uint64(f.vol.Generation())
	out.SetEntryTimeout(f.timeout)
	out.SetAttrTimeout(f.timeout)
	fillAttr(&out.Attr, rec)
}

// handleTable numbers the open handles.
type handleTable struct {
	mu   sync.RWMutex
	last uint64
	m    map[uint64]*volume.Handle
}

func (t *handleTable) add(h *volume.Handle) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	t.m[t.last] = h
	return t.last
}

func (t *handleTable) get(fh uint64) (*volume.Handle, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h := t.m[fh]
	if h == nil {
		return nil, volume.ErrBadHandle
	}
	return h, nil
}

func (t *handleTable) remove(fh uint64) *volume.Handle {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.m[fh]
	delete(t.m, fh)
	return h
}
