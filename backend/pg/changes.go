package pg

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// maxNamed is how many inodes and names one transaction's change lists; beyond, everything may have changed.
	maxNamed = 1024
	// notifyEvery is the shortest time between two notifications.
	notifyEvery = 10 * time.Millisecond
	// keepChanges is how long changes are kept, which is also how long a commit whose answer was lost can be found.
	// Much more than any timeout.
	keepChanges = 10 * time.Minute
	pruneEvery  = time.Minute
)

// holdsName stands for an inode's holds where a change has a name: no entry is called that.
const holdsName = "/"

const (
	insertChange = "INSERT INTO changes (op, origin, everything, inodes, parents, names) VALUES ($1, $2, $3, $4, $5, $6)"
	// The same, if some locks are free; it divides by zero otherwise, because a COMMIT is on its way.
	insertLocked = "INSERT INTO changes (op, origin, everything, inodes, parents, names) " +
		"SELECT $1, $2, $3, $4::BIGINT[], $5::BIGINT[], $6::BYTEA[] FROM (SELECT 1 / " + allTried + "::INT AS got " +
		"FROM unnest($7::BIGINT[], $8::BOOLEAN[]) AS wanted(k, x)) AS l WHERE got = 1"
)

// changesOf returns the statement that records what the transaction changed, and its operation. It takes the locks that
// the transaction lacks, none of which it waits for.
func (u *update) changesOf(t *tx, lacks lockSet) statement {
	inodes, parents, names := []int64{}, []int64{}, [][]byte{}
	seen := map[int64]bool{}
	add := func(ino namespace.Ino) {
		if !seen[int64(ino)] {
			seen[int64(ino)] = true
			inodes = append(inodes, int64(ino))
		}
	}
	held := map[int64]bool{}
	t.over.m.Scan(func(_ string, e *entry) bool {
		if !e.written() {
			return true
		}
		switch k := e.key.(type) {
		case namespace.InodeKey:
			add(k.Ino)
		case namespace.ExtentKey:
			add(k.Ino)
		case namespace.XattrKey:
			add(k.Ino)
		case namespace.DentryKey:
			parents, names = append(parents, int64(k.Parent)), append(names, []byte(k.Name))
		case namespace.HoldKey:
			if !held[int64(k.Ino)] {
				held[int64(k.Ino)] = true
				parents, names = append(parents, int64(k.Ino)), append(names, []byte(holdsName))
			}
		}
		return true
	})
	everything := len(inodes)+len(parents) > maxNamed
	if everything {
		inodes, parents, names = []int64{}, []int64{}, [][]byte{}
	}
	st := statement{
		sql:  insertChange,
		args: []any{[16]byte(u.op), u.s.origin, everything, inodes, parents, names},
	}
	if len(lacks) > 0 {
		ids, exclusive := lacks.arrays(u.s.locks.store())
		st.sql, st.args, st.zero = insertLocked, append(st.args, ids, exclusive), errLockBusy
		t.need.addAll(lacks)
	}
	return st
}

// notifier wakes the daemons that watch, some time after a commit: a notification in each commit would have the server
// run them one after the other.
type notifier struct{ pending chan struct{} }

func (n *notifier) init() { n.pending = make(chan struct{}, 1) }

func (n *notifier) wake() {
	select {
	case n.pending <- struct{}{}:
	default:
	}
}

// notifyLoop sends a notification for all commits since the last one. One that fails isn't repeated: who watches also
// looks by itself.
func (s *names) notifyLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.notify.pending:
		}
		if conn, err := s.begin(ctx); err == nil {
			_ = conn.exchange(ctx, []statement{{sql: "SELECT pg_notify($1, '')", args: []any{s.channel}}})
			conn.end(ctx)
		}
		if pause(ctx, notifyEvery) != nil {
			return
		}
	}
}

// horizon is the oldest transaction that was running at a time.
type horizon struct {
	at  time.Time
	xid int64
}

// pruneLoop deletes old changes.
func (s *names) pruneLoop(ctx context.Context) {
	var past []horizon
	for pause(ctx, pruneEvery) == nil {
		xid, err := s.oldest(ctx)
		if err != nil {
			continue // later
		}
		past = append(past, horizon{time.Now(), xid})
		n := 0
		for n < len(past) && time.Since(past[n].at) >= keepChanges {
			n++
		}
		if n > 0 && s.prune(ctx, past[n-1].xid) == nil {
			past = past[n:]
		}
	}
}

const snapshotXmin = "SELECT pg_snapshot_xmin(pg_current_snapshot())::TEXT::BIGINT"

// oldest returns the oldest transaction that is running.
func (s *names) oldest(ctx context.Context) (xid int64, err error) {
	conn, err := s.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.end(ctx)
	err = conn.exchange(ctx, []statement{{sql: snapshotXmin, row: func(r *row) error {
		xid = r.int64()
		return nil
	}}})
	return xid, err
}

// prune deletes the changes of the transactions before one, unless another daemon is doing it.
func (s *names) prune(ctx context.Context, before int64) error {
	conn, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer conn.end(ctx)
	return conn.exchange(ctx, []statement{{
		sql: "DELETE FROM changes WHERE (SELECT pg_try_advisory_xact_lock($1)) AND xid < $2::TEXT::XID8",
		args: []any{
			s.locks.hash('p', 0, ""), formatXid(before),
		},
	}})
}
