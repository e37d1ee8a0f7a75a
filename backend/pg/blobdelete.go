package pg

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// deleteAtOnce is the size in bytes up to which a blob is deleted in one statement. A larger one is made invisible first
// and its data goes in steps of that size, so that none of them takes long.
const deleteAtOnce = 256 << 20

// Delete implements blob.Store.
func (b *blobs) Delete(ctx context.Context, key blob.Key) error {
	if err := b.beginWrite(ctx, key); err != nil {
		return b.wrap("delete", key, err)
	}
	const sql = `WITH v AS (SELECT b.key FROM blobs b WHERE b.key = $1 AND b.size <= $2
			AND coalesce(b.attributes ->> 'storageBackend', 'pg') = 'pg' AND` + visible + ` FOR UPDATE),
		l AS (DELETE FROM large_objects USING v WHERE large_objects.key = v.key RETURNING lo_unlink(oid)),
		m AS (DELETE FROM manifests USING v WHERE manifests.key = v.key),
		r AS (DELETE FROM replicas USING v WHERE replicas.key = v.key)
		DELETE FROM blobs USING v WHERE blobs.key = v.key`
	var deleted int64
	err := b.db.retry(ctx, func(ctx context.Context) (err error) {
		deleted, err = b.db.run(ctx, blobStatement{sql, []any{[]byte(key), int64(deleteAtOnce)}})
		return err
	})
	if err == nil && deleted == 0 {
		err = b.deleteLarge(ctx, key)
	}
	return b.wrap("delete", key, err)
}

// deleteLarge deletes a blob if there is one. It becomes an upload, which nobody sees and which is dropped like one that
// a dead process left behind, should this one die meanwhile.
func (b *blobs) deleteLarge(ctx context.Context, key blob.Key) error {
	id := uuid.New()
	var size int64
	err := b.db.retry(ctx, func(ctx context.Context) error {
		return b.db.inTx(ctx, func(tx pgx.Tx) error {
			err := tx.QueryRow(ctx, "SELECT b.size FROM blobs b WHERE b.key = $1 AND"+visible+" FOR UPDATE", []byte(key)).Scan(&size)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err == nil {
				err = notElsewhere(ctx, tx, key)
			}
			if err != nil {
				return err
			}
			for _, sql := range []string{
				"DELETE FROM manifests WHERE key = $1", "DELETE FROM replicas WHERE key = $1",
			} {
				if _, err := tx.Exec(ctx, sql, []byte(key)); err != nil {
					return err
				}
			}
			_, err = tx.Exec(ctx, "INSERT INTO uploads (id, key, target, part_size) VALUES ($1, $2, $2, $3)", id, []byte(key), b.partSize)
			return err
		})
	})
	for end := size; err == nil && end > deleteAtOnce; end -= deleteAtOnce {
		err = b.db.retry(ctx, func(ctx context.Context) error {
			_, err := b.db.run(ctx,
				blobStatement{heldUpload + "DELETE FROM blob_data d USING u WHERE d.key = u.key AND d.chunk_offset >= $2",
					[]any{id, end - deleteAtOnce}},
				blobStatement{heldUpload + "SELECT lo_truncate64(lo_open(l.oid, $3), $2) FROM u JOIN large_objects l ON l.key = u.key",
					[]any{id, end - deleteAtOnce, largeReadWrite}})
			return err
		})
	}
	if err == nil {
		err = b.drop(ctx, id)
	}
	return err
}
