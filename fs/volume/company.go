package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/panics"
)

// setAlone notes whether other daemons live. Before the others may rely on it that this one knows of them, what it did
// without regard to them is finished.
func (v *Volume) setAlone(ctx context.Context, alone bool) {
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
