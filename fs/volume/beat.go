package volume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
)

// ofBeat marks the context of a beat: what it does mustn't wait for the next one.
type ofBeat struct{}

// fresh waits a moment if this daemon has not been heard of for so long that it may have been taken for dead, as after a
// suspend: its next beat finds out, and begins a new session. Without beats there is nothing to wait for: the store then
// refuses what a dead session commits.
func (m *members) fresh(ctx context.Context) {
	stale := func() bool { return time.Since(time.Unix(0, m.beaten.Load())) > m.lease-m.beat() }
	if m.beaten.Load() == 0 || !stale() || ctx.Value(ofBeat{}) != nil {
		return
	}
	tick := time.NewTicker(m.beat() / 20)
	defer tick.Stop()
	end := time.Now().Add(2 * m.beat())
	if most := patience.Until(ctx, 2*m.beat()); most.Before(end) {
		end = most
	}
	for stale() && time.Now().Before(end) {
		wake(m.kick)
		select {
		case <-ctx.Done():
			return
		case <-m.ended:
			return
		case <-tick.C:
		}
	}
}

// beatLoop has this daemon heard of.
func (v *Volume) beatLoop(ctx context.Context) {
	m := v.members
	ctx = context.WithValue(ctx, ofBeat{}, true)
	tick := time.NewTicker(m.beat())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-m.kick:
		}
		if m.suspended.Load() {
			continue
		}
		err := v.beatOnce(ctx)
		if errors.Is(err, namespace.ErrFenced) {
			if !v.cfg.Shared {
				v.oust()
				return
			}
			err = v.renew(ctx)
		}
		if err != nil && ctx.Err() == nil {
			v.log.Warn("this daemon could not tell the others that it lives, it tries again", "err", err)
		}
	}
}

// beatOnce looks around and then says so.
func (v *Volume) beatOnce(ctx context.Context) error {
	began := time.Now()
	now, err := v.members.clock.Now(ctx)
	if err != nil {
		return err
	}
	others, err := v.lookAround(ctx)
	if err != nil {
		return err
	}
	if err := v.mindOrphans(ctx, now, others); err != nil {
		return err
	}
	err = v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		s, err := namespace.Get[*namespace.Session](tx, namespace.SessionKey{ID: v.Session()})
		if isNotFound(err) || err == nil && s.Dead {
			return namespace.ErrFenced
		}
		if err != nil {
			return err
		}
		s.Seen = now
		tx.Put(s)
		return nil
	})
	if err == nil {
		v.members.beaten.Store(time.Now().UnixNano())
		v.cacheReads(began)
	}
	return err
}

// renew begins a new session after this one was taken for dead. What the old one had stored and not committed is lost,
// and so are its locks; who has such a file open is told.
func (v *Volume) renew(ctx context.Context) error {
	m := v.members
	// What was appended in memory is a transaction of the old session, which the store refuses; there can be none while the
	// new one begins.
	v.setAlone(ctx, false)
	m.renewal.Lock()
	defer m.renewal.Unlock()
	old := v.Session()
	m.mu.Lock()
	clear(m.pinned)
	m.mu.Unlock()
	for _, n := range v.nodes.all() {
		n.sessionDied()
		v.nodes.put(n)
	}
	v.dropAll()
	if err := v.join(ctx); err != nil {
		return err
	}
	v.log.Error("other daemons had taken this one for dead: it was suspended, or cut off from the store; files that "+
		"were being written, and locks, are lost", "old", old, "new", v.Session())
	return nil
}

// errOusted is what a daemon that had the volume for itself answers to changes once it was taken for dead.
var errOusted = fmt.Errorf("another daemon has taken the volume meanwhile, unmount and mount it again: %w", namespace.ErrFenced)

// oust ends the changes of a daemon that had the volume for itself and was taken for dead: who did that may have changed
// the volume since, of which this one, with its caches, knows nothing.
func (v *Volume) oust() {
	v.ousted.Store(true)
	for _, n := range v.nodes.all() {
		n.sessionDied()
		v.nodes.put(n)
	}
	v.log.Error("another daemon has taken this one for dead, because it was suspended or cut off from the store, and may "+
		"have changed the volume: nothing can be changed through this mount any more, unmount it and mount again",
		"session", v.Session())
}

// sessionDied forgets what was true in the session that died, and tells those who have locks.
func (n *node) sessionDied() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loaded, n.epoch = false, n.epoch+1
	if len(n.lockers) > 0 {
		for _, o := range n.lockers {
			o.retired, o.freed = true, true
		}
		clear(n.lockers)
		n.errs.set(namespace.ErrFenced)
	}
}
