package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// errInDoubt says that a COMMIT was sent and not answered.
var errInDoubt = errors.New("the connection broke before the commit was answered")

// resolveLate is how long the outcome of a commit is looked for at least, after its caller was cancelled or when
// io-timeout is over.
const resolveLate = time.Second

const (
	// The session that had the commit may run on: the server hasn't noticed that the connection is gone, or what was sent
	// hasn't reached it yet. A process that began after the commit was sent is another one with the same number.
	endSession = "SELECT pg_terminate_backend(pid, 500) FROM pg_stat_activity WHERE pid = $1 AND usename = current_user " +
		"AND backend_start < clock_timestamp() - $2::BIGINT * interval '1 millisecond'"
	lockOne   = "SELECT pg_advisory_xact_lock($1)"
	findOp    = "SELECT EXISTS (SELECT FROM changes WHERE op = $1)"
	lookupEnd = sqlCommit
)

// doubt is a commit that was sent and not answered.
type doubt struct {
	pid  uint32 // of the server's process
	sent time.Time
}

// resolve finds out what became of a commit that wasn't answered: nil if it was done, and cause, after which the
// transaction may run again, if it wasn't.
func (u *update) resolve(ctx context.Context, d doubt, cause error) error {
	u.s.stats.lost.Add(1)
	look := ctx
	left := max(time.Until(patience.Until(ctx, u.s.db.cfg.IOTimeout)), resolveLate)
	if ctx.Err() != nil {
		look, left = context.WithoutCancel(ctx), resolveLate
	}
	look, stop := context.WithTimeout(patience.With(look, left), left)
	defer stop()
	done := false
	err := u.s.retry(look, func(ctx context.Context) (err error) {
		done, err = u.committed(ctx, d)
		return err
	})
	switch {
	case err != nil:
		// It is not run again.
		return &serverError{kindUnavailable, fmt.Errorf("%w, and it isn't known whether it was done: %w", cause, err)}
	case done:
		u.s.stats.found.Add(1)
		u.s.notify.wake()
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return cause
}

// committed looks the operation up, once nothing can change the answer any more: the session that had it has ended.
func (u *update) committed(ctx context.Context, d doubt) (done bool, err error) {
	conn, err := u.s.begin(ctx)
	if err != nil {
		return false, err
	}
	defer conn.end(ctx)
	ended := true
	err = conn.exchange(ctx, []statement{
		{sql: endSession, args: []any{int64(d.pid), time.Since(d.sent).Milliseconds()}, row: func(r *row) error {
			ended = r.bool()
			return nil
		}},
		{sql: beginUpdate},
		{sql: lockOne, args: []any{u.s.locks.op(u.op)}},
		{sql: findOp, args: []any{[16]byte(u.op)}, row: func(r *row) error {
			done = r.bool()
			return nil
		}},
		{sql: lookupEnd},
	})
	if err == nil && !ended {
		err = &serverError{kindLost, fmt.Errorf("the server's process %d doesn't end", d.pid)}
	}
	return done, err
}

// shard is the part of a session's usage to which a connection adds.
func (s *names) shard(conn *session) int32 {
	const shards = 64
	return int32(conn.pid() % shards)
}

// Now implements namespace.Clock.
func (s *names) Now(ctx context.Context) (namespace.Time, error) {
	var now namespace.Time
	err := s.retry(ctx, func(ctx context.Context) error {
		conn, err := s.begin(ctx)
		if err != nil {
			return err
		}
		defer conn.end(ctx)
		sql := "SELECT floor(extract(epoch FROM t))::BIGINT, (extract(microseconds FROM t)::BIGINT % 1000000 * 1000)::INT " +
			"FROM clock_timestamp() AS t"
		return conn.exchange(ctx, []statement{{sql: sql, row: func(r *row) error {
			now = r.time()
			return nil
		}}})
	})
	return now, s.wrap("ask for the time", err)
}

// soloCheck is how often Alone makes sure that its lock is still held.
const soloCheck = time.Second

// Alone implements namespace.Solo: by a lock of a session that is used for nothing else.
func (s *names) Alone(ctx context.Context, name string, fn func(ctx context.Context) error) (ran bool, err error) {
	conn, err := s.db.acquire(ctx)
	if err != nil {
		return false, s.wrap("run alone", s.db.translate(err))
	}
	defer conn.Release()
	id := s.locks.hash('a', 0, name)
	got := false
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", id).Scan(&got); err != nil {
		return false, s.wrap("run alone", s.db.translate(err))
	}
	if !got {
		return false, nil
	}
	inner, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	panics.Go(func() {
		defer close(watched)
		if err := panics.Do(func() error { s.holdLock(inner, stop, conn); return nil }); err != nil {
			stop(err)
		}
	})
	err = panics.Do(func() error { return fn(inner) })
	if cause := context.Cause(inner); err == nil && cause != nil {
		err = cause
	}
	stop(nil)
	<-watched
	s.unlock(ctx, conn, id)
	return true, err
}

// holdLock ends the work when the connection that has the lock is lost.
func (s *names) holdLock(ctx context.Context, stop context.CancelCauseFunc, conn *pgxpool.Conn) {
	tick := time.NewTicker(soloCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// The check isn't cut off by the end of the work: that would cost the connection.
		check, done := context.WithTimeout(context.WithoutCancel(ctx), 10*soloCheck)
		_, err := conn.Exec(check, "SELECT 1")
		done()
		if err != nil {
			stop(s.wrap("run alone", s.db.translate(err)))
			return
		}
	}
}

// unlock frees the lock; if that fails the connection is closed, which frees it as well.
func (s *names) unlock(ctx context.Context, conn *pgxpool.Conn, id int64) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*soloCheck)
	defer stop()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", id); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}
