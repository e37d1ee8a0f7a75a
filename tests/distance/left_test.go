package distance

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestSaysWhatIsLeft unmounts at a distance at which not all can be cleaned up. The command and the log say so, and the
// next mount does it.
func TestSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	cfg, distance := database(t)
	m := harness.Start(t, cfg)
	harness.Check(t, os.WriteFile(filepath.Join(m.Dir, "kept"), []byte("data"), 0o644))
	dir := filepath.Join(m.Dir, "d")
	harness.Check(t, os.Mkdir(dir, 0o755))
	open := files(t, dir, 5000, 100)
	harness.Check(t, each(len(open), func(i int) error { return open[i].Sync() }))
	harness.Check(t, each(len(open), func(i int) error { return os.Remove(open[i].Name()) }))
	distance(1500 * time.Millisecond)
	harness.Check(t, closeAll(open)())
	begun := time.Now()
	res := m.Run("unmount", m.Dir)
	took := time.Since(begun)
	said := regexp.MustCompile(`Left to another daemon or the next mount: the space of \d+ unlinked files`)
	if res.Code != 0 || !said.MatchString(res.Stderr) || took > 90*time.Second {
		t.Errorf("after %v: %v", took, res)
	}
	if log := m.Logs(); !strings.Contains(log, "left to another daemon or the next mount") {
		t.Errorf("the log doesn't say what is left: %s", log)
	}
	distance(0)
	m.Mount()
	harness.WantFile(t, []byte("data"), m.Dir, "kept")
	allNamed(t, m)
}

// TestServerGone unmounts while the server doesn't answer: that ends too, and says that not all was stored.
func TestServerGone(t *testing.T) {
	t.Parallel()
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			cfg, distance := p.make(t)
			m := harness.Start(t, cfg.With("--set", "io-timeout=3s", "--set", "postgres.pool.connection-timeout=2s"))
			dir := filepath.Join(m.Dir, "d")
			harness.Check(t, os.Mkdir(dir, 0o755))
			open := files(t, dir, 40, 100)
			harness.Check(t, each(len(open), func(i int) error { return open[i].Sync() }))
			harness.Check(t, each(len(open), func(i int) error { return os.Remove(open[i].Name()) }))
			harness.Check(t, closeAll(open)())
			distance(gone)
			begun := time.Now()
			res := m.Run("unmount", m.Dir)
			if took := time.Since(begun); res.Code != 1 || !strings.Contains(res.Stderr, "not all was stored") || took > limit {
				t.Errorf("after %v: %v", took, res)
			}
			distance(0)
			harness.Soon(t, 30*time.Second, "the daemon's end", func() bool { return !harness.Mounted(m.Dir) })
		})
	}
}
