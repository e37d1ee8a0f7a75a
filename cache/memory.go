package cache

import (
	"sync"

	"golang.org/x/sys/unix"
)

// memory is what pages are made of. It is used again: memory that is new costs a fault for each 4 KiB, which takes longer
// than a fast store needs to fill it.
type memory struct {
	mu   sync.Mutex
	free [][]byte
	made int // pages that there are, free or not
}

// take returns a page for the caller to fill and to give back.
func (m *memory) take() []byte {
	m.mu.Lock()
	if n := len(m.free); n > 0 {
		buf := m.free[n-1]
		m.free = m.free[:n-1]
		m.mu.Unlock()
		return buf
	}
	m.made++
	m.mu.Unlock()
	buf := make([]byte, PageSize)                   // large, so Go aligns it to a page of the kernel
	_ = unix.Madvise(buf, unix.MADV_POPULATE_WRITE) // all faults at once; Linux 5.14; slower without, not wrong
	return buf
}

func (m *memory) give(buf []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, buf[:PageSize])
}
