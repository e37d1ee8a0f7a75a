package pg

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// here is the storageBackend of blobs whose bytes are in this database.
const here = "pg"

// Rows are the rows in blobs, manifests and replicas of blobs whose bytes are in another store. All methods may be called
// concurrently, and retry as the store of the database does. Errors are *blob.Error.
type Rows struct{ b *blobs }

// Rows returns the rows of blobs whose bytes are elsewhere.
func (db *DB) Rows() *Rows { return &Rows{db.blobs} }

func rawKeys(keys []blob.Key) [][]byte {
	raw := make([][]byte, len(keys))
	for i, k := range keys {
		raw[i] = []byte(k)
	}
	return raw
}

// exec runs statements in one transaction and one round trip.
func (r *Rows) exec(ctx context.Context, list ...blobStatement) error {
	if r.b.db.cfg.ReadOnly {
		return blob.ErrReadOnly
	}
	return r.b.db.retry(ctx, func(ctx context.Context) error {
		_, err := r.b.db.run(ctx, list...)
		return err
	})
}

// execSynced is exec whose commit is durable when it returns, and with it all that was committed before.
func (r *Rows) execSynced(ctx context.Context, s blobStatement) error {
	// The mark has a transaction written that changes nothing.
	return r.exec(ctx, blobStatement{sql: syncOn}, blobStatement{sql: syncMark}, s)
}

