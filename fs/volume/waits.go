package volume

import (
	"sync"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// waits wakes those who wait for a lock on an inode.
type waits struct {
	mu sync.Mutex
	m  map[namespace.Ino]chan struct{}
}

// on returns a channel that is closed when the inode's locks change next.
func (w *waits) on(ino namespace.Ino) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch := w.m[ino]
	if ch == nil {
		ch = make(chan struct{})
		w.m[ino] = ch
	}
	return ch
}

func (w *waits) wake(ino namespace.Ino) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch := w.m[ino]; ch != nil {
		close(ch)
		delete(w.m, ino)
	}
}

func (w *waits) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ino, ch := range w.m {
		close(ch)
		delete(w.m, ino)
	}
}
