package pg

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/graviton-fs/graviton/backend/patience"
)

// statement is one of several that are sent together.
type statement struct {
	sql  string
	args []any
	row  func(r *row) error // of each row of the result; nil drops them
	zero error              // what it means that the statement divided by zero
}

const (
	beginUpdate = "BEGIN ISOLATION LEVEL READ COMMITTED"
	beginView   = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	patientView = "SET LOCAL idle_in_transaction_session_timeout = 0" // it holds no locks, and its reader may be slow
	sqlCommit   = "COMMIT"
	sqlRollback = "ROLLBACK"
)

// session is a connection for one transaction.
type session struct {
	conn    *pgxpool.Conn
	begun   bool
	timeout time.Duration  // of an exchange
	trips   *atomic.Uint64 // counted
	damage  damage         // that the rows so far had
}

// pid is the server's process that the session is in.
func (s *session) pid() uint32 {
	conn := s.conn.Conn().PgConn()
	if pid, ok := conn.CustomData()[serverPID].(uint32); ok {
		return pid
	}
	return conn.PID()
}

// exchange sends statements together and reads what comes back: one round trip, for which the operation's patience is
// waited. After an error of one the server skips the rest.
func (s *session) exchange(outer context.Context, list []statement) error {
	ctx, stop := context.WithDeadline(outer, patience.Until(outer, s.timeout))
	defer stop()
	batch := &pgx.Batch{}
	for i := range list {
		batch.Queue(list[i].sql, list[i].args...)
		if list[i].sql == beginUpdate || list[i].sql == beginView {
			s.begun = true
		}
	}
	s.trips.Add(1)
	results := s.conn.SendBatch(ctx, batch)
	var first error
	for i := range list {
		if first = s.readResult(results, &list[i]); first != nil {
			break
		}
	}
	if err := results.Close(); first == nil {
		first = err
	}
	if first == nil {
		patience.Answered(outer)
	}
	if first != nil && ctx.Err() != nil && outer.Err() == nil {
		return &serverError{kindLost, fmt.Errorf("the server doesn't answer for %v", s.timeout)}
	}
	return first
}

func (s *session) readResult(results pgx.BatchResults, st *statement) error {
	rows, err := results.Query()
	if err == nil {
		var bad error
		for rows.Next() {
			if st.row == nil || bad != nil {
				continue
			}
			r := row{values: rows.RawValues(), damage: &s.damage}
			if bad = st.row(&r); bad == nil {
				bad = r.check()
			}
		}
		rows.Close()
		if err = rows.Err(); err == nil {
			err = bad
		}
	}
	var pe *pgconn.PgError
	if st.zero != nil && errors.As(err, &pe) && pe.Code == "22012" {
		return st.zero
	}
	return err
}

// end gives the connection back, rolled back if a transaction is open on it. It doesn't wait for the server longer than
// ctx, and a connection that isn't usable any more is closed by the pool.
func (s *session) end(ctx context.Context) {
	if s.begun && !s.conn.Conn().IsClosed() && s.conn.Conn().PgConn().TxStatus() != 'I' {
		_ = s.exchange(ctx, []statement{{sql: sqlRollback}})
	}
	s.conn.Release()
}
