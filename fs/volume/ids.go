package volume

import (
	"context"
	"sync"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// idRange is how many numbers a daemon takes from the volume at a time.
const idRange = 1 << 14

// ids hands out numbers that are never used twice in the volume: inode numbers and directory cookies.
//
// A range is taken by a transaction of its own and synced before its first number is used, so a number that was seen
// by anyone is not handed out again after a power loss. Safe for concurrent use.
type ids struct {
	ns   namespace.Store
	sync func(ctx context.Context) error

	mu        sync.Mutex
	next, end uint64
}

// take returns n consecutive numbers, the first of them.
func (s *ids) take(ctx context.Context, n uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end-s.next < n {
		if err := s.refill(ctx); err != nil {
			return 0, err
		}
	}
	first := s.next
	s.next += n
	return first, nil
}

func (s *ids) refill(ctx context.Context) error {
	var first uint64
	err := s.ns.Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		vol, err := namespace.Get[*namespace.Volume](tx, namespace.VolumeKey{})
		if err != nil {
			return err
		}
		first = vol.NextID
		vol.NextID += idRange
		tx.Put(vol)
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.sync(ctx); err != nil {
		return err
	}
	s.next, s.end = first, first+idRange
	return nil
}
