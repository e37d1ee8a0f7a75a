package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// Backend is a kind of store that a test's volume is kept in.
type Backend struct {
	Name string
	// Brief says that a run in moderate time does less of what is random.
	Brief bool
	// Variant says that it is another backend with one setting changed: such a run does still less of it.
	Variant bool
	// Config makes a store for one volume, and is the configuration of its mounts.
	Config func(t testing.TB) Config
}

// The backends there are. A volume on PostgreSQL has a database and a role of its own, on the server that pgtest starts;
// one in a bucket has a server of its own.
var (
	RocksDB  = Backend{Name: "rocksdb", Config: func(testing.TB) Config { return Config{} }}
	Postgres = Backend{Name: "postgres", Brief: true, Config: func(t testing.TB) Config {
		return OnServer(t, pgtest.Shared(t), "")
	}}
	PostgresLargeObjects = Backend{Name: "postgres-large-objects", Brief: true, Variant: true, Config: func(t testing.TB) Config {
		return OnServer(t, pgtest.Shared(t), "use-large-objects = true")
	}}
	// PostgresExclusive is one daemon that has the database for itself.
	PostgresExclusive = Backend{Name: "postgres-exclusive", Brief: true, Variant: true, Config: func(t testing.TB) Config {
		cfg := OnServer(t, pgtest.Shared(t), "")
		cfg.Args = []string{"-o", "exclusive"}
		return cfg
	}}
	Bucket = Backend{Name: "s3", Brief: true, Config: func(t testing.TB) Config { return NewS3(t, "").Mount() }}
	Hybrid = Backend{Name: "hybrid", Brief: true, Config: func(t testing.TB) Config {
		server := s3test.Start(t)
		return NewHybrid(t, server, server.Endpoint(), "").Mount()
	}}
)

// backends are all of them, shared those that several daemons can have mounted.
var (
	backends = []Backend{RocksDB, Postgres, PostgresLargeObjects, PostgresExclusive, Bucket, Hybrid}
	shared   = []Backend{Postgres, Hybrid}
)

// EachBackend runs a test on every backend, or on those that GRAVITON_TEST_BACKENDS names, separated by commas.
func EachBackend(t *testing.T, test func(t *testing.T, b Backend)) {
	t.Helper()
	each(t, backends, test)
}

// EachShared is EachBackend for those on which several daemons can have a volume mounted.
func EachShared(t *testing.T, test func(t *testing.T, b Backend)) {
	t.Helper()
	each(t, shared, test)
}

func each(t *testing.T, some []Backend, test func(t *testing.T, b Backend)) {
	t.Helper()
	names := strings.FieldsFunc(os.Getenv("GRAVITON_TEST_BACKENDS"), func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.ContainsFunc(backends, func(b Backend) bool { return b.Name == name }) {
			t.Fatalf("GRAVITON_TEST_BACKENDS: there is no backend %q", name)
		}
	}
	for _, b := range some {
		if len(names) == 0 || slices.Contains(names, b.Name) {
			t.Run(b.Name, func(t *testing.T) { test(t, b) })
		}
	}
}

// OnServer is the configuration of a volume in a new database of a server. The password is in the environment; more is
// added to the postgres block.
func OnServer(t testing.TB, s *pgtest.Server, more string) Config {
	t.Helper()
	d := s.Database(t)
	return InDatabase(t, d, urlOf(s, d), more)
}

// urlOf is the way to a database, without a role.
func urlOf(s *pgtest.Server, d pgtest.Database) string {
	return fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", s.Port(), d.Name)
}

// InDatabase is the configuration of a volume in a database that is found at a URL without a role.
func InDatabase(t testing.TB, d pgtest.Database, url, more string) Config {
	t.Helper()
	path := filepath.Join(TempDir(t), "graviton.conf")
	text := fmt.Sprintf(`graviton {
  backend = "postgres"
  postgres {
    url = %q
    username = %q
    password = ${GRAVITON_PG_PASSWORD}
    %s
  }
}
`, url, d.Role, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{File: path, Env: []string{"GRAVITON_PG_PASSWORD=" + d.Password}}
}
