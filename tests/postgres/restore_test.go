package postgres

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// examples copies the scripts of docs/postgres.md to where the server's user can run them.
func examples(t *testing.T) string {
	t.Helper()
	dir := harness.TempDir(t)
	harness.Check(t, os.CopyFS(filepath.Join(dir, "x"), os.DirFS(filepath.Join(harness.Root(t), "docs/examples/postgres"))))
	return filepath.Join(dir, "x")
}

// tree is what a directory holds: kind, mode, size and time of each name, and its content.
func tree(t *testing.T, top string) map[string]string {
	t.Helper()
	found := map[string]string{}
	harness.Check(t, filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		st, err := d.Info()
		if err != nil {
			return err
		}
		text := fmt.Sprint(st.Mode(), st.Size(), st.ModTime().UnixNano())
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		found[rel] = text
		return nil
	}))
	return found
}

// inSQL is what the database says of the same files.
func inSQL(t *testing.T, s *pgtest.Server, database string) map[string]string {
	t.Helper()
	ctx := context.Background()
	conn := s.Connect(t, database)
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, "SELECT path, concat_ws(' ', type, size, mode, mtime, attributes, blobs) FROM files")
	harness.Check(t, err)
	found := map[string]string{}
	var path, text string
	_, err = pgx.ForEachRow(rows, []any{&path, &text}, func() error {
		found[path] = text
		return nil
	})
	harness.Check(t, err)
	return found
}

// serverTime is the server's time, as restore.sh wants it.
func serverTime(t *testing.T, s *pgtest.Server) (now string) {
	t.Helper()
	conn := s.Connect(t, "postgres")
	defer conn.Close(context.Background())
	harness.Check(t, conn.QueryRow(context.Background(), "SELECT clock_timestamp()::TEXT").Scan(&now))
	return now
}

// fill makes a version of some directories and files: small, of several megabytes, linked.
func fill(t *testing.T, dir, version string) {
	t.Helper()
	harness.Check(t, os.MkdirAll(filepath.Join(dir, "sub", version), 0o755))
	for i, size := range []int{1, 100, 5_000, 70_000, 3_000_000} {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(j>>8) ^ byte(j) ^ version[0]
		}
		harness.Check(t, writeSynced(filepath.Join(dir, fmt.Sprint("f", i)), data))
		harness.Check(t, writeSynced(filepath.Join(dir, "sub", version, fmt.Sprint("f", i)), data))
	}
	harness.Check(t, os.Symlink(version, filepath.Join(dir, "sub", "link-"+version)))
}

// TestRestoreToMoment backs up, archives and restores with the scripts of docs/postgres.md: files and rows are together as
// they were at the moment, though what was there then was overwritten, removed and collected later.
func TestRestoreToMoment(t *testing.T) {
	scripts := examples(t)
	archive := harness.TempDir(t)
	harness.Check(t, os.Chmod(archive, 0o777))
	server := pgtest.Start(t, pgtest.Options{Settings: map[string]string{
		"archive_mode": "on", "archive_command": scripts + "/archive.sh " + archive + " %p %f",
	}})
	d := server.Database(t)
	m := harness.Start(t, at(t, d, server))
	fill(t, m.Dir, "a")
	backup := filepath.Join(server.SocketDir(), "backup")
	harness.Check(t, server.Run(scripts+"/backup.sh", backup))
	fill(t, m.Dir, "b") // what only the log has
	want, rows, moment := tree(t, m.Dir), inSQL(t, server, d.Name), serverTime(t, server)
	time.Sleep(10 * time.Millisecond)
	fill(t, m.Dir, "c")
	harness.Check(t, os.RemoveAll(filepath.Join(m.Dir, "sub", "a")))
	if res := m.RunStore("gc", "--grace", "0s"); res.Code != 0 {
		t.Fatalf("%v", res)
	}
	server.Exec(t, "postgres", "SELECT pg_switch_wal()")
	m.Unmount()
	harness.Check(t, server.Stop()) // which archives the rest

	restored := server.Another(t, func(data string) error {
		return server.Run(scripts+"/restore.sh", backup, archive, moment, data)
	})
	restored.WaitPrimary(t)
	if got := inSQL(t, restored, d.Name); !maps.Equal(got, rows) {
		t.Errorf("the restored rows are\n%v\nwant\n%v", got, rows)
	}
	r := harness.Start(t, at(t, d, restored))
	if got := tree(t, r.Dir); !maps.Equal(got, want) {
		t.Errorf("the restored files are\n%v\nwant\n%v", got, want)
	}
	harness.Check(t, writeSynced(filepath.Join(r.Dir, "after"), []byte("after")))
	if res := r.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
