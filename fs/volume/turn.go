package volume

import (
	"context"
	"time"
)

// turnPoll is how often a daemon asks whether it is its turn.
const turnPoll = 200 * time.Millisecond

// gcWork is the name of the work that inTurn does.
const gcWork = "gc"

// collectLoop cleans up after dead sessions and collects unreferenced blobs; at once when space is short.
func (v *Volume) collectLoop(ctx context.Context, dead []uint64) {
	if v.members == nil {
		v.buryOnce(ctx, dead)
	}
	var bury <-chan struct{}
	if v.members != nil {
		bury = v.members.bury
	}
	var due <-chan time.Time
	if v.cfg.GCEvery > 0 {
		tick := time.NewTicker(v.cfg.GCEvery)
		defer tick.Stop()
		due = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-bury:
			if err := v.ifTurn(ctx, v.buryAll); err != nil && ctx.Err() == nil {
				v.log.Warn("cleaning up after a dead session failed, it tries again", "err", err)
			}
		case <-due:
			if err := v.collectDue(ctx); err != nil && ctx.Err() == nil {
				v.log.Warn("gc failed, it tries again", "err", err)
			}
		}
	}
}

// buryOnce cleans up after the sessions that a mount found dead.
func (v *Volume) buryOnce(ctx context.Context, dead []uint64) {
	if err := v.buryDead(ctx, dead); err != nil && ctx.Err() == nil {
		v.log.Warn("cleaning up after an earlier session failed, the next mount or gc tries again", "err", err)
		v.leftover.Store(true)
	}
}

// buryAll cleans up after all sessions that are dead now.
func (v *Volume) buryAll(ctx context.Context) error {
	all, err := v.sessions(ctx)
	if err != nil {
		return err
	}
	var dead []uint64
	for _, s := range all {
		if s.Dead {
			dead = append(dead, s.ID)
		}
	}
	return v.buryDead(ctx, dead)
}

// collectDue is what the background's gc does.
func (v *Volume) collectDue(ctx context.Context) error {
	grace := v.cfg.GCGrace
	if v.spaceIsShort(ctx) {
		grace = 0
	}
	return v.ifTurn(ctx, func(ctx context.Context) error {
		if err := v.collectBlobs(ctx, grace, false, new(Collected)); err != nil {
			return err
		}
		if err := v.dropStrays(ctx, v.cfg.GCGrace, new(Collected)); err != nil {
			return err
		}
		return v.dropIdleUploads(ctx)
	})
}

// dropIdleUploads looks for the uploads that were still too young when their session was cleaned up after: at the mount,
// and then once in the time that they are given. The caller holds gcMu.
func (v *Volume) dropIdleUploads(ctx context.Context) error {
	if v.cfg.UploadIdle == 0 || time.Since(v.uploadsSeen) < v.cfg.UploadIdle {
		return nil
	}
	n, err := v.dropUploads(ctx, nil, v.cfg.UploadIdle)
	if n > 0 {
		v.log.Info("aborted uploads that nobody will complete", "uploads", n)
	}
	if err == nil {
		v.uploadsSeen = time.Now()
	}
	return err
}

// inTurn runs what must not be done by two at a time, in all daemons: deleting what no record names, and storing what
// is named only later. It waits for its turn.
func (v *Volume) inTurn(ctx context.Context, fn func(ctx context.Context) error) error {
	v.gcMu.Lock()
	defer v.gcMu.Unlock()
	if v.members == nil {
		return fn(ctx)
	}
	for {
		ran, err := v.members.solo.Alone(ctx, gcWork, fn)
		if ran || err != nil {
			return err
		}
		if err := sleep(ctx, turnPoll); err != nil {
			return err
		}
	}
}

// ifTurn is inTurn for what can wait until the next time.
func (v *Volume) ifTurn(ctx context.Context, fn func(ctx context.Context) error) error {
	v.gcMu.Lock()
	defer v.gcMu.Unlock()
	if v.members == nil {
		return fn(ctx)
	}
	_, err := v.members.solo.Alone(ctx, gcWork, fn)
	return err
}
