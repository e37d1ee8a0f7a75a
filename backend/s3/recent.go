package s3

import (
	"context"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/patience"
)

// recent remembers the blobs that this process stored a short time ago: on a store that is only eventually consistent
// a 404 for one of them isn't the truth yet.
type recent struct {
	settle time.Duration // how long a stored object may stay unseen

	mu    sync.Mutex
	keys  map[blob.Key]time.Time
	swept time.Time
}

const (
	maxSettle = time.Minute
	// maxRecent bounds the memory: above it the oldest knowledge is dropped, and a 404 is believed.
	maxRecent = 1 << 14
)

func (r *recent) add(key blob.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.keys == nil {
		r.keys = map[blob.Key]time.Time{}
	}
	if now.Sub(r.swept) > r.settle {
		for k, at := range r.keys {
			if now.Sub(at) > r.settle {
				delete(r.keys, k)
			}
		}
		r.swept = now
	}
	if len(r.keys) >= maxRecent {
		clear(r.keys)
	}
	r.keys[key] = now
}

func (r *recent) drop(key blob.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.keys, key)
}

func (r *recent) has(key blob.Key) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.keys[key]
	return ok && time.Since(at) < r.settle
}

// settled runs a read of a key again while it says that a blob stored just now is missing, within IOTimeout.
func settled[T any](ctx context.Context, s *Store, key blob.Key, read func() (T, error)) (T, error) {
	until := patience.Until(ctx, s.patience())
	for n := 1; ; n++ {
		v, err := read()
		if err == nil || !missing(err) || !s.recent.has(key) || time.Now().After(until) {
			return v, err
		}
		if err := sleep(ctx, backoff(n, false)); err != nil {
			return v, err
		}
	}
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
