package volume

import (
	"context"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// Abandon stops the volume as a kill does: nothing is committed any more, and what was in memory is lost. It waits for
// the volume's goroutines, so that a test may open the stores again.
func (v *Volume) Abandon() {
	v.stop()
	v.stopBeats()
	v.bg.Wait()
	v.beats.Wait()
	for _, n := range v.nodes.all() {
		n.flushing.Lock() // a commit under way is let through
		n.mu.Lock()
		s := n.stream
		n.mu.Unlock()
		if s != nil {
			s.pending.Wait()
		}
		n.flushing.Unlock()
		v.nodes.put(n)
	}
}

// SmallStreams makes streams of a few KiB do what otherwise takes many MiB: an upload begins when a file has a part and
// the window of written data. The store's parts must be small too. It may be asked to copy such parts.
func (v *Volume) SmallStreams(part, window uint64) {
	v.part, v.window, v.copyMin = part, window, part/2
}

// Pack does what the packer does in the background, for all files.
func (v *Volume) Pack(ctx context.Context) error { return v.pack(ctx, 0) }

// CompactWorn does what the background does for files that commits have worn, and CompactAll what it does now and then.
func (v *Volume) CompactWorn(ctx context.Context) { v.compactWorn(ctx, 0) }

// CompactAll does what the background does now and then.
func (v *Volume) CompactAll(ctx context.Context) error { return v.compactAll(ctx) }

// Closing is closed when Close has begun to end the background's work.
func (v *Volume) Closing() <-chan struct{} { return v.compactor.closing }

// Reap removes an orphan that nobody has open, now.
func (v *Volume) Reap(ctx context.Context, ino namespace.Ino) bool { return v.reap(ctx, ino, false) }

// FlushIdle does what the background does every second.
func (v *Volume) FlushIdle(ctx context.Context) { v.flushIdle(ctx) }

// FlushAtimes stores the noted access times.
func (v *Volume) FlushAtimes(ctx context.Context) error { return v.atimes.flush(ctx, v) }

// Orphans lists the inodes without a name.
func (v *Volume) Orphans(ctx context.Context) ([]*namespace.Orphan, error) { return v.orphans(ctx) }

// Codes are all that fsck can find.
var Codes = []Code{
	CodeNoVolume, CodeNoRoot, CodeDangling, CodeNoParent, CodeType, CodeUnreachable, CodeNlink, CodeParent, CodeCookie,
	CodeLostExtent, CodeOverlap, CodeExtent, CodeNoBlob, CodeShortBlob, CodeBadBlob, CodeNoBlobRecord, CodeRefs,
	CodeLostXattr, CodeFlags, CodeLostOrphan, CodeBytes, CodeUsage, CodeIno, CodeDamaged,
	CodeName, CodeCycle,
}

// Suspend stops the beats, as when the process is stopped. Resume lets them go on.
func (v *Volume) Suspend() { v.members.suspended.Store(true) }

// Resume ends Suspend.
func (v *Volume) Resume() {
	v.members.suspended.Store(false)
	wake(v.members.kick)
}

// CommitStored commits a blob that was stored before as a file's first byte.
func (v *Volume) CommitStored(ctx context.Context, h *Handle, key blob.Key) error {
	h.n.flushing.Lock()
	defer h.n.flushing.Unlock()
	x := &namespace.Extent{Ino: h.n.ino, Len: 1, Blob: key}
	_, err := h.n.commitExtents(ctx, &batch{key: key, size: 1}, []*namespace.Extent{x}, nil)
	return err
}

// ReapsNothing reports that no unlinked file waits to be removed, and that nobody is woken for that.
func (v *Volume) ReapsNothing() bool {
	v.reaping.mu.Lock()
	defer v.reaping.mu.Unlock()
	return len(v.reaping.queue) == 0 && !v.reaping.missed && len(v.reaping.wake) == 0
}

// Waits reports whether someone waits for a lock of an inode.
func (v *Volume) Waits(ino namespace.Ino) bool {
	v.waits.mu.Lock()
	defer v.waits.mu.Unlock()
	return v.waits.m[ino] != nil
}

// AttrTries is how often attributes are read again.
const AttrTries = attrTries

// IsAlone reports whether this daemon knows of no other one that lives.
func (v *Volume) IsAlone() bool { return v.members.isAlone() }
