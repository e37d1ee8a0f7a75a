package pg

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/panics"
)

const (
	// maxConflicts is how often an Update starts again after a conflict before it gives up with ErrConflict.
	maxConflicts = 20
	// aloneAfter is how many conflicts an Update has before it takes the store's lock, with which it runs alone.
	aloneAfter = 5
)

// update is one Update on its way.
type update struct {
	s    *names
	op   namespace.OpID
	want namespace.Want
	fn   func(tx namespace.Tx) error
	set  lockSet // to be taken at first
	// guessed says that the transaction was run on what is remembered, which is done once.
	guessed bool
	ran     bool  // fn was run, and may have taken something; see Want.Undo
	fail    error // of fn: the transaction was rolled back and is not run again
	// fence is the session that must be alive, or 0.
	fence uint64
	// sync has the commit wait for the server's disk. It became so, if it was made and synced is true.
	sync, synced bool
}

// errConflict is the end of a run that has to start again.
var errConflict = errors.New("conflict with another transaction")

// Update implements namespace.Store.
func (s *names) Update(ctx context.Context, op namespace.OpID, want namespace.Want,
	fn func(tx namespace.Tx) error,
) error {
	if err := ctx.Err(); err != nil {
		return s.wrap("update", err)
	}
	if s.db.cfg.ReadOnly {
		return s.wrap("update", namespace.ErrReadOnly)
	}
	s.stats.updates.Add(1)
	if op == (namespace.OpID{}) {
		op = namespace.OpID(uuid.New())
	}
	u := &update{s: s, op: op, want: want, fn: fn, set: s.locks.wanted(want), fence: s.fence.Load()}
	u.set.add(lock{s.locks.op(op), true})
	u.limit()
	epoch, lost := s.crashes.look()
	u.sync = want.Synced != nil && !lost // else Sync has to tell
	err := s.retry(ctx, u.run)
	if u.fail != nil {
		return u.fail
	}
	if now, _ := s.crashes.look(); u.synced && now == epoch {
		want.Synced()
	}
	return s.wrap("update", err)
}

// run runs the transaction until it is committed or fails, as long as nothing is in its way but other transactions.
func (u *update) run(ctx context.Context) error {
	for n := 1; ; n++ {
		u.fail = nil
		err := u.once(ctx)
		if !errors.Is(err, errConflict) {
			return err
		}
		u.s.stats.conflicts.Add(1)
		if n >= aloneAfter {
			u.set.add(lock{u.s.locks.store(), true})
		}
		if n == maxConflicts {
			return fmt.Errorf("%w: %d runs", namespace.ErrConflict, n)
		}
		if err := pause(ctx, time.Duration(rand.Int64N(int64(n)*int64(time.Millisecond)))); err != nil {
			return err
		}
	}
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// once runs the transaction once.
func (u *update) once(ctx context.Context) error {
	u.undo()
	conn, err := u.s.begin(ctx)
	if err != nil {
		return err
	}
	if t := u.guess(ctx); t != nil {
		err := u.commitGuess(ctx, t, conn)
		if !errors.Is(err, errConflict) {
			return u.ended(ctx, t, err)
		}
		u.s.memory.end(t, false)
		u.s.memory.leave(t.look)
	}
	u.undo()
	t := u.newTx(ctx, conn)
	return u.ended(ctx, t, u.transact(ctx, t))
}

func (u *update) newTx(ctx context.Context, conn *session) *tx {
	t := &tx{s: u.s, ctx: ctx, conn: conn, update: true, held: lockSet{}, need: lockSet{}, look: u.s.memory.enter()}
	t.held.addAll(u.set)
	return t
}

// undo has fn let go of what an earlier run of it took, before anything is waited for.
func (u *update) undo() {
	if u.ran && u.want.Undo != nil {
		u.want.Undo()
	}
	u.ran = false
}

// call runs fn.
func (u *update) call(t *tx) error {
	u.ran = true
	return panics.Do(func() error { return u.fn(t) })
}

// ended gives the connection back, and returns what became of the transaction.
func (u *update) ended(ctx context.Context, t *tx, err error) error {
	open := doubt{pid: t.conn.pid(), sent: t.sent}
	t.conn.end(ctx)
	defer u.s.memory.leave(t.look)
	if errors.Is(err, errInDoubt) {
		err = u.resolve(ctx, open, err)
		u.s.memory.end(t, false) // only now nothing is going to change any more
		if errors.Is(err, namespace.ErrUnavailable) {
			u.s.CacheReads(time.Time{}) // or it may still
		}
		return err
	}
	done := err == nil && u.fail == nil
	u.s.memory.end(t, done)
	switch {
	case done:
		if len(t.told) == 0 && len(t.bad) == 0 {
			u.s.memory.learn(t)
		}
		return nil
	case t.again && t.last == nil:
		u.learn(t)
		return errConflict
	}
	return conflictOf(err)
}

// learn takes what the transaction lacked into the locks that it begins with.
func (u *update) learn(t *tx) {
	u.set.addAll(t.need)
	u.limit()
}

// limit takes the store's lock instead of more than the server's table may take.
func (u *update) limit() {
	if len(u.set) > maxLocks {
		store, op := u.s.locks.store(), u.s.locks.op(u.op)
		u.set = lockSet{store: true, op: true}
	}
}

// conflictOf makes the errors by which the server ends a transaction that is in another's way an errConflict.
func conflictOf(err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01") {
		return fmt.Errorf("%w: %w", errConflict, err)
	}
	return err
}

