package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// published are the tables that docs/postgres.md has a second region subscribe to.
func published(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(t), "docs", "postgres.md"))
	harness.Check(t, err)
	_, rest, found := strings.Cut(string(text), "CREATE PUBLICATION graviton FOR TABLE ")
	list, _, ended := strings.Cut(rest, ";")
	if !found || !ended {
		t.Fatal("docs/postgres.md has no CREATE PUBLICATION")
	}
	return list
}

// TestLogicalReplication does what docs/postgres.md says about a second region that subscribes to the tables: its view of
// the files is the first one's, and a mount of it has their bytes.
func TestLogicalReplication(t *testing.T) {
	first := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"wal_level": "logical"}})
	second := pgtest.Start(t, pgtest.Options{})
	d, copied := first.Database(t), second.Database(t)
	w := harness.Start(t, at(t, d, first))
	r := harness.New(t, at(t, copied, second))
	in := func(name string) string { return filepath.Join(w.Dir, name) }
	harness.Check(t, os.Mkdir(in("dir"), 0o755))
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	harness.Check(t, writeSynced(in("dir/big"), big))
	harness.Check(t, writeSynced(in("dir/gone"), []byte("gone")))

	if res := r.Run(append([]string{"postgres", "init"}, r.Set()...)...); res.Code != 0 {
		t.Fatal(res)
	}
	first.Exec(t, d.Name, "CREATE PUBLICATION graviton FOR TABLE "+published(t))
	second.Exec(t, copied.Name, "TRUNCATE "+published(t)+" CASCADE")
	second.Exec(t, copied.Name, fmt.Sprintf(
		"CREATE SUBSCRIPTION graviton CONNECTION 'host=%s port=%d user=postgres dbname=%s' PUBLICATION graviton",
		first.SocketDir(), first.Port(), d.Name))
	t.Cleanup(func() { second.Exec(t, copied.Name, "DROP SUBSCRIPTION graviton") })

	// Each table is copied on its own, so the files may be there before the volume's own record is.
	harness.Soon(t, 20*time.Second, "the copy of every table", func() bool { return allCopied(t, second, copied) })

	harness.Check(t, os.Remove(in("dir/gone")))
	harness.Check(t, os.Rename(in("dir"), in("renamed")))
	harness.Check(t, writeSynced(in("renamed/small"), []byte("small")))
	want := files(t, first, d)
	took := harness.Soon(t, 20*time.Second, "the files of the first server on the second", func() bool {
		return files(t, second, copied) == want
	})
	t.Logf("the second server had all after %v:\n%s", took, want)

	m := harness.Start(t, at(t, copied, second).With("-o", "ro"))
	if got, err := os.ReadFile(filepath.Join(m.Dir, "renamed", "big")); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(big))
	}
	harness.Check(t, writeSynced(in("renamed/small"), []byte("larger")))
	harness.Soon(t, 20*time.Second, "a change in the mount of the second server", func() bool {
		return holds(filepath.Join(m.Dir, "renamed", "small"), "larger")
	})
	m.Unmount()
}

// files is what the view shows of all files, as text.
func files(t *testing.T, s *pgtest.Server, d pgtest.Database) string {
	t.Helper()
	conn := s.Connect(t, d.Name)
	defer func() { harness.Check(t, conn.Close(context.Background())) }()
	var list string
	harness.Check(t, conn.QueryRow(context.Background(),
		`SELECT coalesce(string_agg(path || ' ' || size, E'\n' ORDER BY path), '') FROM files`).Scan(&list))
	return list
}

// allCopied reports whether the subscription has copied its tables and follows their changes.
func allCopied(t *testing.T, s *pgtest.Server, d pgtest.Database) (all bool) {
	t.Helper()
	conn := s.Connect(t, d.Name)
	defer func() { harness.Check(t, conn.Close(context.Background())) }()
	harness.Check(t, conn.QueryRow(context.Background(),
		`SELECT coalesce(bool_and(srsubstate = 'r'), false) FROM pg_subscription_rel`).Scan(&all))
	return all
}
