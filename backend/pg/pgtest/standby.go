package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Another makes a server out of the data directory that fill makes, as the user that s runs as. It is stopped and removed
// with the test.
func (s *Server) Another(t testing.TB, fill func(data string) error) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	next := &Server{dir: dir, bin: s.bin, owner: s.owner}
	t.Cleanup(func() {
		if err := next.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.owner != nil {
		if err := os.Chown(dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := fill(next.data()); err != nil {
		t.Fatal(err)
	}
	if err := next.startAsAnother(); err != nil {
		t.Fatal(err)
	}
	return next
}

// startAsAnother starts a server whose configuration is that of the server that its data are from.
func (s *Server) startAsAnother() error {
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "unix_socket_directories = '%s'\n", s.dir)
	if err = errors.Join(err, conf.Close()); err != nil {
		return err
	}
	return s.startAnywhere()
}

// Run runs a program as the server's user, with PGHOST, PGPORT and PGUSER of its superuser.
func (s *Server) Run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PGHOST="+s.dir, "PGPORT="+strconv.Itoa(s.port), "PGUSER="+superuser,
		"PATH="+s.bin+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Standby makes a server that follows this one by streaming replication, as an asynchronous standby. It is stopped and
// removed with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	return s.Another(t, func(data string) error {
		return s.Run("pg_basebackup", "-D", data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	})
}

// SynchronousStandby has commits that wait for the disk wait for one standby's disk too, whichever it is.
func (s *Server) SynchronousStandby(t testing.TB) {
	t.Helper()
	s.Exec(t, superuser, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	s.await(t, "a synchronous standby",
		"SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'")
}

// WaitReplayed waits until a standby of this server shows what was committed here.
func (s *Server) WaitReplayed(t testing.TB, standby *Server) {
	t.Helper()
	at := s.number(t, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
	standby.await(t, "what was committed, on the standby",
		fmt.Sprintf("SELECT (pg_last_wal_replay_lsn() - '0/0'::pg_lsn >= %d)::INT", at))
}

// WaitPrimary waits until a server that recovers takes writes.
func (s *Server) WaitPrimary(t testing.TB) {
	t.Helper()
	s.await(t, "the end of the recovery", "SELECT 1 - pg_is_in_recovery()::INT")
}

// await waits until a query yields 1.
func (s *Server) await(t testing.TB, what, query string) {
	t.Helper()
	for end := time.Now().Add(startTimeout); s.number(t, query) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v; the server's log: %s", what, startTimeout, s.Log())
		}
	}
}

// Promote has a standby become a server of its own, and returns once it takes writes.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	s.Exec(t, superuser, "SELECT 1 / pg_promote(true, 60)::INT")
}

// number is the one number that a query yields.
func (s *Server) number(t testing.TB, query string) (n int64) {
	t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	conn := s.Connect(t, superuser)
	if err := errors.Join(conn.QueryRow(ctx, query).Scan(&n), conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
