package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// move dumps a volume, mounted or not, and loads it into an empty store, which it mounts.
func move(t *testing.T, from *harness.Mount, to harness.Config) *harness.Mount {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump")
	if res := from.Run(append(append([]string{"dump"}, from.Set()...), file)...); res.Code != 0 {
		t.Fatalf("%v", res)
	}
	m := harness.New(t, to)
	if res := m.Run(append(append([]string{"load"}, m.Set()...), file)...); res.Code != 0 {
		t.Fatalf("%v", res)
	}
	m.Mount()
	return m
}

// TestMove takes a volume with small files from RocksDB to PostgreSQL and, while that is in use, back.
func TestMove(t *testing.T) {
	const files = 50
	check := func(m *harness.Mount) {
		t.Helper()
		for i := range files {
			harness.WantFile(t, harness.Noise(100*i), m.Dir, fmt.Sprint(i))
		}
		harness.WantFile(t, harness.Noise(100), m.Dir, "d", "link")
		var value [10]byte
		if n, err := unix.Getxattr(filepath.Join(m.Dir, "1"), "user.a", value[:]); err != nil || string(value[:n]) != "b" {
			t.Errorf("the attribute is %q, %v", value[:max(n, 0)], err)
		}
		if res := m.RunStore("fsck", "--data"); res.Code != 0 {
			t.Errorf("%v", res)
		}
	}
	m := harness.Start(t, harness.Config{})
	for i := range files {
		harness.Write(t, harness.Noise(100*i), m.Dir, fmt.Sprint(i))
	}
	harness.Check(t, os.Mkdir(filepath.Join(m.Dir, "d"), 0o755))
	harness.Check(t, os.Link(filepath.Join(m.Dir, "1"), filepath.Join(m.Dir, "d/link")))
	harness.Check(t, unix.Setxattr(filepath.Join(m.Dir, "1"), "user.a", []byte("b"), 0))
	m.Unmount() // else the mount in PostgreSQL waits for the session that is in the dump to be taken for dead
	there := move(t, m, harness.OnServer(t, pgtest.Shared(t), ""))
	check(there)
	harness.Write(t, harness.Noise(10), there.Dir, "new")
	open, err := os.Open(filepath.Join(there.Dir, "new"))
	harness.Check(t, err)
	defer open.Close()
	harness.Check(t, unix.Flock(int(open.Fd()), unix.LOCK_EX))
	back := move(t, there, harness.Config{})
	check(back)
	harness.WantFile(t, harness.Noise(10), back.Dir, "new")
}
