package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// smallDisk puts a database's tables on a disk of their own, of which a file holds a part back. It returns that file.
func smallDisk(t *testing.T, s *pgtest.Server, d pgtest.Database, disk *harness.LoopFS) (ballast string) {
	t.Helper()
	space := filepath.Join(disk.Dir, "space")
	harness.Check(t, os.Mkdir(space, 0o755))
	var owner unix.Stat_t
	harness.Check(t, unix.Stat(s.DataDir(), &owner))
	harness.Check(t, os.Chown(space, int(owner.Uid), int(owner.Gid)))
	s.Exec(t, "postgres", "CREATE TABLESPACE small LOCATION '"+space+"'", "ALTER DATABASE "+d.Name+" SET TABLESPACE small")
	ballast = filepath.Join(disk.Dir, "ballast")
	harness.Check(t, writeSynced(ballast, make([]byte, 24<<20)))
	return ballast
}

// TestServerDiskFull fills the disk under the database's tables. The program gets ENOSPC, the mount lives, nothing that
// was acknowledged is lost, and once there is space again it goes on by itself.
func TestServerDiskFull(t *testing.T) {
	disk := harness.NewLoopFS(t, 96<<20, "")
	s := pgtest.Start(t, pgtest.Options{})
	d := s.Database(t)
	ballast := smallDisk(t, s, d, disk)
	m := harness.Start(t, at(t, d, s))
	sizes := []int{100, 3_000, 40_000, 1_500_000, 5_000_000}
	kept := map[string][]byte{}
	random := rand.NewChaCha8([32]byte{7})
	var full error
	for i := 0; full == nil; i++ {
		if i == 1000 {
			t.Fatal("the disk doesn't get full")
		}
		data := make([]byte, sizes[i%len(sizes)])
		_, _ = random.Read(data) // never fails
		name := filepath.Join(m.Dir, fmt.Sprint("f", i))
		if full = writeSynced(name, data); full == nil {
			kept[name] = data
		}
	}
	if !errors.Is(full, unix.ENOSPC) {
		t.Errorf("a full disk is %v, want %v", full, unix.ENOSPC)
	}
	t.Logf("%d files were synced before %v", len(kept), full)
	intact := func(when string) {
		t.Helper()
		for name, want := range kept {
			if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %s has %d bytes, %v; want %d", when, name, len(got), err, len(want))
			}
		}
	}
	intact("full")
	for i := range 5 {
		if err := writeSynced(filepath.Join(m.Dir, fmt.Sprint("more", i)), make([]byte, 2_000_000)); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("another write on the full disk: %v, want %v", err, unix.ENOSPC)
		}
	}
	harness.Check(t, os.Remove(ballast))
	last := filepath.Join(m.Dir, "last")
	kept[last] = bytes.Repeat([]byte("last"), 500_000)
	took := harness.Soon(t, 30*time.Second, "a write after space was freed", func() bool { return writeSynced(last, kept[last]) == nil })
	t.Logf("written %v after space was freed", took)
	harness.Check(t, os.Remove(filepath.Join(m.Dir, "f4")))
	delete(kept, filepath.Join(m.Dir, "f4"))
	intact("space again")
	if res := m.RunStore("fsck", "--data"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	m.Remount()
	intact("another mount")
	if log := s.Log(); strings.Contains(log, "PANIC") {
		t.Errorf("the server's log: %s", log)
	}
}
