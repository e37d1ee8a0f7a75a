package volume

import (
	"context"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
)

// dropStrays removes bytes that the blob store has no record of and that were marked for grace.
func (v *Volume) dropStrays(ctx context.Context, grace time.Duration, sum *Collected) error {
	st, ok := v.blobs.(blob.Strays)
	if !ok {
		return nil
	}
	if err := v.writable(ctx); err != nil {
		return err
	}
	n, err := st.DropStrays(ctx, grace)
	sum.Strays += n
	sum.Unknown += n
	return err
}

// markStrays marks the bytes below a prefix of which the blob store has no record and whose session has ended.
func (v *Volume) markStrays(ctx context.Context, prefix []byte) (int, error) {
	st, ok := v.blobs.(blob.Strays)
	if !ok {
		return 0, nil
	}
	return st.MarkStrays(ctx, prefix, func(ctx context.Context, key blob.Key) (bool, error) {
		live, err := v.isLive(ctx, key.Session())
		return !live, err
	})
}
