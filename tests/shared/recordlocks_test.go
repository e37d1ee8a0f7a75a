package shared

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/tests/harness"
)

// recordLocks builds the program that locks, and returns its path.
func recordLocks(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(harness.TempDir(t), "recordlocks")
	out, err := exec.Command("gcc", "-O1", "-Wall", "-Werror", "-o", bin, "testdata/recordlocks.c").CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	return bin
}

// TestRecordLocks has processes lock a file again after they, or a child that inherited it, closed it. It is first done on
// a local disk, which says what is right.
func TestRecordLocks(t *testing.T) {
	t.Parallel()
	bin := recordLocks(t)
	check := func(t *testing.T, file, other string) {
		t.Helper()
		for _, args := range [][]string{{"inherit", file, other}, {"loop", file, other, "300"}} {
			if out, err := exec.Command(bin, args...).CombinedOutput(); err != nil {
				t.Errorf("recordlocks %s: %v: %s locks were lost", args[0], err, out)
			}
		}
	}
	local := filepath.Join(harness.TempDir(t), "f")
	harness.Check(t, os.WriteFile(local, nil, 0o644))
	check(t, local, local)
	two(t, func(t *testing.T, a, b *harness.Mount) {
		harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "f"), nil, 0o644))
		check(t, filepath.Join(a.Dir, "f"), filepath.Join(b.Dir, "f"))
	})
}

// TestManyRecordLocks sets so many locks of one process that a cost which grows with their number would show.
func TestManyRecordLocks(t *testing.T) {
	t.Parallel()
	bin := recordLocks(t)
	harness.EachShared(t, func(t *testing.T, on harness.Backend) {
		m := harness.Start(t, on.Config(t))
		harness.Check(t, os.WriteFile(filepath.Join(m.Dir, "f"), nil, 0o644))
		begun := time.Now()
		out, err := exec.Command(bin, "many", filepath.Join(m.Dir, "f"), "5000").CombinedOutput()
		took := time.Since(begun)
		t.Logf("5000 locks: %v", took)
		if err != nil || took > 20*time.Second {
			t.Errorf("after %v: %v: %s", took, err, out)
		}
	})
}
