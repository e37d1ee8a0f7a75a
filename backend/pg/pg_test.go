package pg

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// serving stops the shared server after the tests, before goleak looks.
type serving struct{ m *testing.M }

func (s serving) Run() int {
	code := s.m.Run()
	if err := pgtest.StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(serving{m}) }

var ctx = context.Background()

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// openAt opens a database that is closed with the test.
func openAt(t testing.TB, cfg Config) *DB {
	t.Helper()
	orDefault(&cfg.IOTimeout, 20*time.Second)
	if cfg.MinConns == 0 {
		cfg.MinConns = 1
	}
	db, err := Open(ctx, cfg)
	check(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// openNew opens an empty database of the shared server.
func openNew(t testing.TB, cfg Config) *DB {
	t.Helper()
	cfg.URL = pgtest.Shared(t).Database(t).URL()
	return openAt(t, cfg)
}
