package volume_test

import (
	"sync"
	"testing"

	"github.com/graviton-fs/graviton/backend/faults"
	"github.com/graviton-fs/graviton/backend/pg/pgtest"
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
