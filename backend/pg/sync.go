package pg

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
)

// syncer flushes the server's log for many callers at once: those who come while a flush is running share the next one,
// because the running one may have begun before their commits.
type syncer struct {
	run     func(ctx context.Context) error
	timeout time.Duration // how long a caller waits for others' flushes, as for the server itself

	turn chan struct{} // held while a flush runs
	mu   sync.Mutex
	next *syncRound // the round that newcomers join; nil if none waits
}

type syncRound struct {
	done chan struct{}
	err  error
}

func (s *syncer) init(timeout time.Duration, run func(ctx context.Context) error) {
	s.run, s.timeout = run, timeout
	s.turn = make(chan struct{}, 1)
}

// sync returns once everything that was committed before the call is on the server's disk.
func (s *syncer) sync(ctx context.Context) error {
	ctx = patience.Ensure(ctx, s.timeout)
	late := time.NewTimer(time.Until(patience.Until(ctx, s.timeout)))
	defer late.Stop()
	for {
		s.mu.Lock()
		r := s.next
		if r == nil {
			r = &syncRound{done: make(chan struct{})}
			s.next = r
		}
		s.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		case <-late.C:
			return &serverError{kindUnavailable, errNoFlush}
		case s.turn <- struct{}{}:
			s.lead(ctx, r)
			<-s.turn
		}
		// A leader that was cancelled says nothing about the others' commits.
		if ctx.Err() == nil && errors.Is(r.err, errLeaderLeft) {
			continue
		}
		return r.err
	}
}

var errNoFlush = errors.New("the server doesn't answer those who came before")

var errLeaderLeft = errors.New("the flush was cancelled")

// lead runs the round unless the one whose turn it was before has run it.
func (s *syncer) lead(ctx context.Context, r *syncRound) {
	select {
	case <-r.done:
		return
	default:
	}
	s.mu.Lock()
	s.next = nil // from here on newcomers wait for a later round
	s.mu.Unlock()
	r.err = s.run(ctx)
	if r.err != nil && ctx.Err() != nil {
		r.err = fmt.Errorf("%w: %w", errLeaderLeft, ctx.Err())
	}
	close(r.done)
}

// Sync implements namespace.Store. A commit with a record of the log, waited for, flushes all that the log has before
// it: the commits of names and of blobs.
func (s *names) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return s.wrap("sync", err)
	}
	if s.db.cfg.ReadOnly {
		return nil
	}
	epoch, lost := s.crashes.look()
	if lost {
		return s.wrap("sync", namespace.ErrLost)
	}
	err := s.syncer.sync(ctx)
	if now, _ := s.crashes.look(); err == nil && now != epoch {
		err = namespace.ErrLost // the flush that answered may have begun after the crash
	}
	return s.wrap("sync", err)
}

// tellLost is how long Sync says that commits may be lost: whoever hears it has that time to tell all who would ask.
const tellLost = time.Second

// crashes counts crashes of the server that may have lost commits.
type crashes struct {
	mu    sync.Mutex
	n     uint64
	until time.Time
}

// look returns the number of crashes so far, and whether the last one is still to be told.
func (c *crashes) look() (n uint64, lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, time.Now().Before(c.until)
}

func (c *crashes) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.until = time.Now().Add(tellLost)
}

const (
	// syncOn has the commit of the transaction wait for the server's disk. SET LOCAL would want a BEGIN.
	syncOn   = "SELECT set_config('synchronous_commit', 'on', true)"
	syncMark = "SELECT pg_logical_emit_message(true, 'graviton', '')"
	// syncCommit is syncOn, and divides by zero if the mark of the daemon is gone.
	syncCommit   = syncOn + ", 1 / count(*) FROM unsynced WHERE origin = $1"
	markUnsynced = "INSERT INTO unsynced (origin) VALUES ($1) ON CONFLICT DO NOTHING"
)

// flushLog makes the server's log durable.
func (s *names) flushLog(ctx context.Context) error {
	err := s.retry(ctx, func(ctx context.Context) error {
		conn, err := s.begin(ctx)
		if err != nil {
			return err
		}
		defer conn.end(ctx)
		return conn.exchange(ctx, []statement{
			{sql: beginUpdate}, {sql: syncCommit, args: []any{s.origin}, zero: namespace.ErrLost}, {sql: syncMark}, {sql: sqlCommit},
		})
	})
	if !errors.Is(err, namespace.ErrLost) {
		return err
	}
	s.crashes.add() // before the mark, with which the next flush succeeds
	if merr := s.mark(ctx); merr != nil {
		return merr
	}
	return err
}

// mark puts the daemon's mark into the table that a crash of the server empties.
func (s *names) mark(ctx context.Context) error {
	return s.retry(ctx, func(ctx context.Context) error {
		conn, err := s.begin(ctx)
		if err != nil {
			return err
		}
		defer conn.end(ctx)
		return conn.exchange(ctx, []statement{{sql: markUnsynced, args: []any{s.origin}}})
	})
}
