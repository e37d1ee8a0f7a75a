package shared

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/tests/harness"
)

// wantRefused wants a mount refused with a message that names who has the volume.
func wantRefused(t *testing.T, m *harness.Mount, how string, holder int) {
	t.Helper()
	res := m.TryMount()
	host, err := os.Hostname()
	harness.Check(t, err)
	for _, part := range []string{host, fmt.Sprintf("process %d", holder), how + " since 20", "unmount it there"} {
		if res.Code != 1 || !strings.Contains(res.Stderr, part) {
			t.Fatalf("mount: %v, want a refusal that says %q", res, part)
		}
	}
}

// TestExclusive keeps one of two daemons out of a volume that the other wants for itself, whichever was first.
func TestExclusive(t *testing.T) {
	t.Parallel()
	harness.EachShared(t, testExclusive)
}

func testExclusive(t *testing.T, on harness.Backend) {
	cfg := on.Config(t)
	alone := cfg
	alone.Args = []string{"-o", "exclusive"}
	a, second := harness.Start(t, alone), harness.New(t, alone)
	shared := harness.New(t, cfg)
	wantRefused(t, second, "has it for itself", a.PID())
	wantRefused(t, shared, "has it for itself", a.PID())
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "f"), []byte("alone"), 0o644))
	a.Unmount()
	shared.Mount()
	wantRefused(t, second, "shares it", shared.PID())
	if got, err := os.ReadFile(filepath.Join(shared.Dir, "f")); err != nil || string(got) != "alone" {
		t.Fatalf("%q, %v", got, err)
	}
	shared.Kill()
	second.Mount() // at once: its process is known to have ended
}

// TestExclusiveExpires has a daemon be silent for longer than its lease. Another gets the volume, and the first one
// changes nothing any more when it comes back.
func TestExclusiveExpires(t *testing.T) {
	t.Parallel()
	harness.EachShared(t, testExclusiveExpires)
}

func testExclusiveExpires(t *testing.T, on harness.Backend) {
	cfg := on.Config(t)
	cfg.Args = []string{"-o", "exclusive"}
	a, b := harness.Start(t, cfg), harness.New(t, cfg)
	harness.Check(t, os.WriteFile(filepath.Join(a.Dir, "before"), []byte("a"), 0o644))
	harness.Check(t, syscall.Kill(a.PID(), syscall.SIGSTOP))
	begin := time.Now()
	for b.TryMount().Code != 0 {
		if time.Since(begin) > 2*time.Minute {
			t.Fatal("a silent daemon keeps the volume")
		}
	}
	harness.Check(t, os.WriteFile(filepath.Join(b.Dir, "f"), []byte("b"), 0o644))
	harness.Check(t, syscall.Kill(a.PID(), syscall.SIGCONT))
	if err := os.WriteFile(filepath.Join(a.Dir, "f"), []byte("a"), 0o644); err == nil {
		t.Error("the daemon that lost the volume writes to it")
	}
	if err := os.Remove(filepath.Join(a.Dir, "before")); err == nil {
		t.Error("the daemon that lost the volume removes files")
	}
	for name, want := range map[string]string{"before": "a", "f": "b"} {
		if got, err := os.ReadFile(filepath.Join(b.Dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	a.Kill() // it can't store what it was asked to, and says so at an unmount
}
