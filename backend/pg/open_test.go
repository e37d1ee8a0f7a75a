package pg

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

func TestOpen(t *testing.T) {
	db := openNew(t, Config{})
	conn, err := db.acquire(ctx)
	check(t, err)
	defer conn.Release()
	var schema, commit, name string
	check(t, conn.QueryRow(ctx, "SELECT current_schema, current_setting('synchronous_commit'), current_setting('application_name')").
		Scan(&schema, &commit, &name))
	if schema != "public" || commit != "off" || name != "graviton" {
		t.Errorf("session has schema %s, synchronous_commit %s, application_name %s", schema, commit, name)
	}
}

// refused wants Open to fail with one line that holds all of the words, and no password.
func refused(t *testing.T, cfg Config, words ...string) {
	t.Helper()
	if cfg.ConnectionTimeout == 0 {
		cfg.ConnectionTimeout = 5 * time.Second
	}
	start := time.Now()
	db, err := Open(ctx, cfg)
	if err == nil {
		_ = db.Close()
		t.Fatalf("opened, want an error about %q", words)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v to say %v", took, err)
	}
	text := err.Error()
	t.Log(text)
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q doesn't say %q", text, w)
		}
	}
	if strings.Contains(text, "\n") {
		t.Errorf("%q is more than a line", text)
	}
	for _, secret := range []string{cfg.Password, "s3cret", "hunter2"} {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("%q holds the password", text)
		}
	}
}

// at is the URL of a database without a password.
func at(d pgtest.Database, port int) string {
	return fmt.Sprintf("postgresql://%s@127.0.0.1:%d/%s", d.Role, port, d.Name)
}

func TestOpenRefused(t *testing.T) {
	t.Setenv("PGPASSFILE", filepath.Join(t.TempDir(), "none"))
	s := pgtest.Shared(t)
	d := s.Database(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	nobody := free.Addr().(*net.TCPAddr).Port
	check(t, free.Close())
	for name, tt := range map[string]struct {
		cfg   Config
		words []string
	}{
		"no password":    {Config{URL: at(d, s.Port())}, []string{"wants a password", d.Role, "GRAVITON_PG_PASSWORD"}},
		"wrong password": {Config{URL: at(d, s.Port()), Password: "hunter2"}, []string{"wrong password", d.Role}},
		"unknown role":   {Config{URL: at(d, s.Port()), Username: "stranger", Password: "hunter2"}, []string{"wrong password", `"stranger"`}},
		"unknown database": {Config{URL: strings.Replace(at(d, s.Port()), "/"+d.Name, "/nowhere", 1), Password: d.Password},
			[]string{`no database "nowhere"`, "createdb"}},
		"wrong port":   {Config{URL: at(d, nobody)}, []string{"connection refused", strconv.Itoa(nobody)}},
		"unknown host": {Config{URL: "postgresql://no.such.host.invalid/x"}, []string{"no.such.host.invalid", "unknown"}},
		"no socket":    {Config{URL: "host=/nowhere dbname=x"}, []string{"no such socket"}},
		"no answer": {Config{URL: at(d, silent.Addr().(*net.TCPAddr).Port), ConnectionTimeout: 300 * time.Millisecond},
			[]string{"no answer", "connection-timeout", "300ms"}},
		"no TLS": {Config{URL: at(d, s.Port()) + "?sslmode=require", Password: d.Password}, []string{"TLS", "sslmode"}},
		"a standby is asked for": {Config{URL: at(d, s.Port()) + "?target_session_attrs=standby", Password: d.Password},
			[]string{"target_session_attrs"}},
		"unknown parameter": {Config{URL: at(d, s.Port()) + "?nonsense=1", Password: d.Password}, []string{"nonsense"}},
		"not a URL":         {Config{URL: "postgresql://u:hunter2@host:port:port/x"}, []string{"URL", "jdbc:postgresql://"}},
		"sslrootcert":       {Config{URL: at(d, s.Port()) + "?sslmode=verify-full&sslrootcert=/nowhere.crt"}, []string{"/nowhere.crt"}},
		"pool":              {Config{URL: at(d, s.Port()), MinConns: 5, MaxConns: 2}, []string{"min-size 5", "max-size 2"}},
		"chunk size":        {Config{URL: at(d, s.Port()), ChunkSize: 5000}, []string{"chunk size", "5000"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tt.cfg, tt.words...) })
	}
}

