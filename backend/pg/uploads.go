package pg

import (
	"context"
	"iter"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// ListUploads implements blob.Uploads.
func (b *blobs) ListUploads(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	// Of uploads of one key the largest counts, so that a page always ends between two keys.
	const list = `SELECT u.target, max(
			coalesce((SELECT sum(octet_length(d.chunk_data)) FROM blob_data d WHERE d.key = u.key), 0)::BIGINT +
			coalesce((SELECT lo_lseek64(lo_open(l.oid, 262144), 0, 2) FROM large_objects l WHERE l.key = u.key), 0)),
			min(u.started_at), '', (array_agg(b.attributes))[1]
		FROM uploads u JOIN blobs b ON b.key = u.key WHERE u.target >= $1 AND u.target < $2
		GROUP BY u.target ORDER BY u.target LIMIT $3`
	return b.pages(ctx, "list uploads", list, prefix, func(info blob.Info) []byte { return append([]byte(info.Key), 0) })
}

// AbortUpload implements blob.Uploads.
func (b *blobs) AbortUpload(ctx context.Context, key blob.Key) error {
	if err := b.beginWrite(ctx, key); err != nil {
		return b.wrap("abort upload", key, err)
	}
	var ids []uuid.UUID
	err := b.db.retry(ctx, func(ctx context.Context) error {
		conn, err := b.db.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		rows, err := conn.Query(ctx, "SELECT id FROM uploads WHERE target = $1", []byte(key))
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		return err
	})
	if err != nil {
		return b.wrap("abort upload", key, err)
	}
	for _, id := range ids {
		if err := b.drop(ctx, id); err != nil {
			return b.wrap("abort upload", key, err)
		}
	}
	return nil
}
