package volume

import (
	"context"
	"sync"
)

// budget bounds the written data that is held in memory. A writer takes before it adds, and waits while all is used;
// commits give back. Since a commit takes nothing, it always ends, and so do the waits.
type budget struct {
	limit uint64

	mu    sync.Mutex
	used  uint64
	freed chan struct{} // closed and renewed when something was given back
	low   chan struct{} // has a token while a writer waits
}

func newBudget(limit int64) *budget {
	if limit <= 0 {
		limit = 256 << 20
	}
	return &budget{limit: uint64(limit), freed: make(chan struct{}), low: make(chan struct{}, 1)}
}

// take adds n to what is used, waiting until it fits. A request larger than the limit fits when nothing else is used.
func (b *budget) take(ctx context.Context, n uint64) error {
	for {
		b.mu.Lock()
		if b.used == 0 || b.used+n <= b.limit {
			b.used += n
			b.mu.Unlock()
			return nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case b.low <- struct{}{}:
		default:
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release gives n bytes back.
func (b *budget) release(n uint64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	b.used -= n
	close(b.freed)
	b.freed = make(chan struct{})
	b.mu.Unlock()
}

// load returns what is used and the limit, in bytes.
func (b *budget) load() (used, limit uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used, b.limit
}
