package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// Complete implements blob.Upload.
func (u *upload) Complete(ctx context.Context, parts int, size int64) error {
	if err := u.b.beginWrite(ctx, u.key); err != nil {
		return u.b.wrap("complete", u.key, err)
	}
	return u.b.wrap("complete", u.key, u.complete(ctx, parts, size))
}

func (u *upload) complete(ctx context.Context, parts int, size int64) error {
	u.life.Lock()
	defer u.life.Unlock()
	if u.done {
		return errUploadEnded
	}
	if err := u.check(parts, size); err != nil {
		return err
	}
	f := u.finished(parts, size)
	err := u.b.db.retry(ctx, func(ctx context.Context) error {
		changed, err := u.b.db.run(ctx, f.statements(u.m.id, u.key, false)...)
		if err != nil || changed > 0 {
			return err
		}
		return u.b.db.inTx(ctx, func(tx pgx.Tx) error { return f.promote(ctx, tx, u) })
	})
	if err == nil {
		u.done = true
	}
	return err
}

// finished is what a blob is when its upload is complete.
type finished struct {
	m           manifest
	was         bool // in a large object so far
	size        int64
	surplus     bool // there may be data behind size
	contentType string
	crcs        []uint32
}

func (u *upload) finished(parts int, size int64) finished {
	f := finished{m: u.m, was: u.m.large, size: size, contentType: u.contentType}
	f.m.large = u.m.large && size > largeAbove
	for n := 1; n <= parts; n++ {
		f.crcs = append(f.crcs, u.parts[n].crcs...)
	}
	for n, p := range u.parts {
		if int64(n-1)*u.b.partSize+max(p.most, 1) > size { // an empty part is a row too
			f.surplus = true
		}
	}
	return f
}

// statements make the blob visible; the last one changes a row if they did. They touch nothing if the upload is gone or
// isn't kept under key, nor, unless checked, if the server crashed since it began.
func (f *finished) statements(id uuid.UUID, key blob.Key, checked bool) []blobStatement {
	return append(f.trim(id), blobStatement{`WITH s AS (DELETE FROM unsynced_uploads WHERE id = $1 RETURNING id),
		u AS (DELETE FROM uploads WHERE id = $1 AND key = $2 AND ($7 OR EXISTS (SELECT FROM s)) RETURNING key),
		b AS (UPDATE blobs SET size = $3, content_type = $4 FROM u WHERE blobs.key = u.key RETURNING blobs.key)
		INSERT INTO manifests (key, manifest_data, version) SELECT key, $5, $6 FROM b`,
		[]any{id, []byte(key), f.size, f.contentType, f.m.encode(f.crcs), manifestVersion, checked}})
}

// largeReadWrite is the mode in which lo_open opens for reading and writing (INV_READ | INV_WRITE).
const largeReadWrite = 0x60000

// trim cuts off what is behind the end, and moves what is too small for a large object into rows.
func (f *finished) trim(id uuid.UUID) (list []blobStatement) {
	const held = "WITH u AS (SELECT key FROM uploads WHERE id = $1 FOR UPDATE) "
	switch {
	case f.was && !f.m.large:
		list = append(list, blobStatement{held + `INSERT INTO blob_data (key, chunk_offset, chunk_data)
			SELECT u.key, g, lo_get(l.oid, g, least($3::BIGINT, $2::BIGINT - g)::INT)
			FROM u JOIN large_objects l ON l.key = u.key, generate_series(0::BIGINT, $2::BIGINT - 1, $3::BIGINT) g`,
			[]any{id, f.size, f.m.chunkSize()}},
			blobStatement{held + `DELETE FROM large_objects l USING u WHERE l.key = u.key RETURNING lo_unlink(oid)`, []any{id}})
	case f.was && f.surplus:
		list = append(list, blobStatement{held + "SELECT lo_truncate64(lo_open(l.oid, $3), $2) FROM u JOIN large_objects l ON l.key = u.key",
			[]any{id, f.size, largeReadWrite}})
	case f.surplus:
		list = append(list, blobStatement{held + "DELETE FROM blob_data d USING u WHERE d.key = u.key AND d.chunk_offset >= $2",
			[]any{id, f.size}})
	}
	return list
}

// promote completes an upload that isn't kept under its own key, or that was under way when the server crashed, or finds
// out that it was completed before.
func (f *finished) promote(ctx context.Context, tx pgx.Tx, u *upload) error {
	var at []byte
	err := tx.QueryRow(ctx, "SELECT key FROM uploads WHERE id = $1 FOR UPDATE", u.m.id).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		same, err := isWriting(ctx, tx, u.key, u.m.id)
		if err == nil && !same {
			err = errUploadGone
		}
		return err
	}
	if err != nil {
		return err
	}
	if blob.Key(at) != u.key {
		free, err := u.b.clear(ctx, tx, u.key)
		if err != nil {
			return err
		}
		if !free {
			return blob.ErrExists
		}
		if err := move(ctx, tx, blob.Key(at), u.key); err != nil {
			return err
		}
		if err := removeRow(ctx, tx, blob.Key(at)); err != nil {
			return err
		}
	}
	if _, err = sendAll(ctx, tx.Conn(), f.statements(u.m.id, u.key, true)); err != nil {
		return err
	}
	return f.verify(ctx, tx, u.key)
}

// errPartsLost is what Complete returns when the server crashed and parts are gone that were stored before.
var errPartsLost = fmt.Errorf("%w: parts of the upload were lost in a crash of the server", blob.ErrUnavailable)

// verify reads the blob, which is visible to the transaction only, and compares it with the checksums.
func (f *finished) verify(ctx context.Context, tx pgx.Tx, key blob.Key) error {
	sql := readRows
	if f.m.large {
		sql = readLarge
	}
	size := max(window, f.m.chunkSize())
	buf := make([]byte, min(size, f.size))
	for off := int64(0); off < f.size; off += size {
		t := target{key: key}
		_, err := t.query(ctx, tx.Conn(), sql, blob.Vector{buf[:min(size, f.size-off)]}, off)
		if errors.Is(err, blob.ErrCorrupt) {
			return fmt.Errorf("%w: %w", errPartsLost, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
