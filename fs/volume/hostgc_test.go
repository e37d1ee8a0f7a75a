package volume_test

import (
	"sync"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestHostsJoinDuringCollect has a daemon join while another one's gc lists the blobs, which may take minutes: that one is
// heard of meanwhile, and isn't taken for dead.
func TestHostsJoinDuringCollect(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	first := newHost(t, url, sharedConfig(t))
	first.put("f", pattern(100<<10, 1))
	in := faults.New()
	first.close()
	first.bs = faults.Blobs(first.bs, in)
	first.open()
	session := first.v.Session()
	lists, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in.FailIf(func(c faults.Call) error {
		if c.Op == "list" {
			once.Do(func() { close(lists) })
			<-goOn
		}
		return nil
	})
	collected := make(chan error, 1)
	go func() {
		_, err := first.v.Collect(ctx, 0, true)
		collected <- err
	}()
	<-lists
	second := newHost(t, url, sharedConfig(t)) // which waits until the first has seen it, or is dead
	must(t, second.v.Unlink(ctx, root, "f"))
	close(goOn)
	must(t, <-collected)
	if now := first.v.Session(); now != session {
		t.Errorf("the first daemon was taken for dead: session %016x, then %016x", session, now)
	}
}

// TestHostsLeaveDuringAppend has the other daemon append and leave while an append here waits for memory: it goes behind
// that one's.
func TestHostsLeaveDuringAppend(t *testing.T) {
	const budget = 1 << 20
	url := pgtest.Shared(t).Database(t).URL()
	cfg := sharedConfig(t, func(c *volume.Config) { c.Dirty = budget })
	first := newHost(t, url, cfg)
	in := faults.New()
	first.close()
	first.bs = faults.Blobs(first.bs, in)
	first.open()
	second := newHost(t, url, cfg)
	first.put("log", nil)
	large, log := first.create("large"), first.openFile("log")
	storing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in.FailIf(func(faults.Call) error {
		once.Do(func() { close(storing) })
		<-goOn
		return nil
	})
	first.write(large, 0, pattern(budget, 1))
	appended := make(chan error, 1)
	go func() { appended <- log.Write(ctx, 0, [][]byte{[]byte("line")}, volume.Written{Append: true}) }()
	<-storing
	other := second.openFile("log")
	must(t, other.Write(ctx, 0, [][]byte{[]byte("the other's ")}, volume.Written{Append: true}))
	second.done(other)
	second.close()
	second.gone = true
	eventually(t, "alone", first.v.IsAlone)
	close(goOn)
	must(t, <-appended)
	must(t, log.Sync(ctx))
	large.Release(ctx)
	log.Release(ctx)
	first.wantFile("log", []byte("the other's line"))
}

// TestHostsJoinAfterAppend has a daemon join while another one has appended data in memory that take long to store.
func TestHostsJoinAfterAppend(t *testing.T) {
	url := pgtest.Shared(t).Database(t).URL()
	cfg := sharedConfig(t)
	first := newHost(t, url, cfg)
	in := faults.New()
	first.close()
	first.bs = faults.Blobs(first.bs, in)
	first.open()
	session := first.v.Session()
	log, p := first.create("log"), pattern(100<<10, 1)
	must(t, log.Write(ctx, 0, [][]byte{p}, volume.Written{Append: true}))
	storing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in.FailIf(func(faults.Call) error {
		once.Do(func() { close(storing) })
		<-goOn
		return nil
	})
	go func() {
		<-storing // since the second daemon was noticed, which waits for it
		time.Sleep(2 * testLease)
		close(goOn)
	}()
	second := newHost(t, url, cfg)
	must(t, log.Sync(ctx))
	log.Release(ctx)
	second.wantFile("log", p)
	if now := first.v.Session(); now != session {
		t.Errorf("the first daemon was taken for dead: session %016x, then %016x", session, now)
	}
}

// TestHostsJoinDuringAppend has a daemon join while an append in another one waits for memory.
func TestHostsJoinDuringAppend(t *testing.T) {
	const budget = 1 << 20
	url := pgtest.Shared(t).Database(t).URL()
	cfg := sharedConfig(t, func(c *volume.Config) { c.Dirty = budget })
	first := newHost(t, url, cfg)
	in := faults.New()
	first.close()
	first.bs = faults.Blobs(first.bs, in)
	first.open()
	session := first.v.Session()
	large, log := first.create("large"), first.create("log")
	storing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	in.FailIf(func(faults.Call) error {
		once.Do(func() { close(storing) })
		<-goOn
		return nil
	})
	first.write(large, 0, pattern(budget, 1))
	appended := make(chan error, 1)
	go func() { appended <- log.Write(ctx, 0, [][]byte{[]byte("line")}, volume.Written{Append: true}) }()
	<-storing // for the append, which waits for that
	second := newHost(t, url, cfg)
	close(goOn)
	must(t, <-appended)
	must(t, log.Sync(ctx))
	large.Release(ctx)
	log.Release(ctx)
	second.wantFile("log", []byte("line"))
	if now := first.v.Session(); now != session {
		t.Errorf("the first daemon was taken for dead: session %016x, then %016x", session, now)
	}
}