func TestOpenTLSAndConnections(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{
		TLS: true, Settings: map[string]string{"max_connections": "10"},
		HBA: []string{"hostssl all all all scram-sha-256"},
	})
	d := s.Database(t)
	url := at(d, s.Port())
	refused(t, Config{URL: url + "?sslmode=disable", Password: d.Password}, "TLS", "sslmode=require")
	refused(t, Config{URL: url + "?sslmode=verify-full", Password: d.Password}, "not trusted", "sslrootcert")
	for _, query := range []string{"?sslmode=require", "?sslmode=verify-full&sslrootcert=" + s.CertFile()} {
		db := openAt(t, Config{URL: "jdbc:" + url + query, Password: d.Password, MaxConns: 2})
		check(t, db.Close())
	}

	db := openAt(t, Config{URL: url, Password: d.Password, MaxConns: 7})
	for range 7 {
		conn, err := db.acquire(ctx)
		check(t, err)
		defer conn.Release()
	}
	refused(t, Config{URL: url, Password: d.Password}, "no connection left", "max_connections")
}

func TestPoolTooSmall(t *testing.T) {
	db := openNew(t, Config{MaxConns: 1, ConnectionTimeout: 200 * time.Millisecond})
	conn, err := db.acquire(ctx)
	check(t, err)
	key := newTestKey()
	_, err = db.Blobs().Stat(ctx, key)
	if err == nil || !strings.Contains(err.Error(), "pool.max-size") || !strings.Contains(err.Error(), "all 1 connections") {
		t.Errorf("error is %v", err)
	}
	cancelled, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := db.acquire(cancelled); err == nil || context.Cause(cancelled) == nil {
		t.Errorf("error is %v, want the caller's deadline", err)
	}
	conn.Release()
	putData(t, db.Blobs(), key, []byte("x"))
}

func TestOpenSchemas(t *testing.T) {
	s := pgtest.Shared(t)
	d := s.Database(t)
	cfg := Config{URL: d.URL(), Schema: `odd "name"`}
	check(t, openAt(t, cfg).Close()) // made, as the database is the role's own
	check(t, openAt(t, cfg).Close()) // and found again

	s.Exec(t, d.Name, "CREATE SCHEMA foreigner", "CREATE TABLE foreigner.manifests (n int)", "GRANT ALL ON SCHEMA foreigner TO "+d.Role)
	refused(t, Config{URL: d.URL(), Schema: "foreigner"}, "another program", "manifests", "postgres.schema")

	s.Exec(t, d.Name, `UPDATE "odd ""name""".graviton_version SET version = 999`)
	refused(t, cfg, "version 999", "newer graviton")

	s.Exec(t, d.Name, "CREATE SCHEMA closed")
	refused(t, Config{URL: d.URL(), Schema: "closed"}, "GRANT USAGE, CREATE ON SCHEMA", `"closed"`, d.Role)

	s.Exec(t, d.Name, "REVOKE CREATE ON DATABASE "+d.Name+" FROM "+d.Role, "ALTER DATABASE "+d.Name+" OWNER TO postgres")
	refused(t, Config{URL: d.URL(), Schema: "missing"}, "CREATE SCHEMA", "AUTHORIZATION", d.Role)
	refused(t, Config{URL: d.URL(), Schema: "missing", ReadOnly: true}, "no volume")
	refused(t, Config{URL: d.URL(), Schema: "public", MustExist: true}, "no volume", "graviton mount")
	refused(t, Config{URL: d.URL(), Schema: "public", MustExist: true}, "no volume") // the first made nothing
}

// TestUpgrade opens a schema of version 6, which has no generation. While a daemon of that version lives it is refused.
func TestUpgrade(t *testing.T) {
	s := pgtest.Shared(t)
	d := s.Database(t)
	cfg := Config{URL: d.URL()}
	db := openAt(t, cfg)
	check(t, db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		tx.Put(&namespace.Volume{Format: 1, NextID: 40, Generation: 5})
		tx.Put(&namespace.Inode{Ino: 20, Mode: 0o100644, Nlink: 1, Size: 3, Bytes: 3})
		tx.Put(&namespace.Session{ID: 7, Host: "elsewhere", Seen: namespace.At(time.Now())})
		return nil
	}))
	check(t, db.Close())
	s.Exec(t, d.Name, "ALTER TABLE volume DROP COLUMN generation", "UPDATE graviton_version SET version = 6")
	refused(t, cfg, "version 6 of", "elsewhere", "unmount them first")
	s.Exec(t, d.Name, "UPDATE sessions SET seen = seen - 60")
	db = openAt(t, cfg)
	defer db.Close()
	check(t, db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		check(t, err)
		rec, err := namespace.Get[*namespace.Inode](tx, namespace.InodeKey{Ino: 20})
		check(t, err)
		if vol.Generation != namespace.FirstGeneration || rec.Flags != 0 || rec.Mode != 0o100644 {
			t.Errorf("generation %d, flags %d, mode %o", vol.Generation, rec.Flags, rec.Mode)
		}
		return nil
	}))
}

