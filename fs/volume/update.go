package volume

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/graviton-fs/graviton/backend/namespace"
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
	err := v.ns.Update(ctx, namespace.OpID(uuid.New()), want, fn)
	v.noteFull(err)
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

// noteFull notes that the store is full, if that is what the error says.
func (v *Volume) noteFull(err error) {
	if isNoSpace(err) {
		v.full.Store(time.Now().UnixNano())
	}
}