// query runs a statement and hands each row to scan, which may run again from the first row.
func (r *Rows) query(ctx context.Context, begin func(), scan func(rows pgx.Rows) error, sql string, args ...any) error {
	return r.b.db.retry(ctx, func(ctx context.Context) error {
		begin()
		conn, err := r.b.db.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Backends tells which store has the bytes of each key, by its name; "pg" is this database. Keys without a row are left
// out.
func (r *Rows) Backends(ctx context.Context, keys []blob.Key) (map[blob.Key]string, error) {
	var found map[blob.Key]string
	err := r.query(ctx, func() { found = make(map[blob.Key]string, len(keys)) }, func(rows pgx.Rows) error {
		var key []byte
		var backend string
		err := rows.Scan(&key, &backend)
		found[blob.Key(key)] = backend
		return err
	}, "SELECT b.key, coalesce(b.attributes ->> 'storageBackend', $2) FROM blobs b WHERE b.key = ANY($1) AND"+visible, rawKeys(keys), here)
	if err != nil {
		return nil, r.wrapAny("look up", keys, err)
	}
	return found, nil
}

// wrapAny names the key where there is one only.
func (r *Rows) wrapAny(op string, keys []blob.Key, err error) error {
	key := blob.Key("")
	if len(keys) == 1 {
		key = keys[0]
	}
	return r.b.wrap(op, key, err)
}

// Manifest returns a blob's manifest and its version, or blob.ErrNotFound.
func (r *Rows) Manifest(ctx context.Context, key blob.Key) (data []byte, version int, err error) {
	found := false
	err = r.query(ctx, func() { found = false }, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&data, &version)
	}, "SELECT manifest_data, version FROM manifests WHERE key = $1", []byte(key))
	if err == nil && !found {
		err = blob.ErrNotFound
	}
	return data, version, r.b.wrap("read the manifest of", key, err)
}

// Record makes a blob visible whose bytes another store has: its rows in blobs, manifests and replicas at once. The
// manifest begins with 16 bytes that tell this writing from every other: repeating it is no error. A key that has a row
// is blob.ErrExists. One that was marked as stray is blob.ErrNotFound: its bytes are being removed.
func (r *Rows) Record(ctx context.Context, info blob.Info, backend string, manifest []byte, version int) error {
	if err := r.b.beginWrite(ctx, info.Key); err != nil {
		return r.b.wrap("record", info.Key, err)
	}
	id, err := uuid.FromBytes(manifest[:16])
	if err != nil {
		return r.b.wrap("record", info.Key, err)
	}
	attr := storedAttributes(info.Attributes)
	attr.StorageBackend = backend
	key := []byte(info.Key)
	list := []blobStatement{
		{"INSERT INTO blobs (key, size, content_type, attributes) SELECT $1, $2, $3, $4 " +
			"WHERE NOT EXISTS (SELECT FROM stray_objects WHERE key = $1)",
			[]any{key, info.Size, info.ContentType, attr}},
		{"INSERT INTO manifests (key, manifest_data, version) VALUES ($1, $2, $3)", []any{key, manifest, version}},
		{"INSERT INTO replicas (key, sector_id, range_start, range_end) VALUES ($1, $2, 0, $3)", []any{key, backend, info.Size}},
	}
	err = r.b.db.retry(ctx, func(ctx context.Context) error {
		for {
			_, err := r.b.db.run(ctx, list...)
			if codeOf(err) == codeForeignKeyViolation {
				return fmt.Errorf("%w: its object was taken for one that a dead daemon left behind", blob.ErrNotFound)
			}
			if !violates(err, "blobs") {
				return err
			}
			if done, err := r.b.makeWay(ctx, info.Key, id); done || err != nil {
				return err
			}
		}
	})
	return r.b.wrap("record", info.Key, err)
}

const forget = `WITH v AS (SELECT b.key FROM blobs b WHERE b.key = ANY($1) AND b.attributes ->> 'storageBackend' = $2 AND` + visible + `%s FOR UPDATE),
	m AS (DELETE FROM manifests USING v WHERE manifests.key = v.key),
	r AS (DELETE FROM replicas USING v WHERE replicas.key = v.key)
	DELETE FROM blobs USING v WHERE blobs.key = v.key`

// Forget removes the rows of blobs that a store has. Missing ones are no error. It is durable when it returns, and so is
// what took the last name from the blobs: their bytes may be removed then, and no crash of the server brings back a row or
// a name of them.
func (r *Rows) Forget(ctx context.Context, backend string, keys []blob.Key) error {
	err := r.execSynced(ctx, blobStatement{fmt.Sprintf(forget, ""), []any{rawKeys(keys), backend}})
	return r.wrapAny("forget", keys, err)
}

// Discard is Forget for the row of one writing: another blob's under the same key stays.
func (r *Rows) Discard(ctx context.Context, backend string, key blob.Key, manifest []byte) error {
	const same = " AND EXISTS (SELECT FROM manifests m WHERE m.key = b.key AND substring(m.manifest_data FROM 1 FOR 16) = $3)"
	err := r.execSynced(ctx, blobStatement{fmt.Sprintf(forget, same), []any{rawKeys([]blob.Key{key}), backend, manifest[:16]}})
	return r.b.wrap("discard", key, err)
}

// Unhealthy notes in replicas that a store doesn't have what it should.
func (r *Rows) Unhealthy(ctx context.Context, backend string, key blob.Key) error {
	err := r.exec(ctx, blobStatement{"UPDATE replicas SET healthy = FALSE WHERE key = $1 AND sector_id = $2 AND healthy",
		[]any{[]byte(key), backend}})
	return r.b.wrap("mark the replica of", key, err)
}

// MarkStrays marks objects that have no row; those that have one are left out. A key stays marked from when it was first.
func (r *Rows) MarkStrays(ctx context.Context, keys []blob.Key) error {
	err := r.exec(ctx, blobStatement{`INSERT INTO stray_objects (key) SELECT k FROM unnest($1::BYTEA[]) k
		WHERE NOT EXISTS (SELECT FROM blobs b WHERE b.key = k) ON CONFLICT DO NOTHING`, []any{rawKeys(keys)}})
	return r.wrapAny("mark", keys, err)
}

// Strays returns at most so many objects that were marked at least some seconds ago and still have no row. The mark of one
// that has a row is taken away. The marks are durable when it returns, so that the objects may be removed.
func (r *Rows) Strays(ctx context.Context, seconds float64, most int) ([]blob.Key, error) {
	var keys []blob.Key
	err := r.execSynced(ctx, blobStatement{sql: "DELETE FROM stray_objects s WHERE EXISTS (SELECT FROM blobs b WHERE b.key = s.key)"})
	if err == nil {
		err = r.query(ctx, func() { keys = nil }, func(rows pgx.Rows) error {
			var key []byte
			err := rows.Scan(&key)
			keys = append(keys, blob.Key(key))
			return err
		}, "SELECT key FROM stray_objects WHERE marked_at <= NOW() - make_interval(secs => $1) ORDER BY key LIMIT $2", seconds, most)
	}
	return keys, r.b.wrap("list strays", "", err)
}

// Unmark takes the marks of objects away that were removed.
func (r *Rows) Unmark(ctx context.Context, keys []blob.Key) error {
	err := r.exec(ctx, blobStatement{"DELETE FROM stray_objects WHERE key = ANY($1)", []any{rawKeys(keys)}})
	return r.wrapAny("unmark", keys, err)
}

// errElsewhere is what the database's own store says of blobs whose bytes it doesn't have.
func errElsewhere(backend string) error {
	return fmt.Errorf("%w: its bytes are in %q, which this mount doesn't have: mount with the configuration of that store",
		blob.ErrUnknownBackend, backend)
}

// notElsewhere returns an error if the blob's bytes are in another store. A missing one is none.
func notElsewhere(ctx context.Context, tx pgx.Tx, key blob.Key) error {
	var backend string
	err := tx.QueryRow(ctx, "SELECT coalesce(attributes ->> 'storageBackend', $2) FROM blobs WHERE key = $1", []byte(key), here).Scan(&backend)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && backend == here {
		return nil
	}
	if err != nil {
		return err
	}
	return errElsewhere(backend)
}
