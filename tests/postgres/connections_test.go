package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// hog takes all connections of a server that an ordinary role can have. free closes them.
func hog(t *testing.T, d pgtest.Database) (free func()) {
	t.Helper()
	ctx := context.Background()
	var conns []*pgx.Conn
	for len(conns) < 100 {
		conn, err := pgx.Connect(ctx, d.URL())
		if err != nil {
			t.Logf("%d connections, then %v", len(conns), err)
			return func() {
				for _, c := range conns {
					harness.Check(t, c.Close(ctx))
				}
			}
		}
		conns = append(conns, conn)
	}
	t.Fatal("the server has no limit")
	return nil
}

// TestNoConnectionLeft has others take all connections of the server while a mount works. Its pool can't grow: calls go on
// with what it has, and the log says once what to do.
func TestNoConnectionLeft(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"max_connections": "20"}})
	d := s.Database(t)
	m := harness.Start(t, at(t, d, s).With("--set", "postgres.pool.min-size=2"))
	free := hog(t, d)
	work := func(round int) (files int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		end := time.Now().Add(time.Second)
		for i := range 10 {
			dir := filepath.Join(m.Dir, fmt.Sprintf("w%d-%d", round, i))
			harness.Check(t, os.Mkdir(dir, 0o755))
			wg.Go(func() {
				for n := 0; time.Now().Before(end); n++ {
					if err := writeSynced(filepath.Join(dir, fmt.Sprint(n)), []byte("text")); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					files++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		return files
	}
	few := work(1)
	warnings := strings.Count(m.Logs(), "max_connections")
	free()
	t.Logf("%d files with all connections taken, %d without", few, work(2))
	if few < 50 {
		t.Errorf("only %d files were written with the connections that the pool has", few)
	}
	if warnings != 1 {
		t.Errorf("the log has %d warnings about max_connections, want 1:\n%s", warnings, m.Logs())
	}
}
