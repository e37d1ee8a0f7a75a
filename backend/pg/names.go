package pg

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/patience"
	"github.com/graviton-fs/graviton/panics"
)

// names is the namespace port. Every daemon on the database has one.
//
// A View is one exchange if it reads no more than it wants, and otherwise a REPEATABLE READ transaction. An Update is
// two: BEGIN, locks and reads, then writes and COMMIT; see txlocks.go for what makes it serializable. It is one if all
// that it reads is remembered and hasn't changed, see guess.go.
type names struct {
	db       *DB
	store    string // as errors name it
	notFound error  // what a miss returns
	locks    locks
	origin   int64 // this daemon's mark on its changes
	channel  string
	stats    namesStats
	syncer   syncer
	crashes  crashes
	notify   notifier
	memory   memory
	fence    atomic.Uint64 // the session without which no Update commits; 0 for none

	stop context.CancelFunc
	bg   panics.WaitGroup
}

var (
	_ namespace.Store  = (*names)(nil)
	_ namespace.Clock  = (*names)(nil)
	_ namespace.Solo   = (*names)(nil)
	_ namespace.Fencer = (*names)(nil)

	_ namespace.ReadCacher = (*names)(nil)
)

// namesStats counts since the start of the process.
type namesStats struct {
	trips     atomic.Uint64 // exchanges with the server
	views     atomic.Uint64
	recalled  atomic.Uint64 // Views answered from memory
	reruns    atomic.Uint64 // Views that read more than they wanted
	updates   atomic.Uint64
	conflicts atomic.Uint64 // runs of an Update that lacked a lock, or that the server ended for a conflict
	retries   atomic.Uint64 // runs of a transaction after a lost connection
	lost      atomic.Uint64 // commits whose answer was lost
	found     atomic.Uint64 // thereof committed
	guessed   atomic.Uint64 // Updates that ran on what was remembered
	wrong     atomic.Uint64 // thereof on something that had changed
}

// NamespaceStats counts what the namespace did since it was opened.
type NamespaceStats struct {
	Trips     uint64 // round trips to the server
	Views     uint64
	Recalled  uint64 // Views answered from memory
	Reruns    uint64 // Views that read more than they had asked for
	Updates   uint64
	Conflicts uint64 // runs of an Update that had to start again
	Retries   uint64 // runs after a lost connection
	Lost      uint64 // commits whose answer was lost
	Found     uint64 // thereof committed
	Guessed   uint64 // Updates that ran on what was remembered
	Wrong     uint64 // thereof on something that had changed
}

// NamespaceStats returns the counters of the namespace, for metrics.
func (db *DB) NamespaceStats() NamespaceStats {
	s := &db.names.stats
	return NamespaceStats{
		Trips: s.trips.Load(), Views: s.views.Load(), Recalled: s.recalled.Load(), Reruns: s.reruns.Load(), Updates: s.updates.Load(),
		Conflicts: s.conflicts.Load(), Retries: s.retries.Load(), Lost: s.lost.Load(), Found: s.found.Load(),
		Guessed: s.guessed.Load(), Wrong: s.wrong.Load(),
	}
}

// newNames makes the namespace of a database, which start starts.
func newNames(db *DB) *names {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	s := &names{
		db: db, store: db.store, locks: newLocks(db.database(), db.cfg.Schema),
		origin: int64(binary.BigEndian.Uint64(random[:])), channel: "graviton_" + db.cfg.Schema,
	}
	s.notFound = &namespace.Error{Op: "get", Store: s.store, Err: namespace.ErrNotFound}
	s.syncer.init(db.cfg.IOTimeout, s.flushLog)
	s.notify.init()
	s.memory.init()
	return s
}

