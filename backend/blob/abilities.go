package blob

import (
	"context"
	"io"
	"time"
)

// BatchDeleter is an optional ability of a Store that deletes many blobs with fewer requests.
type BatchDeleter interface {
	// DeleteBatch removes the blobs at once. Missing keys are no error. After an error some are gone and some aren't.
	DeleteBatch(ctx context.Context, keys []Key) error
}

// HotPutter is an optional ability of a Store that has storage classes, some of which can't be read at once.
type HotPutter interface {
	// PutHot is Put of what is to be readable at once, whatever the class of other blobs.
	PutHot(ctx context.Context, key Key, r io.ReaderAt, size int64, attr Attributes) error
}

// PutHot stores a blob by HotPutter where the store has it, else by Put.
func PutHot(ctx context.Context, s Store, key Key, r io.ReaderAt, size int64, attr Attributes) error {
	if h, ok := s.(HotPutter); ok {
		return h.PutHot(ctx, key, r, size, attr)
	}
	return s.Put(ctx, key, r, size, attr)
}

// PartLimiter is an optional ability of an Upload that takes only so many parts. A stream of unknown length completes
// its blob when it has put that many, and goes on in another one.
type PartLimiter interface {
	// MaxParts is the highest part number that PutPart takes.
	MaxParts() int
}

// PartCopier is an optional ability of an Upload whose store copies without the bytes passing through this process.
type PartCopier interface {
	// CopyPart makes part n of size bytes of another blob of the same store, from off. The rules of PutPart hold. A
	// blob that is missing is ErrNotFound, a range that it doesn't have in whole ErrInvalid. After ErrInvalid the caller
	// may put the part instead.
	CopyPart(ctx context.Context, n int, from Key, off, size int64) error
}

// DeleteAll deletes blobs of a store, with fewer requests where it can. Missing ones are no error. After an error some may
// be deleted.
func DeleteAll(ctx context.Context, s Store, keys []Key) error {
	if b, ok := s.(BatchDeleter); ok && len(keys) > 1 {
		return b.DeleteBatch(ctx, keys)
	}
	for _, key := range keys {
		if err := s.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// Strays is an optional ability of a Store that keeps the records of its blobs apart from their bytes. What is stored comes
// before its record, so a writer that dies in between leaves bytes that List doesn't yield. They are removed in two
// phases, so that one wrong look at either place removes nothing.
type Strays interface {
	// MarkStrays marks the bytes below a prefix that have no record and whose writer has ended, which ended tells, and
	// returns how many it found. It stops at the first error.
	MarkStrays(ctx context.Context, prefix []byte, ended func(ctx context.Context, key Key) (bool, error)) (int, error)
	// DropStrays removes what was marked at least grace ago and still has no record, and returns how many it removed.
	DropStrays(ctx context.Context, grace time.Duration) (int, error)
}
