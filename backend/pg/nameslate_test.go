package pg

import (
	"syscall"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// TestLateCommit has a commit reach a session of the server that doesn't run, and cuts the connection. What became of it
// can be told only when the session has ended: it must not do the commit after it was done by another.
func TestLateCommit(t *testing.T) {
	server := pgtest.Shared(t)
	p := server.NewProxy(t)
	db := openAt(t, Config{URL: server.Database(t).At(p.Port()), MinConns: 1, MaxConns: 1})
	db.names.close() // no notifications, which would take a connection
	s := db.Namespace()
	makeInode(t, s, 20)
	link := func(during func()) error {
		want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: 20}}}
		return s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
			during()
			tx.Apply(namespace.InodeKey{Ino: 20}, namespace.Delta{Nlink: 1})
			return nil
		})
	}
	const rounds = 3
	for range rounds {
		check(t, link(func() {})) // is told by the server, what the next one begins with, and prepares its statements
		check(t, link(func() {}))
		pid, first := onlySession(t, db), true
		check(t, link(func() {
			if !first {
				return
			}
			first = false
			check(t, syscall.Kill(pid, syscall.SIGSTOP))
			sent := p.Trips()
			go func() {
				for end := time.Now().Add(5 * time.Second); p.Trips() == sent && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				time.Sleep(10 * time.Millisecond) // so that the bytes are in the session's socket
				p.CutAll()
				time.Sleep(300 * time.Millisecond)
				_ = syscall.Kill(pid, syscall.SIGCONT)
			}()
		}))
	}
	time.Sleep(500 * time.Millisecond) // for what is late
	var n int
	check(t, db.pool.QueryRow(ctx, "SELECT nlink FROM inodes WHERE ino = 20").Scan(&n))
	if n != 3*rounds {
		t.Errorf("%d transactions were done %d times", 3*rounds, n)
	}
	if stats := db.NamespaceStats(); stats.Lost < rounds {
		t.Errorf("stats are %+v, want at least %d commits lost", stats, rounds)
	}
}

// onlySession is the process of the session of a pool of one.
func onlySession(t *testing.T, db *DB) (pid int) {
	t.Helper()
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	check(t, conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid))
	return pid
}

// TestKeepPID is about connections through a pooler, whose process number isn't that of the server.
func TestKeepPID(t *testing.T) {
	db := openNew(t, Config{MinConns: 1, MaxConns: 1})
	want := onlySession(t, db)
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	s := session{conn: conn}
	if got := s.pid(); int(got) != want {
		t.Errorf("the process is %d, want %d", got, want)
	}
	data := conn.Conn().PgConn().CustomData()
	data[serverPID] = uint32(1)
	if got := s.pid(); got != 1 {
		t.Errorf("the process is %d, want the one that was kept", got)
	}
	check(t, keepPID(ctx, conn.Conn()))
	if got := s.pid(); int(got) != want {
		t.Errorf("the process that was kept is %d, want %d", got, want)
	}
}
