package pg

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// startServer starts a server that a test may stop.
func startServer(t testing.TB) *pgtest.Server {
	t.Helper()
	server, err := pgtest.New(pgtest.Options{})
	check(t, err)
	t.Cleanup(func() { check(t, server.Close()) })
	return server
}

// count adds one to an inode's size.
func count(s namespace.Store, during func()) error {
	want := namespace.Want{Inodes: []namespace.InodeWant{{Ino: 20, Lock: namespace.Exclusive}}}
	return s.Update(ctx, namespace.OpID{}, want, func(tx namespace.Tx) error {
		r, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		if err != nil {
			return err
		}
		during()
		r.Size++
		tx.Put(r)
		return nil
	})
}

func makeInode(t testing.TB, s namespace.Store, ino namespace.Ino) {
	t.Helper()
	check(t, s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Inode{Ino: ino})
		return nil
	}))
}

func sizeOf(t testing.TB, s namespace.Store, ino namespace.Ino) (size uint64) {
	t.Helper()
	check(t, s.View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		r, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: ino})
		if err == nil {
			size = r.Size
		}
		return err
	}))
	return size
}

// TestLostAnswer loses the answer of commits, or the commit itself, and wants each transaction to be done once.
func TestLostAnswer(t *testing.T) {
	db, p := proxied(t, Config{})
	db.names.close() // it is not a notification whose answer is to be lost
	s := db.Namespace()
	makeInode(t, s, 20)
	const rounds = 20
	for i := range rounds {
		check(t, count(s, func() {})) // prepares the statements on the connection, whose answers are not to be lost
		first := true
		check(t, count(s, func() {
			switch {
			case !first:
			case i%2 == 0:
				p.LoseAnswer() // of the COMMIT, which is next
			default:
				p.CutAll()
			}
			first = false
		}))
	}
	if n := sizeOf(t, s, 20); n != 2*rounds {
		t.Errorf("%d transactions were done %d times", 2*rounds, n)
	}
	stats := db.NamespaceStats()
	if stats.Lost < rounds/2 || stats.Found < rounds/2 {
		t.Errorf("stats are %+v, want at least %d commits lost and found", stats, rounds/2)
	}
}

// TestUnavailable wants operations on a server that is down to wait, to be interruptible, and to fail in the end.
func TestUnavailable(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL(), IOTimeout: time.Second, ConnectionTimeout: time.Second})
	s := db.Namespace()
	makeInode(t, s, 20)
	check(t, server.Stop())
	ops := map[string]func(ctx context.Context) error{
		"view": func(ctx context.Context) error {
			return s.View(ctx, namespace.Want{Inodes: []namespace.InodeWant{{Ino: 20}}}, func(namespace.Tx) error { return nil })
		},
		"update": func(ctx context.Context) error {
			return s.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
				tx.Put(&namespace.Inode{Ino: 21})
				return nil
			})
		},
		"sync": s.Sync,
	}
	for name, op := range ops {
		start := time.Now()
		if err := op(ctx); !errors.Is(err, namespace.ErrUnavailable) || time.Since(start) < 500*time.Millisecond {
			t.Errorf("%s of a server that is down fails with %v after %v", name, err, time.Since(start))
		}
		short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
		start = time.Now()
		if err := op(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 500*time.Millisecond {
			t.Errorf("%s ends with %v, %v after it was to end", name, err, time.Since(start))
		}
		stop()
	}
	check(t, server.Start())
	for _, op := range ops {
		check(t, op(ctx))
	}
}

// TestPrune deletes old changes, and wants who would need them to be told that everything may have changed.
func TestPrune(t *testing.T) {
	db := openNew(t, Config{})
	s := db.names
	makeInode(t, s, 20)
	xid, err := s.oldest(ctx)
	check(t, err)
	makeInode(t, s, 21)
	makeInode(t, s, 22)
	check(t, s.prune(ctx, xid))
	var n int
	check(t, db.pool.QueryRow(ctx, "SELECT count(*) FROM changes").Scan(&n))
	if n != 2 {
		t.Errorf("%d changes are left, want the 2 that are younger", n)
	}
	for c, err := range s.Watch(ctx, 1) {
		check(t, err)
		if !c.All || uint64(c.Version) < uint64(xid) {
			t.Errorf("the first change is %+v, want one with All and a version from %d on", c, xid)
		}
		break
	}
}

