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

// Standby makes a server that follows this one by streaming replication, as an asynchronous standby. It is stopped and
// removed with the test.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	standby, err := s.newStandby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	return standby
}

func (s *Server) newStandby() (*Server, error) {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	standby := &Server{dir: dir, bin: s.bin, owner: s.owner}
	if err := s.copyTo(standby); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return standby, nil
}

// copyTo makes the standby's data of a base backup, and starts it.
func (s *Server) copyTo(standby *Server) error {
	if s.owner != nil {
		if err := os.Chown(standby.dir, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return err
		}
	}
	backup := exec.Command(filepath.Join(s.bin, "pg_basebackup"), "-h", s.dir, "-p", strconv.Itoa(s.port), "-U", superuser,
		"-D", standby.data(), "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	backup.Dir = standby.dir
	backup.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := backup.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	conf, err := os.OpenFile(filepath.Join(standby.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "unix_socket_directories = '%s'\n", standby.dir)
	if err = errors.Join(err, conf.Close()); err != nil {
		return err
	}
	return standby.startAnywhere()
}

// SynchronousStandby has commits that wait for the disk wait for one standby's disk too, whichever it is.
func (s *Server) SynchronousStandby(t testing.TB) {
	t.Helper()
	s.Exec(t, superuser, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
	const ready = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'"
	for end := time.Now().Add(startTimeout); s.number(t, ready) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("there is no synchronous standby; the server's log: %s", s.Log())
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
