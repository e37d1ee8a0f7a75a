package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// setAlone notes whether other daemons live. Before the others may rely on it that this one knows of them, what it did
// without regard to them is finished, however long that takes.
func (v *Volume) setAlone(ctx context.Context, alone bool) {
	v.stayHeard(ctx, func() { v.changeCompany(ctx, alone) })
}

func (v *Volume) changeCompany(ctx context.Context, alone bool) {
	m := v.members
	m.company.Lock()
	defer m.company.Unlock()
	m.alone = alone
	if !alone && m.cacher != nil {
		m.cacher.CacheReads(time.Time{})
	}
	g, _ := panics.WithContext(ctx) // an error doesn't end the others
	g.SetLimit(flushParallel)
	for _, n := range v.nodes.all() {
		g.Go(func() error {
			switch {
			case alone: // what the others did last may not have been told yet
				n.forgetSize()
			case n.appends():
				n.flushFor(ctx)
			}
			v.nodes.put(n)
			return nil
		})
	}
	_ = g.Wait() // errors are the nodes'
}

// stayHeard has the others hear of this daemon while work takes longer than beats may be apart. Seen moves by a nanosecond
// each time, up to mostNudges: it stays a time before the last look, so it says of nothing new that it was noticed.
func (v *Volume) stayHeard(ctx context.Context, work func()) {
	m := v.members
	done := make(chan struct{})
	var nudging panics.WaitGroup
	nudging.Go(func() {
		tick := time.NewTicker(m.beat())
		defer tick.Stop()
		for range mostNudges {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if err := v.nudge(ctx); err != nil {
				v.log.Warn("this daemon could not tell the others that it lives, while it stores what they wait for", "err", err)
			}
		}
	})
	defer nudging.Wait()
	defer close(done)
	work()
}

// mostNudges is the nanoseconds for which there was surely an exchange with the store between the time of a beat and its
// look.
const mostNudges = 999

// nudge moves the session's Seen by a nanosecond.
func (v *Volume) nudge(ctx context.Context) error {
	if v.members.suspended.Load() {
		return nil
	}
	err := v.ns.Update(ctx, namespace.OpID{}, namespace.Want{Reclaims: true}, func(tx namespace.Tx) error {
		s, err := namespace.Get[*namespace.Session](tx, namespace.SessionKey{ID: v.Session()})
		if isNotFound(err) || err == nil && s.Dead {
			return namespace.ErrFenced
		}
		if err != nil {
			return err
		}
		s.Seen = namespace.At(s.Seen.Time().Add(time.Nanosecond))
		tx.Put(s)
		return nil
	})
	if err == nil {
		v.members.beaten.Store(time.Now().UnixNano())
	}
	return err
}

// flushParallel is how many files are committed at a time before another daemon may be in.
const flushParallel = 16

// cacheReads lets the store answer from what it remembers while no other daemon lives. Another one has to wait for the
// next beat or for the end of the lease, which began with the beat that was begun last.
func (v *Volume) cacheReads(begun time.Time) {
	m := v.members
	m.company.RLock()
	defer m.company.RUnlock()
	if m.alone && m.cacher != nil {
		m.cacher.CacheReads(begun.Add(m.lease))
	}
}

func (m *members) isAlone() bool {
	m.company.RLock()
	defer m.company.RUnlock()
	return m.alone
}

// company returns whether no other daemon lives, which stays so until release is called.
func (v *Volume) company() (alone bool, release func()) {
	if v.members == nil || !v.cfg.Shared {
		return true, func() {}
	}
	v.members.company.RLock()
	return v.members.alone, v.members.company.RUnlock
}