// start begins the work on a database whose pool is open; close ends it.
func (s *names) start(ctx context.Context) error {
	if !s.db.cfg.ReadOnly {
		if err := s.mark(ctx); err != nil {
			return err
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if !s.db.cfg.ReadOnly {
		s.bg.Go(func() { panics.Loop(run, s.notifyLoop) })
		s.bg.Go(func() { panics.Loop(run, s.pruneLoop) })
	}
	return nil
}

// Namespace is the namespace in the database. Closing it does nothing: the DB is closed by its owner.
func (db *DB) Namespace() namespace.Store { return db.names }

// Close does nothing: the DB is closed by its owner.
func (s *names) Close() error { return nil }

// close ends the background work.
func (s *names) close() {
	s.stop()
	s.bg.Wait()
}

func (s *names) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if ne := (*namespace.Error)(nil); errors.As(err, &ne) {
		return err
	}
	return &namespace.Error{Op: op, Store: s.store, Err: err}
}

// begin takes a connection.
func (s *names) begin(ctx context.Context) (*session, error) {
	conn, err := s.db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, trips: &s.stats.trips, timeout: s.db.cfg.IOTimeout}, nil
}

// View implements namespace.Store.
func (s *names) View(ctx context.Context, want namespace.Want, fn func(tx namespace.Tx) error) error {
	s.stats.views.Add(1)
	if !isEmpty(want) {
		t, err := s.viewWanted(ctx, want)
		if err != nil {
			return s.wrap("view", err)
		}
		if err := panics.Do(func() error { return fn(t) }); !t.again {
			return t.outcome(err)
		}
		s.stats.reruns.Add(1)
	}
	var fail error // of fn
	err := s.retry(ctx, func(ctx context.Context) error {
		fail = nil
		return s.viewOnce(ctx, want, fn, &fail)
	})
	if fail != nil {
		return fail
	}
	return s.wrap("view", err)
}

// retry is DB.retry for what may take longer than IOTimeout while it gets on: each exchange has that time.
func (s *names) retry(ctx context.Context, run func(ctx context.Context) error) error {
	ctx = patience.Ensure(ctx, s.db.cfg.IOTimeout)
	return s.db.retry(ctx, func(context.Context) error { return run(ctx) })
}

// outcome is what View returns after fn did.
func (t *tx) outcome(err error) error {
	if err != nil {
		return err
	}
	return t.s.wrap("view", t.err)
}

// viewWanted returns a View's transaction that has what is wanted: from memory if that knows, or from the server.
func (s *names) viewWanted(ctx context.Context, want namespace.Want) (*tx, error) {
	t := &tx{s: s, ctx: ctx}
	if t.tell(want) {
		s.stats.recalled.Add(1)
		return t, ctx.Err()
	}
	seen := s.memory.enter()
	defer s.memory.leave(seen)
	t, err := s.fetchWanted(ctx, want)
	if err == nil {
		t.look = seen
		if len(t.bad) == 0 {
			s.memory.learn(t)
			s.memory.learnAhead(t, want)
		}
	}
	return t, err
}

// fetchWanted fetches a Want in one exchange, from one snapshot, and keeps no connection.
func (s *names) fetchWanted(ctx context.Context, want namespace.Want) (*tx, error) {
	var t *tx
	err := s.retry(ctx, func(ctx context.Context) error {
		conn, err := s.begin(ctx)
		if err != nil {
			return err
		}
		defer conn.end(ctx)
		t = &tx{s: s, ctx: ctx}
		list := append(t.want(want), t.wantAhead(want)...)
		if len(list) > 1 { // a single statement has its own snapshot
			list = append([]statement{{sql: beginView}}, append(list, statement{sql: sqlCommit})...)
		}
		return t.fetch(conn, list)
	})
	return t, err
}

// fetch sends the statements of a Want and completes what they found.
func (t *tx) fetch(conn *session, list []statement) error {
	if err := conn.exchange(t.ctx, list); err != nil {
		return err
	}
	t.noteDamage(conn)
	for _, done := range t.late {
		done()
	}
	t.late = nil
	return nil
}

// viewOnce runs fn in a transaction. An error of fn goes to fail, one of the server is returned.
func (s *names) viewOnce(ctx context.Context, want namespace.Want, fn func(tx namespace.Tx) error, fail *error) error {
	conn, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.end(ctx)
	t := &tx{s: s, ctx: ctx, conn: conn}
	if list := t.want(want); len(list) > 0 {
		if err := t.fetch(conn, append([]statement{{sql: beginView}, {sql: patientView}}, list...)); err != nil {
			return err
		}
	}
	err = panics.Do(func() error { return fn(t) })
	if t.last != nil {
		return t.last
	}
	*fail = t.outcome(err)
	return nil
}