func TestOpenAsAnotherRole(t *testing.T) {
	s := pgtest.Shared(t)
	d, guest := s.Database(t), s.Database(t)
	check(t, openAt(t, Config{URL: d.URL()}).Close())
	url := fmt.Sprintf("postgresql://127.0.0.1:%d/%s", s.Port(), d.Name)
	cfg := Config{URL: url, Username: guest.Role, Password: guest.Password}
	refused(t, cfg, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES", guest.Role)
	s.Exec(t, d.Name, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+guest.Role)
	db := openAt(t, cfg)
	putData(t, db.Blobs(), newTestKey(), []byte("by a guest"))
	check(t, db.Close())
	s.Exec(t, d.Name, "REVOKE CONNECT ON DATABASE "+d.Name+" FROM PUBLIC")
	refused(t, cfg, "GRANT CONNECT ON DATABASE", guest.Role)
	s.Exec(t, d.Name, "DROP OWNED BY "+guest.Role)
}

// TestOpenTogether has daemons that all begin at the same time in an empty database.
func TestOpenTogether(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			db, err := Open(ctx, Config{URL: url, Schema: "together", MinConns: 1, MaxConns: 2})
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOldServer(t *testing.T) {
	if err := checkVersion(140011, "14.11"); err == nil || !strings.Contains(err.Error(), "14.11") || !strings.Contains(err.Error(), "15") {
		t.Errorf("error is %v", err)
	}
	check(t, checkVersion(150000, "15.0"))
}

// TestOpenOldServer opens a server that says that it is an old one.
func TestOpenOldServer(t *testing.T) {
	s := pgtest.Shared(t)
	p, d := s.NewProxy(t), s.Database(t)
	p.Rewrite("current_setting('server_version_num')", "'140011'")
	p.Rewrite("current_setting('server_version')", "'14.11'")
	refused(t, Config{URL: at(d, p.Port()), Password: d.Password}, "PostgreSQL 14.11", "version 15 or newer")
	var tables int
	conn := s.Connect(t, d.Name)
	check(t, conn.QueryRow(ctx, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace").Scan(&tables))
	check(t, conn.Close(ctx))
	if tables != 0 {
		t.Errorf("%d tables and indexes were made", tables)
	}
}

func TestPasswords(t *testing.T) {
	s := pgtest.Shared(t)
	d := s.Database(t)
	url := fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", s.Port(), d.Name)
	t.Run("configured", func(t *testing.T) {
		check(t, openAt(t, Config{URL: url, Username: d.Role, Password: d.Password}).Close())
	})
	t.Run("PGPASSWORD", func(t *testing.T) {
		t.Setenv("PGPASSWORD", d.Password)
		check(t, openAt(t, Config{URL: url, Username: d.Role}).Close())
	})
	t.Run("password file", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "pgpass")
		check(t, os.WriteFile(file, []byte(fmt.Sprintf("*:%d:%s:%s:%s\n", s.Port(), d.Name, d.Role, d.Password)), 0o600))
		t.Setenv("PGPASSFILE", file)
		check(t, openAt(t, Config{URL: url, Username: d.Role}).Close())
	})
	t.Run("socket", func(t *testing.T) {
		for _, url := range []string{
			fmt.Sprintf("host=%s port=%d dbname=%s", s.SocketDir(), s.Port(), d.Name),
			fmt.Sprintf("postgresql:///%s?host=%s&port=%d", d.Name, s.SocketDir(), s.Port()),
		} {
			check(t, openAt(t, Config{URL: url, Username: d.Role, Password: d.Password}).Close())
		}
	})
	t.Run("several hosts", func(t *testing.T) {
		url := fmt.Sprintf("jdbc:postgresql://127.0.0.1:1,127.0.0.1:%d/%s?targetServerType=primary", s.Port(), d.Name)
		check(t, openAt(t, Config{URL: url, Username: d.Role, Password: d.Password}).Close())
	})
}
