package volume_test

import (
	"testing"

	"github.com/graviton-fs/graviton/fs/volume"
)

// TestHostsCompact compacts a file in one daemon while others have it open, read it and write to it.
func TestHostsCompact(t *testing.T) {
	hosts := newHosts(t, 2, func(cfg *volume.Config) { cfg.InlineMax = 512 })
	a, b := hosts[0], hosts[1]
	all := a.fragments("f", 300, 1000)
	h := a.openFile("f")
	a.want(h, all)
	before := a.lookup("f")
	b.wantCompacted(b.compact("f", lazily), volume.Compacted{Files: 1, Before: 300, After: 1, Rewritten: 300_000, Freed: 300_000})
	a.want(h, all)
	if after := a.lookup("f"); *after != *before {
		t.Errorf("the inode was %+v and is %+v", before, after)
	}
	_, err := b.v.Collect(ctx, 0, false)
	must(t, err)
	a.want(h, all)
	a.done(h)
	if n := len(a.extents("f")); n != 1 {
		t.Errorf("%d extents", n)
	}

	// The other daemon goes on writing: whatever comes first, nothing is lost.
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			w := a.openFile("f")
			p := pattern(1000, byte(i))
			off := i * 3500 % len(all)
			a.write(w, uint64(off), p[:min(1000, len(all)-off)])
			copy(all[off:], p)
			a.done(w)
		}
	}()
	var sum volume.Compacted
	for range 15 {
		sum.Add(b.compact("f", eagerly))
	}
	close(stop)
	<-done
	t.Logf("%+v", sum)
	b.wantFile("f", all)
	a.wantFile("f", all)
}
