package rocks

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/linxGnu/grocksdb"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

// names is the namespace port. One process has the database open, so transactions run one after the other under a
// lock, which makes them serializable without conflicts; no disk is waited for under it.
type names struct {
	db       *DB
	notFound error // what a miss returns, made once because most creates begin with one

	batches batchPool
	commit  sync.Mutex
	over    *overlay // of the transaction that holds commit
}

var _ namespace.Store = (*names)(nil)

func newNames(db *DB) *names {
	s := &names{db: db, over: newOverlay(), batches: make(batchPool, 1)}
	s.notFound = &namespace.Error{Op: "get", Store: db.store, Err: namespace.ErrNotFound}
	return s
}

// Close does nothing: the DB is closed by its owner.
func (s *names) Close() error { return nil }

func (s *names) wrap(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errClosed):
		err = fmt.Errorf("%w: %w", namespace.ErrUnavailable, err)
	case errors.Is(err, ErrCorrupt) && !errors.Is(err, namespace.ErrCorrupt):
		err = fmt.Errorf("%w: %w", namespace.ErrCorrupt, err)
	}
	if ne := (*namespace.Error)(nil); errors.As(err, &ne) {
		return err
	}
	return &namespace.Error{Op: op, Store: s.db.store, Err: err}
}

func (s *names) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.db.enter()
}

// View implements namespace.Store. Reads are local, so want isn't needed.
func (s *names) View(ctx context.Context, _ namespace.Want, fn func(tx namespace.Tx) error) error {
	if err := s.begin(ctx); err != nil {
		return s.wrap("view", err)
	}
	defer s.db.leave()
	snap := s.db.db.NewSnapshot()
	defer s.db.db.ReleaseSnapshot(snap)
	ro := grocksdb.NewDefaultReadOptions()
	defer ro.Destroy()
	ro.SetSnapshot(snap)
	t := &tx{s: s, ctx: ctx, ro: ro, snap: snap}
	if err := panics.Do(func() error { return fn(t) }); err != nil {
		return err
	}
	return s.wrap("view", t.err)
}

// Update implements namespace.Store. A local commit is always answered, so op isn't needed.
func (s *names) Update(ctx context.Context, _ namespace.OpID, want namespace.Want,
	fn func(tx namespace.Tx) error,
) error {
	if err := s.begin(ctx); err != nil {
		return s.wrap("update", err)
	}
	defer s.db.leave()
	if !want.Reclaims {
		if err := s.db.space.grow(txEstimate); err != nil {
			return s.wrap("update", err)
		}
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	defer s.over.reset()
	t := &tx{s: s, ctx: ctx, ro: s.db.reads, over: s.over}
	if err := panics.Do(func() error { return fn(t) }); err != nil {
		return err
	}
	if t.err == nil {
		t.err = ctx.Err() // the caller has been told that it was cancelled: nothing is to happen any more
	}
	if t.err != nil {
		return s.wrap("update", t.err)
	}
	return s.wrap("commit", s.apply(want.Reclaims))
}

const (
	txEstimate = 1 << 10  // bytes of an ordinary transaction
	largeBatch = 64 << 10 // a batch that has grown beyond is not kept
)

// apply commits the overlay in one write; commit is held.
func (s *names) apply(reclaims bool) error {
	if s.over.writes == 0 {
		return nil
	}
	if s.over.bytes > txEstimate && !reclaims {
		if err := s.db.space.grow(s.over.bytes - txEstimate); err != nil {
			return err
		}
	}
	wb := s.batches.take()
	defer s.batches.give(wb)
	s.over.each(func(key []byte, e entry) {
		cf := s.db.cfs[familyOf(key)]
		if e.state == stored {
			wb.PutCF(cf, key, e.value)
		} else {
			wb.DeleteCF(cf, key)
		}
	})
	return s.db.write(s.db.logged, wb)
}

// Sync implements namespace.Store.
func (s *names) Sync(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return s.wrap("sync", err)
	}
	defer s.db.leave()
	return s.wrap("sync", s.db.syncer.sync(ctx))
}

// Watch implements namespace.Store: only one process has the database, so there is nothing to tell.
func (s *names) Watch(context.Context, namespace.Version) iter.Seq2[namespace.Change, error] {
	return func(func(namespace.Change, error) bool) {}
}