// transact reads what is wanted, runs fn and commits. fn's error goes to u.fail, after which nothing is to be done.
func (u *update) transact(ctx context.Context, t *tx) error {
	if !isEmpty(u.want) {
		list := append([]statement{{sql: beginUpdate}, t.lockStatement(t.held)}, t.want(u.want)...)
		if err := t.fetch(t.conn, list); err != nil {
			return err
		}
		if t.again {
			return errConflict
		}
	}
	err := u.call(t)
	switch {
	case t.last != nil:
		return t.last
	case t.again:
		return errConflict
	case err != nil:
		u.fail = err
		return nil
	case t.err != nil:
		u.fail = u.s.wrap("update", t.err)
		return nil
	case ctx.Err() != nil: // the caller has been told that it was cancelled: nothing is to happen any more
		return ctx.Err()
	case t.over.writes == 0:
		return nil
	}
	return u.commit(ctx, t)
}

// commit sends the writes with the COMMIT. An error of which it isn't known whether it was before or after the commit
// wraps errInDoubt.
func (u *update) commit(ctx context.Context, t *tx) error {
	list, err := u.writes(t)
	if err != nil {
		return err
	}
	if t.again {
		return errConflict
	}
	return u.send(ctx, t, list)
}

// send sends a commit.
func (u *update) send(ctx context.Context, t *tx, list []statement) error {
	u.s.memory.begin(t)
	t.sent = time.Now()
	err := t.conn.exchange(ctx, list)
	if err == nil {
		u.synced = u.sync
		u.s.notify.wake()
		return nil
	}
	if u.sync && errors.Is(err, namespace.ErrLost) {
		u.sync = false // what is lost was before this; Sync has to tell
		return errConflict
	}
	var pe *pgconn.PgError
	switch {
	case errors.Is(err, errLockBusy):
		t.again = true
		return errConflict
	case errors.Is(err, errWrongGuess):
		return errConflict
	case errors.As(err, &pe) && !t.conn.conn.Conn().IsClosed():
		return err
	case errors.Is(err, namespace.ErrNotFound), errors.Is(err, namespace.ErrFenced), errors.Is(err, namespace.ErrLost):
		return err
	}
	return fmt.Errorf("%w: %w", errInDoubt, err)
}

// checkFence divides by zero if the session is dead. The store's lock, which the transaction holds by now, is in the way
// of who would make it so.
const checkFence = "SELECT 1 / count(*) FROM sessions WHERE id = $1 AND NOT dead"

var errFenced = fmt.Errorf("commit: %w", namespace.ErrFenced)

// Fence implements namespace.Fencer.
func (s *names) Fence(session uint64) { s.fence.Store(session) }

// putsSession reports whether the transaction writes a session's record.
func (t *tx) putsSession() (puts bool) {
	t.over.m.Ascend(string(rune(kindSession)), func(k string, e *entry) bool {
		puts = puts || k[0] == kindSession && e.state == stored
		return k[0] == kindSession && !puts
	})
	return puts
}

var errLockBusy = errors.New("a lock is not free")

// writes returns the statements of the commit: BEGIN if nothing was read, what is told to others, with the locks that
// are still missing, then the writes, last those of rows that many transactions change, so that these wait for each
// other as shortly as can be.
func (u *update) writes(t *tx) ([]statement, error) {
	lacks := t.lacking()
	if len(lacks)+len(t.held) > maxLocks && !t.held[u.s.locks.store()] {
		t.need.add(lock{u.s.locks.store(), true})
		t.again = true
		return nil, nil
	}
	var list []statement
	if !t.conn.begun {
		t.held.addAll(lacks)
		list = append(list, statement{sql: beginUpdate}, t.lockStatement(t.held))
		lacks = nil
	}
	list = append(list, u.conditions(t)...)
	list = append(list, u.changesOf(t, lacks))
	list = append(list, t.flush(u.s.shard(t.conn))...)
	return append(list, statement{sql: sqlCommit}), nil
}

// conditions returns the statements that keep the transaction from committing what it must not.
func (u *update) conditions(t *tx) []statement {
	var list []statement
	if u.fence != 0 && !t.putsSession() {
		list = append(list, statement{sql: checkFence, args: []any{int64(u.fence)}, zero: errFenced})
	}
	if u.sync {
		list = append(list, statement{sql: syncCommit, args: []any{u.s.origin}, zero: namespace.ErrLost})
	}
	if u.s.db.cfg.CheckBlobs {
		list = append(list, t.checkBlobs()...)
	}
	return list
}
