package volume

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// update runs a transaction that needs no recognition after a lost answer by more than its own effect.
func (v *Volume) update(ctx context.Context, want namespace.Want, fn func(tx namespace.Tx) error) error {
	if err := v.writable(ctx); err != nil {
		return err
	}
	if v.members != nil {
		v.members.fresh(ctx)
		v.members.renewal.RLock()
		defer v.members.renewal.RUnlock()
	}
	// The caller may hold an inode until it hears the outcome, also if that is a panic.
	err := panics.Do(func() error { return v.ns.Update(ctx, namespace.OpID(uuid.New()), want, fn) })
	v.note(err)
	v.changes.Add(1)
	return err
}

// writable refuses changes of a volume that this daemon may not, or no longer, change.
func (v *Volume) writable(ctx context.Context) error {
	if v.cfg.ReadOnly {
		return ErrReadOnly
	}
	if v.ousted.Load() {
		return errOusted
	}
	if v.cfg.Writable == nil {
		return nil
	}
	return v.cfg.Writable(ctx)
}

// note notes that a store is full or away, if that is what the error says.
func (v *Volume) note(err error) {
	switch {
	case isNoSpace(err):
		v.full.Store(time.Now().UnixNano())
	case isAway(err):
		v.away.Store(time.Now().UnixNano())
	}
}

// waited is called by an operation that has waited since a time for a lock that others hold over I/O. If they found a
// store away meanwhile, its patience began with the wait, so that operations don't add up theirs; if the stores were only
// slow, it begins later.
func (v *Volume) waited(ctx context.Context, since time.Time) {
	if v.away.Load() > since.UnixNano() {
		patience.Waited(ctx, since)
	}
}

// lockOver takes a lock that is held over I/O.
func (v *Volume) lockOver(ctx context.Context, l sync.Locker) {
	began := time.Now()
	l.Lock()
	v.waited(ctx, began)
}
