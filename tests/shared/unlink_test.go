package shared

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestUnlinkKeepsUp has eight writers, half of them on each mount, make files and unlink them while they are open. What they
// leave doesn't pile up, and the daemons keep to their memory.
func TestUnlinkKeepsUp(t *testing.T) { two(t, testUnlinkKeepsUp) }

func testUnlinkKeepsUp(t *testing.T, a, b *harness.Mount) {
	const writers, rounds, files = 8, 5, 100
	data := harness.Noise(9000)
	var g errgroup.Group
	for w := range writers {
		dir := filepath.Join([]*harness.Mount{a, b}[w%2].Dir, fmt.Sprint("w", w))
		harness.Check(t, os.Mkdir(dir, 0o755))
		g.Go(func() error {
			for range rounds {
				if err := unlinkOpen(dir, files, data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	begun := time.Now()
	harness.Check(t, g.Wait())
	worked := time.Since(begun)
	took := harness.Soon(t, 20*time.Second+worked, "the end of unlinked files", func() bool { return inodes(t, a) == writers+1 })
	t.Logf("%d files in %v, the last were removed %v later", writers*rounds*files, worked, took)
	const budget = (512 + 256 + 150) << 20
	for _, m := range []*harness.Mount{a, b} {
		if peak := peakMemory(t, m.PID()); peak > budget {
			t.Errorf("%d MB of memory, more than %d", peak>>20, budget>>20)
		}
	}
}

// unlinkOpen makes files, unlinks them, and closes them all at the end.
func unlinkOpen(dir string, n int, data []byte) error {
	for i := range n {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
	}
	return nil
}

// inodes is how many the volume has.
func inodes(t *testing.T, m *harness.Mount) int {
	t.Helper()
	var status struct{ Inodes int }
	res := m.Run("status", "--json", m.Dir)
	if err := json.Unmarshal([]byte(res.Stdout), &status); err != nil {
		t.Fatalf("%v: %v", err, res)
	}
	return status.Inodes
}

// peakMemory is the most that a process had resident, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	harness.Check(t, err)
	kb := regexp.MustCompile(`VmHWM:\s*(\d+) kB`).FindSubmatch(status)
	if kb == nil {
		t.Fatalf("no VmHWM in %s", status)
	}
	n, err := strconv.Atoi(string(kb[1]))
	harness.Check(t, err)
	return n << 10
}
