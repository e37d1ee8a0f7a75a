package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const superuser = "postgres"

// shared is the server of the test binary.
var shared struct {
	mu sync.Mutex
	s  *Server
}

// Shared returns the one server of this test binary, started by the first call. TestMain calls StopShared.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.s == nil {
		s, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		shared.s = s
	}
	return shared.s
}

// StopShared stops the server that Shared started, if it did.
func StopShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	s := shared.s
	shared.s = nil
	if s == nil {
		return nil
	}
	return s.Close()
}

// Database is an empty database that belongs to an ordinary role of its own.
type Database struct {
	Name, Role, Password string

	server *Server
}

var databases atomic.Int64

// Database makes a database that is dropped with the test.
func (s *Server) Database(t testing.TB) Database {
	t.Helper()
	n := databases.Add(1)
	d := Database{Name: fmt.Sprintf("db%d", n), Role: fmt.Sprintf("role%d", n), Password: fmt.Sprintf("s3cret/%d", n), server: s}
	s.Exec(t, superuser,
		fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", d.Role, d.Password),
		fmt.Sprintf("CREATE DATABASE %s OWNER %s", d.Name, d.Role))
	t.Cleanup(func() {
		if s.proc == nil {
			return // stopped by the test, which took everything with it
		}
		// Without a wait for a synchronous standby, which may be gone.
		s.Exec(t, superuser, "SET synchronous_commit = local", "DROP DATABASE "+d.Name+" WITH (FORCE)", "DROP OWNED BY "+d.Role+" CASCADE", "DROP ROLE "+d.Role)
	})
	return d
}

// URL is the way to the database over TCP, with the role's password.
func (d Database) URL() string { return d.At(d.server.port) }

// At is URL with another port, as a proxy's.
func (d Database) At(port int) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(d.Role, d.Password),
		Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + d.Name}
	return u.String()
}

// Exec runs statements in a database as superuser.
func (s *Server) Exec(t testing.TB, database string, statements ...string) {
	t.Helper()
	conn := s.Connect(t, database)
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if err := conn.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// Connect opens a connection to a database as superuser, which the caller closes.
func (s *Server) Connect(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	ctx, cancel := timeout()
	defer cancel()
	conn, err := pgx.Connect(ctx, s.adminURL(database))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 20*time.Second)
}

// adminURL is the superuser's way to a database, through the socket.
func (s *Server) adminURL(database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s", s.dir, s.port, superuser, database)
}
