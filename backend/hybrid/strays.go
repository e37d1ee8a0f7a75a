package hybrid

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// strayBatch is how many objects are looked up, marked or removed at a time.
const strayBatch = 1000

// MarkStrays implements blob.Strays: the marks are in the database, so that any host removes what another one found.
//
// A marked key gets no row any more. A daemon that was taken for dead and isn't may have been about to write it: its row
// is refused, or was there before the mark, and then the mark is taken back before anything is removed.
func (s *Store) MarkStrays(
	ctx context.Context, prefix []byte, ended func(ctx context.Context, key blob.Key) (bool, error),
) (marked int, err error) {
	batch := make([]blob.Key, 0, strayBatch)
	for info, err := range s.cfg.Bucket.List(ctx, prefix) {
		if err != nil {
			return marked, err
		}
		if batch = append(batch, info.Key); len(batch) < strayBatch {
			continue
		}
		n, err := s.markBatch(ctx, batch, ended)
		marked += n
		if err != nil {
			return marked, err
		}
		batch = batch[:0]
	}
	n, err := s.markBatch(ctx, batch, ended)
	return marked + n, err
}

// markBatch marks those of some objects that have no row and whose writer has ended. Marking looks for the row once more:
// what a writer recorded before it ended is found then.
func (s *Store) markBatch(
	ctx context.Context, keys []blob.Key, ended func(ctx context.Context, key blob.Key) (bool, error),
) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	found, err := s.cfg.Rows.Backends(ctx, keys)
	if err != nil {
		return 0, err
	}
	var strays []blob.Key
	for _, key := range keys {
		// A blob of the database with the same key doesn't make the object anybody's, and is rare enough to be left alone.
		if _, ok := found[key]; ok {
			continue
		}
		over, err := ended(ctx, key)
		if err != nil {
			return 0, err
		}
		if over {
			strays = append(strays, key)
		}
	}
	if len(strays) == 0 {
		return 0, nil
	}
	return len(strays), s.cfg.Rows.MarkStrays(ctx, strays)
}

// DropStrays implements blob.Strays.
func (s *Store) DropStrays(ctx context.Context, grace time.Duration) (dropped int, err error) {
	for {
		keys, err := s.cfg.Rows.Strays(ctx, grace.Seconds(), strayBatch)
		if err != nil || len(keys) == 0 {
			return dropped, err
		}
		if err := blob.DeleteAll(ctx, s.cfg.Bucket, keys); err != nil {
			return dropped, err
		}
		if err := s.cfg.Rows.Unmark(ctx, keys); err != nil {
			return dropped, err
		}
		dropped += len(keys)
	}
}
