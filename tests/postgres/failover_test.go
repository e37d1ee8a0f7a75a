package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/tests/harness"
)

// pair is a primary with a synchronous standby, and a volume that is mounted by the way to both.
type pair struct {
	primary, standby *pgtest.Server
	database         pgtest.Database
	m                *harness.Mount
}

func newPair(t *testing.T) pair {
	t.Helper()
	p := pair{primary: pgtest.Start(t, pgtest.Options{})}
	p.database = p.primary.Database(t)
	p.standby = p.primary.Standby(t)
	p.primary.SynchronousStandby(t)
	p.m = harness.Start(t, harness.InDatabase(t, p.database, fmt.Sprintf(
		"jdbc:postgresql://127.0.0.1:%d,127.0.0.1:%d/%s?target_session_attrs=read-write",
		p.primary.Port(), p.standby.Port(), p.database.Name), ""))
	return p
}

// failOver crashes the primary and makes the standby its successor.
func (p pair) failOver(t *testing.T) {
	t.Helper()
	harness.Check(t, p.primary.StopImmediate())
	p.standby.Promote(t)
}

func (p pair) path(name string) string { return filepath.Join(p.m.Dir, name) }

// synced are the names of what was synced, each a file with its name in it.
type synced struct {
	mu    sync.Mutex
	names []string
}

func (s *synced) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names)
}

// work makes directories and files in a directory and syncs them, until it is told to stop. What fails is left out.
func (s *synced) work(dir string, stop *atomic.Bool) {
	for i := 0; !stop.Load(); i++ {
		sub := filepath.Join(dir, fmt.Sprint("d", i))
		name := filepath.Join(sub, "f")
		if os.Mkdir(sub, 0o755) != nil || writeSynced(name, []byte(strings.Repeat(name, 1+i*37%500))) != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		s.names = append(s.names, name)
		s.mu.Unlock()
	}
}

// lost are the names that are not there, or not with what was written.
func (s *synced) lost() (list []string) {
	for _, name := range s.names {
		got, err := os.ReadFile(name)
		if err != nil || len(got) == 0 || strings.Repeat(name, len(got)/len(name)) != string(got) {
			list = append(list, fmt.Sprintf("%s: %d bytes, %v", name, len(got), err))
		}
	}
	return list
}

// TestFailover crashes the primary under work, and promotes the standby. The mount finds it by itself, and all that was
// synced is there.
func TestFailover(t *testing.T) {
	p := newPair(t)
	p.primary.WaitReplayed(t, p.standby) // so that it has the volume
	reader := harness.Start(t, at(t, p.database, p.standby).With("-o", "ro"))
	var done synced
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 4 {
		dir := p.path(fmt.Sprint("w", i))
		harness.Check(t, os.Mkdir(dir, 0o755))
		wg.Go(func() { done.work(dir, &stop) })
	}
	harness.Soon(t, time.Minute, "synced files", func() bool { return done.count() >= 60 })
	p.failOver(t)
	before, begin := done.count(), time.Now()
	harness.Soon(t, time.Minute, "work after the failover", func() bool { return done.count() >= before+50 })
	t.Logf("%d files were synced before the failover, 50 more %v after it", before, time.Since(begin))
	stop.Store(true)
	wg.Wait()
	if lost := done.lost(); len(lost) > 0 {
		t.Errorf("%d of %d synced files are lost: %q", len(lost), len(done.names), lost)
	}
	for _, name := range []string{done.names[0], done.names[len(done.names)-1]} {
		rel, err := filepath.Rel(p.m.Dir, name)
		harness.Check(t, err)
		harness.Soon(t, 2*time.Second, "the files by the mount of what was the standby", func() bool {
			st, err := os.Stat(filepath.Join(reader.Dir, rel))
			return err == nil && st.Size() > 0
		})
	}
	if res := p.m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	p.m.Remount()
	if lost := done.lost(); len(lost) > 0 {
		t.Errorf("after another mount %d of %d synced files are lost: %q", len(lost), len(done.names), lost)
	}
}

// TestFailoverLosesUnsynced has the standby miss what was closed but not synced. After the failover the mount shows what
// there is, whatever the kernel has in its cache, and says once that something was lost.
func TestFailoverLosesUnsynced(t *testing.T) {
	p := newPair(t)
	harness.Check(t, writeSynced(p.path("f"), []byte("old")))
	harness.Check(t, p.standby.Stop())
	harness.Check(t, os.WriteFile(p.path("f"), []byte("new"), 0o644))
	harness.Check(t, os.WriteFile(p.path("gone"), []byte("gone"), 0o644))
	f, err := os.Open(p.path("f"))
	harness.Check(t, err)
	defer f.Close()
	gone, err := os.Open(p.path("gone"))
	harness.Check(t, err)
	defer gone.Close()
	if !holds(p.path("f"), "new") || !holds(p.path("gone"), "gone") {
		t.Fatal("the mount doesn't show what was written")
	}
	harness.Check(t, p.primary.StopImmediate())
	harness.Check(t, p.standby.Start())
	p.standby.Promote(t)
	took := harness.Soon(t, 30*time.Second, "what the new primary has", func() bool {
		_, err := os.Stat(p.path("gone"))
		return holds(p.path("f"), "old") && os.IsNotExist(err)
	})
	t.Logf("the caches were dropped %v after the promotion", took)
	buf := make([]byte, 3)
	// Open files have their pages in the kernel, which are dropped once the daemon was told of the loss.
	harness.Soon(t, 5*time.Second, "the old text in the open file", func() bool {
		n, _ := f.ReadAt(buf, 0)
		return string(buf[:n]) == "old"
	})
	harness.Soon(t, 5*time.Second, "an error of the open file that is gone", func() bool {
		_, err := gone.ReadAt(buf, 0)
		return err != nil
	})
	if err := unix.Fsync(int(f.Fd())); err == nil {
		t.Error("fsync after the failover succeeds, though something may be lost")
	}
	harness.Soon(t, 5*time.Second, "a sync that succeeds", func() bool { return writeSynced(p.path("f"), []byte("newer")) == nil })
	if !holds(p.path("f"), "newer") {
		t.Error("the mount doesn't show what was written after the failover")
	}
	if res := p.m.RunStore("fsck"); res.Code != 0 {
		t.Errorf("%v", res)
	}
}
