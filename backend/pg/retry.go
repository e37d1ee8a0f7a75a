package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/graviton-fs/graviton/backend/patience"
)

const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
	// warnEvery is the shortest time between two warnings about the same.
	warnEvery = time.Minute
)

// retry runs run until it succeeds, fails for good, or the operation's patience is over while it fails for reasons that
// pass: a connection that was lost, a server that starts, another transaction in the way. The operation is the context's,
// see patience; without one it is this call, and its patience IOTimeout. run must be one that may be run again, whether or
// not the server did what was asked before. Its errors are translated.
//
// run gets a context that ends with the patience, so that a server that hangs is given up too.
func (db *DB) retry(ctx context.Context, run func(ctx context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = patience.Ensure(ctx, db.cfg.IOTimeout)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		limited, cancel := context.WithDeadline(ctx, patience.Until(ctx, db.cfg.IOTimeout))
		err := db.translate(run(limited))
		expired := limited.Err() != nil
		cancel()
		if err == nil || !transient(err) && !expired {
			if !isKind(err, kindUnavailable) { // which a commit is whose outcome nobody could be asked for
				patience.Done(ctx)
			}
			return err
		}
		patience.Failed(ctx)
		if ctx.Err() != nil {
			return callersError(ctx, err)
		}
		if lost(err) {
			db.names.memory.clear() // the server may have crashed, and lost what it had committed last
			db.dropIdle()
		}
		if full(err) {
			db.warnFull(err)
		}
		left := time.Until(patience.Until(ctx, db.cfg.IOTimeout))
		if left > 0 {
			select {
			case <-ctx.Done():
				return callersError(ctx, err)
			case <-time.After(min(left, pause/2+rand.N(pause))):
			}
		}
		if left <= 0 || time.Until(patience.Until(ctx, db.cfg.IOTimeout)) <= 0 {
			return &serverError{kindUnavailable, fmt.Errorf("no success for %v: %w", db.cfg.IOTimeout, withoutDeadline(err))}
		}
	}
}

// callersError is the caller's own end, with what was in the way at that time.
func callersError(ctx context.Context, err error) error {
	if errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %w", ctx.Err(), err)
}

// withoutDeadline takes the deadline that retry set itself out of an error's chain: the caller's didn't pass.
func withoutDeadline(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the server doesn't answer")
	}
	return err
}

// dropIdle closes the connections of the pool, at most once a second: after a restart of the server all are dead, and
// each would cost another attempt.
func (db *DB) dropIdle() {
	now := time.Now().UnixNano()
	last := db.dropped.Load()
	if now-last > int64(time.Second) && db.dropped.CompareAndSwap(last, now) {
		db.pool.Reset()
	}
}

// warnFull says that the pool can't grow. Operations go on with the connections that it has.
func (db *DB) warnFull(err error) {
	now := time.Now().UnixNano()
	last := db.warned.Load()
	var pe *pgconn.PgError
	if now-last > int64(warnEvery) && db.warned.CompareAndSwap(last, now) && errors.As(err, &pe) {
		db.log.Warn(noConnection(pe).Error(), "store", db.store, "pool", db.pool.Stat().TotalConns())
	}
}

// acquire takes a connection out of the pool, for at most ConnectionTimeout, and no longer than the operation's patience.
// The caller releases it.
func (db *DB) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	wait := min(db.cfg.ConnectionTimeout, time.Until(patience.Until(ctx, db.cfg.IOTimeout)))
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := db.pool.Acquire(limited)
	if err == nil {
		return conn, nil
	}
	if ctx.Err() != nil || limited.Err() == nil {
		return nil, err
	}
	if st := db.pool.Stat(); st.AcquiredConns() >= st.MaxConns() {
		return nil, &serverError{kindUnavailable, fmt.Errorf("all %d connections of the pool are in use since %v: raise "+
			"postgres.pool.max-size", st.MaxConns(), db.cfg.ConnectionTimeout)}
	}
	return nil, &serverError{kindLost, fmt.Errorf("no connection within postgres.pool.connection-timeout, %v",
		db.cfg.ConnectionTimeout)}
}
