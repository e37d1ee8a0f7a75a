package rocks

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	spaceMaxAge     = 200 * time.Millisecond // of a look at the file system
	maxReserve      = 256 << 20
	lowSpace        = 64 << 20 // beyond the reserve
	defaultFraction = 32
)

// space keeps a reserve of the file system free. It looks at the file system at most every spaceMaxAge, or when what
// was written since might have used up what it saw.
type space struct {
	path     string
	reserve  int64
	buffered func() int64 // bytes that will be written once more

	left    atomic.Int64 // what may still be written; counted down between two looks
	refused atomic.Bool
	expires atomic.Int64 // when the last look is too old, in Unix nanoseconds
	mu      sync.Mutex
}

func (s *space) init(path string, reserve int64, buffered func() int64) {
	s.path, s.buffered = path, buffered
	s.reserve = max(reserve, 0)
	if reserve == 0 {
		if total, _, err := statfs(path); err == nil {
			s.reserve = min(total/defaultFraction, maxReserve)
		}
	}
}

// grow asks to write n more bytes.
func (s *space) grow(n int64) error {
	if s.left.Add(-n) >= 0 && time.Now().UnixNano() < s.expires.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	total, free, err := statfs(s.path)
	if err != nil {
		return fmt.Errorf("look for free space: %w", err)
	}
	// A memtable goes to disk a second time before its log is dropped.
	left := free - s.reserve - s.buffered()
	s.left.Store(left - n)
	s.expires.Store(time.Now().Add(spaceMaxAge).UnixNano())
	if left < n {
		s.refused.Store(true)
		return &engineError{kindNoSpace, fmt.Sprintf("%d of %d bytes are free, of which %d are kept for deletions "+
			"and %d for data not yet written out", free, total, s.reserve, s.buffered())}
	}
	return nil
}

// low reports whether little more than the reserve was left when last looked at.
func (s *space) low() bool { return s.left.Load() < max(s.reserve, lowSpace) }

// wasShort reports whether something was refused since the last call.
func (s *space) wasShort() bool { return s.refused.Swap(false) }

func statfs(path string) (total, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}
