package pg

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/graviton-fs/graviton/backend/namespace"
)

const (
	// pollEvery is how often a watcher looks without being notified: a daemon may die before it notifies, and a
	// standby passes no notifications on.
	pollEvery = time.Second
	// watchPage is how many transactions' changes are read at a time.
	watchPage = 1000
)

func formatXid(xid int64) string { return strconv.FormatUint(uint64(xid), 10) }

// watcher follows the changes of other daemons: in each look those that weren't visible in the snapshot of the look
// before. So none is skipped, and a long transaction stalls nobody.
type watcher struct {
	s      *names
	after  int64  // the oldest transaction that was running at the last look; 0 if where to begin isn't known
	before string // the server's snapshot of the last look
	yield  func(namespace.Change, error) bool
}

// errStopped says that who watches wants no more.
var errStopped = errors.New("stopped")

// Watch implements namespace.Store.
func (s *names) Watch(ctx context.Context, after namespace.Version) iter.Seq2[namespace.Change, error] {
	return func(yield func(namespace.Change, error) bool) {
		w := &watcher{s: s, after: int64(after), yield: yield}
		for {
			err := w.follow(ctx)
			switch {
			case errors.Is(err, errStopped) || ctx.Err() != nil:
				return
			case !transient(s.db.translate(err)):
				yield(namespace.Change{}, s.wrap("watch", s.db.translate(err)))
				return
			}
			w.after = 0 // the server that answers next may not have what this one had
			if pause(ctx, pollEvery/10) != nil {
				return
			}
		}
	}
}

// follow yields changes as long as its connection holds.
func (w *watcher) follow(ctx context.Context) error {
	conn, err := w.s.db.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), pollEvery)
		defer stop()
		_ = conn.Close(closing)
	}()
	standby := false
	if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby); err != nil {
		return err
	}
	if !standby {
		if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{w.s.channel}.Sanitize()); err != nil {
			return err
		}
	}
	if err := w.start(ctx, conn); err != nil {
		return err
	}
	for {
		if err := w.look(ctx, conn); err != nil {
			return err
		}
		if err := waitNotified(ctx, conn, standby); err != nil {
			return err
		}
	}
}

// waitNotified waits for a notification, but not long.
func waitNotified(ctx context.Context, conn *pgx.Conn, standby bool) error {
	if standby {
		return pause(ctx, pollEvery)
	}
	wait, stop := context.WithTimeout(ctx, pollEvery)
	defer stop()
	_, err := conn.WaitForNotification(wait)
	if err != nil && ctx.Err() == nil && pgconn.Timeout(err) {
		return nil
	}
	return err
}

// start finds where to begin. Where that isn't where the caller was, everything may have changed.
func (w *watcher) start(ctx context.Context, conn *pgx.Conn) error {
	var xmin, kept int64
	var now string
	err := conn.QueryRow(ctx, "SELECT s::TEXT, pg_snapshot_xmin(s)::TEXT::BIGINT, "+
		"coalesce((SELECT xid FROM changes ORDER BY xid LIMIT 1), pg_snapshot_xmax(s))::TEXT::BIGINT "+
		"FROM pg_current_snapshot() AS s").Scan(&now, &xmin, &kept)
	if err != nil {
		return err
	}
	if w.after >= kept && w.after <= xmin {
		w.before = fmt.Sprintf("%d:%d:", w.after, w.after)
		return nil
	}
	w.after, w.before = xmin, now
	return w.tell(namespace.Change{Version: namespace.Version(xmin), All: true})
}

func (w *watcher) tell(c namespace.Change) error {
	if !w.yield(c, nil) {
		return errStopped
	}
	return nil
}

const lookQuery = "WITH now AS MATERIALIZED (SELECT pg_current_snapshot() AS s) " +
	"SELECT now.s::TEXT, pg_snapshot_xmin(now.s)::TEXT::BIGINT, c.xid::TEXT::BIGINT, c.origin, c.everything, c.inodes, " +
	"c.parents, c.names FROM now LEFT JOIN LATERAL (SELECT * FROM changes WHERE xid >= pg_snapshot_xmin($1::TEXT::PG_SNAPSHOT) " +
	"AND xid > $2::TEXT::XID8 AND NOT pg_visible_in_snapshot(xid, $1::TEXT::PG_SNAPSHOT) ORDER BY xid LIMIT $3) AS c ON true"

// look yields what was committed since the last look.
func (w *watcher) look(ctx context.Context, conn *pgx.Conn) error {
	var before string
	var after, last int64
	for full := true; full; {
		p, err := w.read(ctx, conn, last)
		if err != nil {
			return err
		}
		if before == "" {
			before, after = p.snapshot, p.xmin
		}
		for _, c := range p.changes {
			if err := w.tell(c); err != nil {
				return err
			}
		}
		full, last = p.rows == watchPage, p.last
	}
	w.before, w.after = before, after
	return nil
}

// watched is a page of changes, and the snapshot in which they were seen.
type watched struct {
	snapshot   string
	xmin, last int64
	rows       int
	changes    []namespace.Change
}

// read returns the changes of the transactions behind last that were not visible at the last look.
func (w *watcher) read(ctx context.Context, conn *pgx.Conn, last int64) (watched, error) {
	p := watched{last: last}
	rows, err := conn.Query(ctx, lookQuery, w.before, formatXid(last), watchPage)
	if err != nil {
		return p, err
	}
	defer rows.Close()
	for rows.Next() {
		var xid, origin *int64
		var everything *bool
		var inodes, parents []int64
		var names [][]byte
		if err := rows.Scan(&p.snapshot, &p.xmin, &xid, &origin, &everything, &inodes, &parents, &names); err != nil {
			return p, err
		}
		if xid == nil {
			continue
		}
		p.rows++
		p.last = *xid
		if *origin != w.s.origin {
			p.changes = append(p.changes, w.changes(*everything, inodes, parents, names)...)
		}
	}
	return p, rows.Err()
}

// changes are what one transaction changed. Their version is that of the last look: who begins from there misses
// nothing.
func (w *watcher) changes(everything bool, inodes, parents []int64, names [][]byte) []namespace.Change {
	version := namespace.Version(w.after)
	if everything || len(parents) != len(names) {
		return []namespace.Change{{Version: version, All: true}}
	}
	var list []namespace.Change
	for i := range parents {
		c := namespace.Change{Version: version, Ino: namespace.Ino(parents[i]), Name: string(names[i])}
		if c.Name == holdsName {
			c.Name, c.Holds = "", true
		}
		list = append(list, c)
	}
	for _, ino := range inodes {
		list = append(list, namespace.Change{Version: version, Ino: namespace.Ino(ino)})
	}
	return list
}
