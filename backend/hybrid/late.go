package hybrid

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Waits between two looks for an object that isn't there yet.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = 2 * time.Second
)

// errMissing is an object that a row names and the bucket doesn't have.
var errMissing = errors.New("the database has its row, and the object is missing")

// arrived runs a read of a blob's bytes in a store, again while the object is missing whose row is there, for as long as
// the configuration has patience with a bucket that lags behind the database. Once that is over, each read looks once.
func arrived[T any](ctx context.Context, s *Store, key blob.Key, backend string, read func() (T, error)) (T, error) {
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		v, err := read()
		err = s.vanished(ctx, key, backend, err)
		if s.cfg.Patience == 0 || !errors.Is(err, errMissing) {
			if err == nil {
				s.late.Remove(key)
			}
			return v, err
		}
		since := s.missingSince(key)
		left := s.cfg.Patience - time.Since(since)
		if left <= 0 {
			return v, fmt.Errorf("%w; it is awaited since %s: the bucket may be a replica that lags", err, since.Format(time.TimeOnly))
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(min(wait, left)):
		}
	}
}

// missingSince is when an object was found missing first.
func (s *Store) missingSince(key blob.Key) time.Time {
	now := time.Now()
	if since, ok, _ := s.late.PeekOrAdd(key, now); ok {
		return since
	}
	return now
}