// TestManyLocks runs transactions that would need more locks than the server has room for.
func TestManyLocks(t *testing.T) {
	s := openNew(t, Config{}).Namespace()
	var want namespace.Want
	for i := range 3 * maxLocks {
		want.Inodes = append(want.Inodes, namespace.InodeWant{Ino: namespace.Ino(100 + i), Lock: namespace.Exclusive})
	}
	for _, w := range []namespace.Want{want, {}} {
		check(t, s.Update(ctx, namespace.OpID{}, w, func(tx namespace.Tx) error {
			if _, err := tx.Get(namespace.InodeKey{Ino: 99}); !errors.Is(err, namespace.ErrNotFound) {
				return err
			}
			for _, i := range want.Inodes {
				tx.Put(&namespace.Inode{Ino: i.Ino})
			}
			return nil
		}))
	}
}

// TestHungServer wants operations on a server that doesn't answer to fail in the end, and to go on when it does.
func TestHungServer(t *testing.T) {
	server := startServer(t)
	db := openAt(t, Config{URL: server.Database(t).URL(), IOTimeout: time.Second, ConnectionTimeout: time.Second})
	s := db.Namespace()
	makeInode(t, s, 20)
	check(t, server.Pause())
	start := time.Now()
	err := count(s, func() {})
	if took := time.Since(start); !errors.Is(err, namespace.ErrUnavailable) || took > 5*time.Second {
		t.Errorf("an update on a hung server fails with %v after %v", err, took)
	}
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	start = time.Now()
	if err := s.Sync(short); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
		t.Errorf("Sync ends with %v after %v", err, time.Since(start))
	}
	check(t, server.Resume())
	check(t, count(s, func() {}))
	if n := sizeOf(t, s, 20); n != 1 {
		t.Errorf("one count of two succeeded, and the inode has %d", n)
	}
}

// TestWatchAfterLostConnection wants a watcher to be told that everything may have changed.
func TestWatchAfterLostConnection(t *testing.T) {
	db, p := proxied(t, Config{})
	watching, stop := context.WithCancel(ctx)
	defer stop()
	times := 0
	for c, err := range db.Namespace().Watch(watching, 0) {
		check(t, err)
		if !c.All {
			continue
		}
		if times++; times == 3 {
			break
		}
		p.CutAll()
	}
	if times != 3 {
		t.Errorf("told %d times, want 3", times)
	}
}

// TestAloneEndsWithItsConnection wants work to end when the server no longer knows that it is alone.
func TestAloneEndsWithItsConnection(t *testing.T) {
	db, p := proxied(t, Config{})
	ran, err := db.Namespace().(namespace.Solo).Alone(ctx, "gc", func(ctx context.Context) error {
		p.CutAll()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(10 * time.Second):
			return errors.New("the work goes on")
		}
	})
	if !ran || !errors.Is(err, namespace.ErrUnavailable) {
		t.Errorf("Alone = %v, %v, want true and %v", ran, err, namespace.ErrUnavailable)
	}
}

// TestLookupsLoadNoExtents asks the server's statistics.
func TestLookupsLoadNoExtents(t *testing.T) {
	db := openNew(t, Config{MinConns: 1, MaxConns: 1}) // the statistics of a connection come late to others
	s := db.Namespace()
	check(t, create(s, 40, namespace.Want{}))
	scans := func(table string) (n int64) {
		_, err := db.pool.Exec(ctx, "SELECT pg_stat_force_next_flush()")
		check(t, err)
		check(t, db.pool.QueryRow(ctx, "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables "+
			"WHERE relname = $1", table).Scan(&n))
		return n
	}
	dentries, extents := scans("dentries"), scans("extents")
	for range 20 {
		want := namespace.Want{Entries: []namespace.EntryWant{{Parent: 30, Name: "40"}}}
		check(t, s.View(ctx, want, func(tx namespace.Tx) error {
			_, err := tx.Get(namespace.InodeKey{Ino: 40})
			return err
		}))
	}
	if d, e := scans("dentries")-dentries, scans("extents")-extents; d != 20 || e != 0 {
		t.Errorf("20 lookups scanned dentries %d times, extents %d times", d, e)
	}
}
