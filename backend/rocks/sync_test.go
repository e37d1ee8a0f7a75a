package rocks

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSyncReachesDisk counts the system calls.
func TestSyncReachesDisk(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: scripts/deps test installs it")
	}
	log := filepath.Join(t.TempDir(), "trace")
	cmd := child("sync", t.TempDir())
	cmd.Path, cmd.Args = strace, []string{"strace", "-f", "-e", "trace=fdatasync,fsync,write", "-o", log, os.Args[0]}
	if out, err := cmd.Output(); err != nil {
		t.Fatalf("strace doesn't work here: %v\n%s", err, out)
	}
	trace, err := os.ReadFile(log)
	check(t, err)
	_, rest, _ := strings.Cut(string(trace), `"BEGIN\n"`)
	between, _, ok := strings.Cut(rest, `"END\n"`)
	if !ok {
		t.Fatalf("no marks in the trace:\n%s", trace)
	}
	want := syncRounds
	if noSync {
		want = 0
	}
	if n := strings.Count(between, "fdatasync("); n != want {
		t.Errorf("%d syncs after %d transactions, want %d", n, syncRounds, want)
	}
}

// TestSyncShared has callers come while a sync runs: one more sync serves them all.
func TestSyncShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s syncer
		runs := 0
		s.init(func() error {
			runs++
			time.Sleep(time.Second)
			return nil
		}, func() {})
		var wg sync.WaitGroup
		caller := func() {
			s.wrote()
			if err := s.sync(context.Background()); err != nil {
				t.Error(err)
			}
		}
		wg.Go(caller)
		time.Sleep(time.Millisecond)
		for range 10 {
			wg.Go(caller)
		}
		wg.Wait()
		if runs != 2 {
			t.Errorf("%d syncs, want 2", runs)
		}
		if err := s.sync(context.Background()); err != nil || runs != 2 {
			t.Errorf("a sync of nothing: %v, %d runs", err, runs)
		}
	})
}

// TestSyncFails tells everyone whom it concerns, and tries again for the next.
func TestSyncFails(t *testing.T) {
	boom := errors.New("boom")
	var s syncer
	fail := true
	s.init(func() error {
		if fail {
			return boom
		}
		return nil
	}, func() {})
	s.wrote()
	for range 2 {
		if err := s.sync(context.Background()); !errors.Is(err, boom) {
			t.Errorf("error is %v", err)
		}
	}
	fail = false
	check(t, s.sync(context.Background()))
}

// TestSyncCovers wants each caller's write to be before the sync that it waited for.
func TestSyncCovers(t *testing.T) {
	var s syncer
	var log, disk atomic.Int64
	s.init(func() error {
		n := log.Load()
		time.Sleep(50 * time.Microsecond)
		disk.Store(n)
		return nil
	}, func() {})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				mine := log.Add(1)
				s.wrote()
				if err := s.sync(context.Background()); err != nil {
					t.Error(err)
				}
				if disk.Load() < mine {
					t.Error("sync returned too early")
				}
			}
		})
	}
	wg.Wait()
}
