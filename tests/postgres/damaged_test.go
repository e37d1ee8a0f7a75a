package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// TestDamagedRows changes rows of a volume to what can't be true, and uses it through a mount: each is an error of its file,
// the daemon lives on, and what others have written is kept. The commands tell of each, and end.
func TestDamagedRows(t *testing.T) {
	s := pgtest.Shared(t)
	db := s.Database(t)
	cfg := harness.InDatabase(t, db, fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", s.Port(), db.Name), "")
	m := harness.Start(t, cfg)
	in := func(path string) string { return filepath.Join(m.Dir, path) }
	harness.Check(t, os.MkdirAll(in("a/b"), 0o755))
	for _, name := range []string{"short", "size", "far", "sound", "slash", "a/b/file"} {
		harness.Write(t, harness.Noise(1000), m.Dir, name)
	}
	number := func(path string) uint64 {
		var st unix.Stat_t
		harness.Check(t, unix.Stat(in(path), &st))
		return st.Ino
	}
	short, size, far, slash, a, b := number("short"), number("size"), number("far"), number("slash"), number("a"), number("a/b")
	m.Unmount()
	conn, err := pgx.Connect(t.Context(), db.URL())
	harness.Check(t, err)
	for _, sql := range []string{
		fmt.Sprintf("UPDATE extents SET inline = substring(inline FOR 3) WHERE ino = %d", short),
		fmt.Sprintf("UPDATE inodes SET size = -1 WHERE ino = %d", size),
		fmt.Sprintf("UPDATE inodes SET mtime = 9223372036854775807 WHERE ino = %d", far),
		fmt.Sprintf("UPDATE dentries SET name = '/etc/x' WHERE ino = %d", slash),
		fmt.Sprintf("INSERT INTO dentries VALUES (%d, 'loop', %d, 16384, 9000)", b, a),
		"INSERT INTO usage VALUES (1, 1, 9223372036854775807, 0), (1, 2, 9223372036854775807, 0)",
	} {
		tag, err := conn.Exec(t.Context(), sql)
		harness.Check(t, err)
		if tag.RowsAffected() == 0 {
			t.Fatalf("%s: no row", sql)
		}
	}
	harness.Check(t, conn.Close(t.Context()))
	m.Mount()
	pid := m.PID()
	open, err := os.Create(in("written"))
	harness.Check(t, err)
	defer open.Close()
	_, err = open.Write(harness.Noise(5000)) // not yet stored when others fail
	harness.Check(t, err)

	for _, name := range []string{"short", "size"} {
		if _, err := os.ReadFile(in(name)); !errors.Is(err, unix.EIO) {
			t.Errorf("reading %s: %v", name, err)
		}
		if err := writeSynced(in(name), harness.Noise(10)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	list, err := os.ReadDir(m.Dir)
	harness.Check(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(name, "graviton-malformed-name-") })
	if i < 0 || !slices.Contains(names, "sound") || !slices.Contains(names, "short") {
		t.Fatalf("listed %q", names)
	}
	harness.WantFile(t, harness.Noise(1000), m.Dir, names[i])
	harness.Check(t, os.Remove(in(names[i])))
	harness.Check(t, os.Remove(in("a/b/file")))
	harness.WantFile(t, harness.Noise(1000), m.Dir, "sound")
	harness.WantFile(t, harness.Noise(5000), m.Dir, "written")
	wantCommands(t, m)
	if m.PID() != pid || !harness.Mounted(m.Dir) {
		t.Error("the daemon is another one")
	}
}

// wantCommands runs what walks the volume.
func wantCommands(t *testing.T, m *harness.Mount) {
	t.Helper()
	if res := m.RunStore("fsck"); res.Code != 3 || !strings.Contains(res.Stdout, "directory-cycle: ") || !strings.Contains(res.Stdout, "damaged-record: ") {
		t.Errorf("%v", res)
	}
	if res := m.RunStore("compact"); res.Code == 0 || !strings.Contains(res.Stdout+res.Stderr, "met before") {
		t.Errorf("%v", res)
	}
	if res := m.Run("stat", filepath.Join(m.Dir, "far")); res.Code != 0 || !strings.Contains(res.Stdout, "@9223372036854775807.") {
		t.Errorf("%v", res)
	}
	file := filepath.Join(t.TempDir(), "dump")
	if res := m.Run("dump", file, m.Dir); res.Code != 1 || !strings.Contains(res.Stderr, "its size is") {
		t.Errorf("%v", res)
	}
	if res := m.RunStore("gc"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
