package crash

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/tests/harness"
)

// TestCrashIsLogged ends a daemon in the way in which a fault of its own does: the log says where it was.
func TestCrashIsLogged(t *testing.T) {
	m := harness.Start(t, harness.Config{})
	pid := m.PID()
	harness.Check(t, syscall.Kill(pid, syscall.SIGABRT))
	harness.Soon(t, 30*time.Second, "the end of the daemon in its log", func() bool {
		log, err := os.ReadFile(filepath.Join(m.State, "log", "graviton.log"))
		harness.Check(t, err)
		return bytes.Contains(log, []byte("SIGABRT")) && bytes.Contains(log, []byte("goroutine "))
	})
	m.Detach()
	m.Mount()
}
