package cache

import (
	"sync"
	"sync/atomic"

	"github.com/graviton-fs/graviton/backend/blob"
)

// gone are the keys of deleted blobs whose pages may still be in memory. Looking through all pages at every deletion
// would be slow, so that is done once for many keys, or when one of them is used again.
type gone struct {
	count atomic.Int64 // of m, so that readers needn't lock while there is none
	mu    sync.RWMutex
	m     map[blob.Key]struct{}
}

// maxGone is how many keys are gathered before the pages are looked through.
const maxGone = 4096

// add notes a key and reports whether it is time to purge.
func (g *gone) add(key blob.Key) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = map[blob.Key]struct{}{}
	}
	g.m[key] = struct{}{}
	g.count.Store(int64(len(g.m)))
	return len(g.m) >= maxGone
}

func (g *gone) has(key blob.Key) bool {
	if g.count.Load() == 0 {
		return false
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, ok := g.m[key]
	return ok
}

// reuse makes sure that no page of a deleted blob of that key is left.
func (s *Store) reuse(key blob.Key) {
	if s.gone.has(key) {
		s.purge()
	}
}

// purge drops the pages of all deleted blobs.
func (s *Store) purge() {
	s.gone.mu.Lock()
	defer s.gone.mu.Unlock()
	s.pages.purge(func(id pageID) bool {
		_, ok := s.gone.m[id.key]
		return ok
	})
	for key := range s.gone.m {
		s.readers.Remove(key)
	}
	clear(s.gone.m)
	s.gone.count.Store(0)
}
