// Package pgtest starts a real PostgreSQL for tests: on a free loopback port and a socket, with its default
// configuration and fsync on, in a directory that goes with it.
//
// As root the server runs as the user postgres, because PostgreSQL refuses root. It dies with the test binary, however
// that ends.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options are what a server is made with.
type Options struct {
	Settings map[string]string // for postgresql.conf, over the defaults
	HBA      []string          // lines of pg_hba.conf for roles other than the superuser; scram from everywhere if nil
	TLS      bool              // speak TLS as well, see CertFile
}

// Server is a PostgreSQL server. Its methods are for one goroutine at a time.
type Server struct {
	dir   string // data, socket and log
	bin   string
	port  int
	owner *syscall.Credential // whom it runs as; nil for ourselves

	proc *process // nil while stopped
	next *process // what Start is going to run, if it is prepared
}

const startTimeout = 60 * time.Second

// Start makes a server that is stopped and removed with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New makes and starts a server. Who calls it calls Close.
func New(o Options) (*Server, error) {
	bin, err := findBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	if err := s.create(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// findBin returns the directory of the newest server that is installed.
func findBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return majorOf(a) - majorOf(b) })
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("no PostgreSQL server in /usr/lib/postgresql or PATH: install postgresql: %w", err)
	}
	return filepath.Dir(path), nil
}

func majorOf(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

func (s *Server) create(o Options) error {
	if os.Geteuid() == 0 {
		if err := s.takeOwner(); err != nil {
			return err
		}
	}
	init := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", superuser, "-E", "UTF8",
		"--locale=C.UTF-8", "--auth=trust", "--no-sync")
	init.Dir = s.dir
	init.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.configure(o); err != nil {
		return err
	}
	return s.startAnywhere()
}

// startAnywhere starts the server on a port that is free.
func (s *Server) startAnywhere() (err error) {
	for range 5 { // another process may take the port first
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.Start(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) takeOwner() error {
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL doesn't run as root, and there is no user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) configure(o Options) error {
	var conf strings.Builder
	fmt.Fprintf(&conf, "listen_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\n", s.dir)
	conf.WriteString("max_connections = 200\nlog_min_messages = warning\n")
	if o.TLS {
		if err := s.writeCertificate(); err != nil {
			return err
		}
		conf.WriteString("ssl = on\n")
	}
	for name, value := range o.Settings {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(value, "'", "''"))
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(conf.String())
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	hba := o.HBA
	if hba == nil {
		hba = []string{"local all all scram-sha-256", "host all all all scram-sha-256"}
	}
	lines := append([]string{"local all " + superuser + " trust", "local replication " + superuser + " trust"}, hba...)
	return os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Start starts the server after a stop and waits until it answers.
func (s *Server) Start() error {
	deadline := time.Now().Add(startTimeout)
	for {
		if s.proc == nil {
			var err error
			if s.proc, err = s.launch(); err != nil {
				return err
			}
		}
		err := s.answers()
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.done: // a killed postmaster's children may still hold its memory
			s.proc = nil
		case <-time.After(20 * time.Millisecond):
		}
		log := s.Log()
		if taken := s.proc == nil && strings.Contains(log, "could not bind"); taken || time.Now().After(deadline) {
			return fmt.Errorf("PostgreSQL doesn't start: %w; its log: %s", err, log)
		}
	}
}

func (s *Server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.adminURL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// Port is the port on 127.0.0.1. It stays the same through restarts.
func (s *Server) Port() int { return s.port }

// SocketDir is the directory of the Unix socket.
func (s *Server) SocketDir() string { return s.dir }

// DataDir is the directory of the database cluster, owned by the user that the server runs as.
func (s *Server) DataDir() string { return s.data() }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Log is the end of what the server logged.
func (s *Server) Log() string {
	const most = 8 << 10
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-most):])
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// Close stops the server if it runs and removes its directory.
func (s *Server) Close() error {
	err := s.StopImmediate()
	if s.next != nil {
		err = errors.Join(err, syscall.Kill(s.next.pid, syscall.SIGKILL), s.next.goAhead.Close())
		<-s.next.done
		s.next = nil
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
