package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// compactWork is the name of the work that one daemon at a time does.
const compactWork = "compact"

const (
	// compactPoll is how often worn files are looked for, compactAfter how long such a file must have been left alone.
	compactPoll  = 10 * time.Second
	compactAfter = time.Minute
	// compactFirst is when all files are looked through first, if Config.CompactEvery isn't less. What was noted in
	// earlier mounts is known no more.
	compactFirst = time.Hour
	// compactBatch is how many inodes are read at a time then, and compactRest the time between two batches.
	compactBatch = 256
	compactRest  = 50 * time.Millisecond
	// calmLook is how long the background looks whether the mount is busy, before each part that it copies; busyRate is
	// how many transactions in that time are busy; calmPatience is how long it waits for the end of that.
	calmLook     = 250 * time.Millisecond
	busyRate     = 10
	calmPatience = 5 * time.Second
)

// compactLoop compacts what is worth it in the background: files that commits here have worn, and now and then all that
// need it, for what was worn by others or in earlier mounts.
func (v *Volume) compactLoop(ctx context.Context) {
	poll := time.NewTicker(compactPoll)
	defer poll.Stop()
	all := time.NewTimer(min(v.cfg.CompactEvery, compactFirst))
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
			v.compactWorn(ctx, compactAfter)
		case <-all.C:
			if err := v.compactAll(ctx); err != nil && ctx.Err() == nil {
				v.log.Warn("looking for files to compact failed, the next look is in "+v.cfg.CompactEvery.String(), "err", err)
			}
			all.Reset(v.cfg.CompactEvery)
		}
	}
}

// compactWorn compacts worn files that were left alone for a while, one after the other. One whose turn it isn't, because
// it is being written to or another daemon is at work, is tried again.
func (v *Volume) compactWorn(ctx context.Context, after time.Duration) {
	for _, ino := range v.compactor.due(after) {
		done := false
		_, err := v.ifAlone(ctx, compactWork, func(ctx context.Context) (err error) {
			done, err = v.compactIdle(ctx, ino)
			return err
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			v.log.Warn("a file was not compacted, the next look at all files tries again", "inode", ino, "err", err)
		}
		if done || err != nil {
			v.compactor.forget(ino)
		}
	}
}

// compactIdle compacts a file if nobody here has it open to write, and there is space for it. It reports whether that is
// done.
func (v *Volume) compactIdle(ctx context.Context, ino namespace.Ino) (done bool, err error) {
	if v.OpenForWrite(ino) || v.spaceIsShort(ctx) {
		return false, nil
	}
	c, err := v.compact(ctx, ino, CompactOptions{}, compactHooks{pause: v.calm})
	return c.Changed == 0, err
}

// compactAll looks through all files. A file that can't be compacted is left.
func (v *Volume) compactAll(ctx context.Context) error {
	_, err := v.ifAlone(ctx, compactWork, func(ctx context.Context) error {
		for from := namespace.Root; from != 0; {
			list, next, err := v.storedFiles(ctx, from)
			if err != nil {
				return err
			}
			for _, ino := range list {
				if _, err := v.compactIdle(ctx, ino); err != nil {
					if ctx.Err() != nil {
						return err
					}
					v.log.Warn("a file was not compacted", "inode", ino, "err", err)
				}
			}
			if err := sleep(ctx, compactRest); err != nil {
				return err
			}
			from = next
		}
		return nil
	})
	return err
}

// storedFiles returns the files with extents among some inodes from a number on, and the number behind these; 0 at the end.
func (v *Volume) storedFiles(ctx context.Context, from namespace.Ino) (list []namespace.Ino, next namespace.Ino, err error) {
	err = v.ns.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		list, next = list[:0], 0
		n := 0
		for rec, err := range sound[*namespace.Inode](tx, namespace.InodeKey{Ino: from}, compactBatch) {
			if err != nil {
				return err
			}
			if rec.Mode&ModeType == ModeFile && rec.Bytes > 0 {
				list = append(list, rec.Ino)
			}
			if n++; n == compactBatch {
				next = rec.Ino + 1
			}
		}
		return nil
	})
	return list, next, err
}

// calm waits while the mount is written to, but not for long.
func (v *Volume) calm(ctx context.Context) error {
	for end := time.Now().Add(calmPatience); ; {
		before := v.changes.Load()
		if err := sleep(ctx, calmLook); err != nil {
			return err
		}
		dirty, limit := v.dirty.load()
		if v.changes.Load()-before < busyRate && dirty < limit/4 || time.Now().After(end) {
			return nil
		}
	}
}

// ifAlone runs fn unless another daemon runs something under the same name, and reports whether it did.
func (v *Volume) ifAlone(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error) {
	if v.members == nil {
		return true, fn(ctx)
	}
	return v.members.solo.Alone(ctx, name, fn)
}
