package faults

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Namespace decorates a namespace. Reads within a transaction are calls as well, so that a sweep over the i-th call
// reaches each of them; the error comes from Get or Scan.
func Namespace(inner namespace.Store, in *Injector) namespace.Store { return &names{inner, in} }

type names struct {
	inner namespace.Store
	in    *Injector
}

func wrapName(op string, err error) error {
	if ne := (*namespace.Error)(nil); err == nil || errors.As(err, &ne) {
		return err
	}
	return &namespace.Error{Op: op, Store: "faults", Err: err}
}

// Unwrap returns the decorated store.
func (s *names) Unwrap() namespace.Store { return s.inner }

// View implements namespace.Store.
func (s *names) View(ctx context.Context, want namespace.Want, fn func(tx namespace.Tx) error) error {
	if err := s.in.early(ctx, "view", ""); err != nil {
		return wrapName("view", err)
	}
	return s.inner.View(ctx, want, func(tx namespace.Tx) error { return fn(&faultyTx{tx, ctx, s.in}) })
}

// Update implements namespace.Store. A failed "commit" is one that wrote nothing, or whose answer was lost.
func (s *names) Update(ctx context.Context, op namespace.OpID, want namespace.Want,
	fn func(tx namespace.Tx) error,
) error {
	if err := s.in.early(ctx, "update", ""); err != nil {
		return wrapName("update", err)
	}
	var late error
	err := s.inner.Update(ctx, op, want, func(tx namespace.Tx) error {
		if err := fn(&faultyTx{tx, ctx, s.in}); err != nil {
			return err
		}
		var now error
		now, late = s.in.begin(ctx, "commit", "")
		return wrapName("commit", now)
	})
	if err == nil {
		err = wrapName("commit", late)
	}
	return err
}

// Sync implements namespace.Store.
func (s *names) Sync(ctx context.Context) error {
	return wrapName("sync", s.in.call(ctx, "sync", "", func() error { return s.inner.Sync(ctx) }))
}

// Watch implements namespace.Store.
func (s *names) Watch(ctx context.Context, after namespace.Version) iter.Seq2[namespace.Change, error] {
	return s.inner.Watch(ctx, after)
}

// Close implements namespace.Store.
func (s *names) Close() error { return s.inner.Close() }

type faultyTx struct {
	namespace.Tx
	ctx context.Context //nolint:containedctx // of View or Update, whose transaction this is
	in  *Injector
}

// Get implements namespace.Tx.
func (t *faultyTx) Get(key namespace.Key) (namespace.Record, error) {
	if err := t.in.early(t.ctx, "get", fmt.Sprintf("%#v", key)); err != nil {
		return nil, wrapName("get", err)
	}
	return t.Tx.Get(key)
}

// Scan implements namespace.Tx.
func (t *faultyTx) Scan(from namespace.Key, limit int) iter.Seq2[namespace.Record, error] {
	return func(yield func(namespace.Record, error) bool) {
		if err := t.in.early(t.ctx, "scan", fmt.Sprintf("%#v", from)); err != nil {
			yield(nil, wrapName("scan", err))
			return
		}
		t.Tx.Scan(from, limit)(yield)
	}
}
