package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/blob/contenttype"
	"github.com/graviton-fs/graviton/panics"
)

// Put implements blob.Store. What fits a part is one transaction of one round trip; more goes through an upload of its
// own, so that neither memory nor the length of a transaction depends on the size.
func (b *blobs) Put(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	if err := b.beginWrite(ctx, key); err != nil {
		return b.wrap("put", key, err)
	}
	if size < 0 {
		return b.wrap("put", key, fmt.Errorf("%w: negative size %d", blob.ErrInvalid, size))
	}
	if size > b.partSize {
		return b.wrap("put", key, b.putLarge(ctx, key, r, size, attr))
	}
	buf := b.buffer(size)
	defer b.release(buf)
	data := (*buf)[:size]
	if err := blob.ReadFull(r, data, 0, size); err != nil {
		return b.wrap("put", key, err)
	}
	return b.wrap("put", key, b.putSmall(ctx, key, data, attr))
}

// partBuffers lends buffers of a part's size, which is the same for all that use the pool unless chunks are larger.
var partBuffers sync.Pool

// pooled is the least size for which a buffer of the pool is taken.
const pooled = 256 << 10

func (b *blobs) buffer(size int64) *[]byte {
	if size >= pooled {
		if buf, ok := partBuffers.Get().(*[]byte); ok && int64(cap(*buf)) >= size {
			return buf
		}
		size = max(size, b.partSize)
	}
	buf := make([]byte, size)
	return &buf
}

func (b *blobs) release(buf *[]byte) {
	if cap(*buf) >= minPart {
		*buf = (*buf)[:cap(*buf)]
		partBuffers.Put(buf)
	}
}

func (b *blobs) putSmall(ctx context.Context, key blob.Key, data []byte, attr blob.Attributes) error {
	m := newManifest(uuid.New(), b.db.cfg.ChunkSize, b.db.cfg.LargeObjects && len(data) > largeAbove)
	list := []blobStatement{
		{"INSERT INTO blobs (key, size, content_type, attributes) VALUES ($1, $2, $3, $4)",
			[]any{[]byte(key), int64(len(data)), contenttype.Detect(data), storedAttributes(attr)}},
		{"INSERT INTO manifests (key, manifest_data, version) VALUES ($1, $2, $3)",
			[]any{[]byte(key), m.encode(m.checksums(data)), manifestVersion}},
	}
	if m.large {
		list = append(list, blobStatement{"INSERT INTO large_objects (key, oid) VALUES ($1, lo_from_bytea(0, $2))", []any{[]byte(key), data}})
	} else {
		for off := int64(0); off < int64(len(data)); off += m.chunkSize() {
			list = append(list, blobStatement{"INSERT INTO blob_data (key, chunk_offset, chunk_data) VALUES ($1, $2, $3)",
				[]any{[]byte(key), off, data[off:min(off+m.chunkSize(), int64(len(data)))]}})
		}
	}
	return b.db.retry(ctx, func(ctx context.Context) error {
		for {
			_, err := b.db.run(ctx, list...)
			if !violates(err, "blobs") {
				return err
			}
			if done, err := b.makeWay(ctx, key, m.id); done || err != nil {
				return err
			}
		}
	})
}

// violates reports that a key was in the table already.
func violates(err error, table string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == codeUniqueViolation && pe.TableName == table
}

// makeWay looks at what holds a key that was to be written: that writing itself, whose answer was lost; an upload, which
// is moved out of the way; or a blob, which is ErrExists.
func (b *blobs) makeWay(ctx context.Context, key blob.Key, id uuid.UUID) (done bool, err error) {
	err = b.db.inTx(ctx, func(tx pgx.Tx) error {
		free, err := b.clear(ctx, tx, key)
		if err != nil || free {
			return err
		}
		done, err = isWriting(ctx, tx, key, id)
		if err == nil && !done {
			err = blob.ErrExists
		}
		return err
	})
	return done, err
}

