package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// A file of few extents has them in memory while it is open, so that a read of what is stored begins with its data.
const (
	layoutMax    = 16       // extents
	layoutInline = 64 << 10 // bytes of inline data
	layoutShared = time.Second
)

// layout is all committed extents of a file, if they are few. It holds until the next commit ends; where other daemons
// change the volume, also until this one hears of that, or for a second.
type layout struct {
	known   bool
	few     bool // list is all of them
	commits uint64
	epoch   uint64
	at      time.Time
	list    []*namespace.Extent // not to be changed
}

// extents returns the committed extents that touch the bytes from lo up to hi; with fresh, as they are now.
func (n *node) extents(ctx context.Context, lo, hi uint64, fresh bool) ([]*namespace.Extent, error) {
	n.mu.Lock()
	l, commits, epoch := n.layout, n.commits, n.epoch
	n.mu.Unlock()
	valid := l.known && l.commits == commits && !fresh
	if n.v.cfg.Shared { // a commit of another daemon doesn't count here
		valid = valid && l.epoch == epoch && time.Since(l.at) < layoutShared
	}
	switch {
	case valid && l.few:
		return touching(l.list, lo, hi), nil
	case valid || n.v.cfg.Shared:
		return n.v.extents(ctx, n.ino, lo, hi)
	}
	l = layout{known: true, commits: commits}
	want := namespace.Want{Extents: []namespace.RangeWant{{Ino: n.ino, First: layoutMax + 1}}}
	err := n.v.ns.View(ctx, want, func(tx namespace.Tx) error {
		return l.load(tx, n.ino)
	})
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	if n.commits == commits {
		n.layout = l
	}
	n.mu.Unlock()
	if l.few {
		return touching(l.list, lo, hi), nil
	}
	return n.v.extents(ctx, n.ino, lo, hi)
}

// load reads the extents, or notes that they are many.
func (l *layout) load(tx namespace.Tx, ino namespace.Ino) error {
	l.list, l.few = nil, true
	inline := 0
	for x, err := range namespace.Scan[*namespace.Extent](tx, namespace.ExtentKey{Ino: ino, End: 1}, layoutMax+1) {
		if err != nil {
			return err
		}
		if x.IsInline() {
			inline += int(x.Len)
		}
		if len(l.list) == layoutMax || inline > layoutInline {
			l.list, l.few = nil, false
			return nil
		}
		l.list = append(l.list, x)
	}
	return nil
}

// touching picks those of a list that touch the bytes from lo up to hi.
func touching(list []*namespace.Extent, lo, hi uint64) []*namespace.Extent {
	first := 0
	for first < len(list) && list[first].End() <= lo {
		first++
	}
	last := first
	for last < len(list) && list[last].Off < hi {
		last++
	}
	return list[first:last:last]
}
