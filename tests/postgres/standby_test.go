// Package postgres tests a mounted volume against what happens to its PostgreSQL server: a standby, a failover, a full
// disk, a restore.
package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// holds reports whether a file has this content.
func holds(path, want string) bool {
	got, err := os.ReadFile(path)
	return err == nil && string(got) == want
}

// writeSynced makes a file and syncs it.
func writeSynced(path string, data []byte) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// at is the configuration of a volume on one server.
func at(t *testing.T, d pgtest.Database, s *pgtest.Server) harness.Config {
	return harness.InDatabase(t, d, fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", s.Port(), d.Name), "")
}

// TestStandby mounts a standby read-only while the primary is written to: it shows what the primary has, soon, and asks
// the standby for nothing that it refuses.
func TestStandby(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{})
	d := primary.Database(t)
	w := harness.Start(t, at(t, d, primary))
	harness.Check(t, os.WriteFile(filepath.Join(w.Dir, "old"), []byte("old"), 0o644))
	big := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	harness.Check(t, writeSynced(filepath.Join(w.Dir, "big"), big))
	standby := primary.Standby(t)
	r := harness.Start(t, at(t, d, standby).With("-o", "ro"))
	in := func(name string) string { return filepath.Join(r.Dir, name) }
	if got, err := os.ReadFile(in("big")); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(big))
	}
	f, err := os.Open(in("old")) // stays open, with what it has in the kernel's cache
	harness.Check(t, err)
	if !holds(in("old"), "old") {
		t.Error("the standby doesn't have the file that the primary had")
	}
	var slowest time.Duration
	for i := range 3 {
		text := fmt.Sprint("new", i)
		harness.Check(t, os.WriteFile(filepath.Join(w.Dir, "old"), []byte(text), 0o644))
		harness.Check(t, os.Rename(filepath.Join(w.Dir, "big"), filepath.Join(w.Dir, "big2")))
		harness.Check(t, os.Rename(filepath.Join(w.Dir, "big2"), filepath.Join(w.Dir, "big")))
		harness.Check(t, os.Mkdir(filepath.Join(w.Dir, text), 0o755))
		slowest = max(slowest, harness.Soon(t, 2*time.Second, "a new directory on the standby", func() bool {
			st, err := os.Stat(in(text))
			return err == nil && st.IsDir()
		}))
		slowest = max(slowest, harness.Soon(t, 2*time.Second, "new data in a file that is open on the standby", func() bool {
			p := make([]byte, 4)
			n, _ := f.ReadAt(p, 0)
			return string(p[:n]) == text
		}))
	}
	t.Logf("a change was seen on the standby after %v at most", slowest)
	for what, err := range map[string]error{
		"write": os.WriteFile(in("mine"), nil, 0o644), "rename": os.Rename(in("old"), in("x")), "remove": os.Remove(in("old")),
	} {
		if !errors.Is(err, unix.EROFS) {
			t.Errorf("%s: %v, want %v", what, err, unix.EROFS)
		}
	}
	if res := r.Run("status", r.Dir); res.Code != 0 {
		t.Errorf("%v", res)
	}
	harness.Check(t, f.Close())
	r.Unmount()
	if log := standby.Log(); strings.Contains(log, "ERROR") {
		t.Errorf("the standby was asked for something that it refused: %s", log)
	}
	if logs := r.Logs(); strings.Contains(logs, "level=WARN") || strings.Contains(logs, "level=ERROR") {
		t.Errorf("the log of the mount: %s", logs)
	}
}