// isWriting reports whether the blob under a key is that writing.
func isWriting(ctx context.Context, tx pgx.Tx, key blob.Key, id uuid.UUID) (same bool, err error) {
	err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM manifests WHERE key = $1 AND substring(manifest_data FROM 1 FOR 16) = $2)",
		[]byte(key), id[:]).Scan(&same)
	return same, err
}

// clear makes a key free if an upload holds it, and reports whether it is free.
func (b *blobs) clear(ctx context.Context, tx pgx.Tx, key blob.Key) (free bool, err error) {
	var id uuid.UUID
	err = tx.QueryRow(ctx, "SELECT id FROM uploads WHERE key = $1 FOR UPDATE", []byte(key)).Scan(&id)
	if err == nil {
		if err := move(ctx, tx, key, stagingKey(id)); err != nil {
			return false, err
		}
		return true, removeRow(ctx, tx, key)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return false, err
	}
	err = tx.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM blobs WHERE key = $1)", []byte(key)).Scan(&free)
	return free, err
}

// stagingKey is where an upload is kept while its key is another's: longer than a blob's key may be.
func stagingKey(id uuid.UUID) blob.Key {
	return blob.Key(string(make([]byte, blob.MaxKeyLen+1)) + string(id[:]))
}

// move gives an upload and its data another key. The row of the former key stays.
func move(ctx context.Context, tx pgx.Tx, from, to blob.Key) error {
	for _, sql := range []string{
		"INSERT INTO blobs (key, size, created_at, content_type, attributes) SELECT $2, size, created_at, content_type, attributes " +
			"FROM blobs WHERE key = $1",
		"UPDATE uploads SET key = $2 WHERE key = $1",
		"UPDATE blob_data SET key = $2 WHERE key = $1",
		"UPDATE large_objects SET key = $2 WHERE key = $1",
	} {
		if _, err := tx.Exec(ctx, sql, []byte(from), []byte(to)); err != nil {
			return err
		}
	}
	return nil
}

func removeRow(ctx context.Context, tx pgx.Tx, key blob.Key) error {
	_, err := tx.Exec(ctx, "DELETE FROM blobs WHERE key = $1", []byte(key))
	return err
}

// putLarge streams r part by part: while one is sent, the next one is read.
func (b *blobs) putLarge(ctx context.Context, key blob.Key, r io.ReaderAt, size int64, attr blob.Attributes) error {
	if _, err := b.Stat(ctx, key); !errors.Is(err, blob.ErrNotFound) {
		if err == nil {
			err = blob.ErrExists
		}
		return err
	}
	u, err := b.newUpload(ctx, key, attr)
	if err != nil {
		return err
	}
	err = u.putAll(ctx, r, size)
	if err == nil {
		return nil
	}
	if aerr := u.Abort(context.WithoutCancel(ctx)); aerr != nil {
		b.db.log.Warn("cannot drop the parts of a failed put; gc will", "key", key.String(), "err", aerr)
	}
	return err
}

// putAll puts all of r and completes the upload.
func (u *upload) putAll(ctx context.Context, r io.ReaderAt, size int64) error {
	sent := make(chan error, 1)
	sent <- nil // as if a part had been sent before
	n := 0
	for off := int64(0); off < size; off += u.b.partSize {
		n++
		part := n
		buf := u.b.buffer(u.b.partSize)
		data := (*buf)[:min(u.b.partSize, size-off)]
		err := blob.ReadFull(r, data, off, size)
		if serr := <-sent; err == nil {
			err = serr
		}
		if err != nil {
			u.b.release(buf)
			return err
		}
		panics.Go(func() {
			defer u.b.release(buf)
			sent <- panics.Do(func() error { return u.putPart(ctx, part, data) })
		})
	}
	if err := <-sent; err != nil {
		return err
	}
	return u.complete(ctx, n, size)
}
