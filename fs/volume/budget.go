package volume

import (
	"context"
	"slices"
	"sync"
)

// budget bounds the written data that is held in memory. A writer takes before it adds, and waits while all is used;
// commits give back. Since a commit takes nothing, it always ends, and so do the waits.
//
// Writers are served in the order in which they came, so that a large write isn't overtaken for ever by small ones.
type budget struct {
	limit uint64

	mu    sync.Mutex
	used  uint64
	queue []*waiter
	low   chan struct{} // has a token while a writer may be waiting
}

// waiter is a writer that waits for n bytes.
type waiter struct {
	n       uint64
	granted chan struct{} // closed when it has them
}

func newBudget(limit int64) *budget {
	if limit <= 0 {
		limit = 256 << 20
	}
	return &budget{limit: uint64(limit), low: make(chan struct{}, 1)}
}

// take adds n to what is used, waiting until it fits. A request larger than the limit fits when nothing else is used.
func (b *budget) take(ctx context.Context, n uint64) error {
	b.mu.Lock()
	if len(b.queue) == 0 && b.fits(n) {
		b.used += n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n: n, granted: make(chan struct{})}
	b.queue = append(b.queue, w)
	b.wake()
	b.mu.Unlock()
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.queue, w); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	} else {
		b.used -= n // granted meanwhile
	}
	b.grant()
	return ctx.Err()
}

// release gives n bytes back. A writer that gives nothing back calls it too, once the bytes that it took can be
// committed: until then nobody could make room with them.
func (b *budget) release(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.grant()
}

// grant serves the writers whose turn it is, and asks for room for those that still wait. The caller holds mu.
func (b *budget) grant() {
	for len(b.queue) > 0 && b.fits(b.queue[0].n) {
		w := b.queue[0]
		b.queue = b.queue[1:]
		b.used += w.n
		close(w.granted)
	}
	b.wake()
}

func (b *budget) fits(n uint64) bool { return b.used == 0 || b.used+n <= b.limit }

// wake leaves a token if someone waits. The caller holds mu.
func (b *budget) wake() {
	if len(b.queue) == 0 {
		return
	}
	select {
	case b.low <- struct{}{}:
	default:
	}
}

// short reports that a writer waits or that more than half is used.
func (b *budget) short() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) > 0 || b.used > b.limit/2
}

// load returns what is used and the limit, in bytes.
func (b *budget) load() (used, limit uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.limit
}
