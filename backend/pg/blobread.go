package pg

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// The bytes from $2 up to $3 of the blob $1: of each chunk only what lies between. Every row begins with what the blob
// is. Rows are sorted before their bytes are looked at, so that those are not sorted too. A whole chunk is sent as it is:
// a substring of it would be one more copy in the server's memory.
const (
	readSlice = `x.size, x.head, x.chunk_offset, %s, substring(x.manifest_data FROM 19 + 4 * (x.chunk_offset >> x.s)::INT FOR 4)`
	readBlob  = ` FROM blobs b CROSS JOIN LATERAL (
			SELECT manifest_data, substring(manifest_data FROM 1 FOR 18) AS head, get_byte(substring(manifest_data FROM 17 FOR 1), 0) AS s
			FROM manifests WHERE key = b.key OFFSET 0) m `
)

var (
	readRows = "SELECT " + fmt.Sprintf(readSlice, `CASE WHEN $2::BIGINT <= x.chunk_offset AND $3::BIGINT >= x.chunk_offset + (1 << x.s)
			THEN x.chunk_data ELSE substring(x.chunk_data FROM (greatest($2::BIGINT - x.chunk_offset, 0) + 1)::INT
				FOR (least($3::BIGINT - x.chunk_offset, 1 << x.s) - greatest($2::BIGINT - x.chunk_offset, 0))::INT) END`) + `
		FROM (SELECT b.size, m.*, d.chunk_offset, d.chunk_data` + readBlob + `LEFT JOIN LATERAL (
				SELECT chunk_offset, chunk_data FROM blob_data
				WHERE key = b.key AND chunk_offset >= $2::BIGINT >> m.s << m.s AND chunk_offset < $3::BIGINT OFFSET 0) d ON TRUE
			WHERE b.key = $1 ORDER BY d.chunk_offset OFFSET 0) x`
	readLarge = "SELECT " + fmt.Sprintf(readSlice, `lo_get(x.oid, greatest($2::BIGINT, x.chunk_offset),
				(least($3::BIGINT, x.size, x.chunk_offset + (1 << x.s)) - greatest($2::BIGINT, x.chunk_offset))::INT)`) + `
		FROM (SELECT b.size, m.*, c.chunk_offset, c.oid` + readBlob + `LEFT JOIN LATERAL (
				SELECT g AS chunk_offset, l.oid FROM large_objects l,
					generate_series($2::BIGINT >> m.s << m.s, least($3::BIGINT, b.size) - 1, 1::BIGINT << m.s) g WHERE l.key = b.key) c ON TRUE
			WHERE b.key = $1 ORDER BY c.chunk_offset OFFSET 0) x`
)

// target is a blob that is being read, so far as it is known.
type target struct {
	key  blob.Key
	id   uuid.UUID // of the writing that is read; zero until the first fetch
	size int64
	m    manifest
}

// fetch fills p with the blob's bytes from off, fewer at its end. If the blob is another than before, it is gone.
//
// A chunk that is read in whole is verified by its checksum; of a slice only the length is. Nothing but the server's
// page checksums (initdb --data-checksums) covers those.
func (b *blobs) fetch(ctx context.Context, t *target, p blob.Vector, off int64) (n int, err error) {
	err = b.db.retry(ctx, func(ctx context.Context) error {
		conn, err := b.db.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		sql := readRows
		if t.m.large {
			sql = readLarge
		}
		n, err = t.query(ctx, conn.Conn(), sql, p, off)
		if err == nil && t.m.large && sql == readRows {
			n, err = t.query(ctx, conn.Conn(), readLarge, p, off)
		}
		return err
	})
	return n, err
}

func (t *target) query(ctx context.Context, conn *pgx.Conn, sql string, p blob.Vector, off int64) (n int, err error) {
	size := p.Len()
	end := off + min(int64(size), math.MaxInt64-off)
	rows, err := conn.Query(ctx, sql, pgx.QueryResultFormats{pgx.BinaryFormatCode}, []byte(t.key), off, end)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		v := rows.RawValues()
		if !found {
			if err := t.describe(v[0], v[1]); err != nil {
				return 0, err
			}
			found = true
		}
		if v[2] == nil || off >= t.size {
			continue // there are no such bytes
		}
		got, err := t.take(p.Slice(n, size), v[2:], off+int64(n))
		if err != nil {
			return 0, err
		}
		n += got
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if !found {
		return 0, blob.ErrNotFound
	}
	want := min(end, t.size) - off
	if elsewhere := t.m.large && sql == readRows; int64(n) < want && !elsewhere {
		return 0, fmt.Errorf("at offset %d: %w: the data is missing", off+int64(n), blob.ErrCorrupt)
	}
	return n, nil
}

// describe takes what a row says about the blob.
func (t *target) describe(size, head []byte) error {
	m, err := decodeHead(head)
	if err != nil {
		return err
	}
	if len(size) != 8 {
		return fmt.Errorf("%w: a size of %d bytes", blob.ErrCorrupt, len(size))
	}
	if t.id != uuid.Nil && t.id != m.id {
		return blob.ErrNotFound
	}
	t.id, t.m, t.size = m.id, m, int64(binary.BigEndian.Uint64(size))
	if t.size < 0 {
		return fmt.Errorf("%w: its size is %d", blob.ErrCorrupt, t.size)
	}
	return nil
}

// take copies a slice of a chunk, which must be the one at off.
func (t *target) take(p blob.Vector, row [][]byte, off int64) (int, error) {
	slice, crc := row[1], row[2]
	if len(row[0]) != 8 {
		return 0, fmt.Errorf("at offset %d: %w: the chunk has no offset", off, blob.ErrCorrupt)
	}
	start := int64(binary.BigEndian.Uint64(row[0]))
	if start < 0 || start > t.size {
		return 0, fmt.Errorf("at offset %d: %w: there is a chunk at %d", off, blob.ErrCorrupt, start)
	}
	full := min(t.m.chunkSize(), t.size-start)
	want := min(int64(p.Len()), start+full-off)
	if start > off || off-start >= t.m.chunkSize() || int64(len(slice)) != want {
		return 0, fmt.Errorf("at offset %d: %w: the chunk at %d yields %d bytes, want %d", off, blob.ErrCorrupt, start, len(slice), want)
	}
	if want == full {
		if err := verify(slice, crc, start); err != nil {
			return 0, err
		}
	}
	return p.Copy(slice), nil
}

// ReadInto implements blob.ReaderInto. It takes one round trip, or two for the first read of a large object.
func (b *blobs) ReadInto(ctx context.Context, key blob.Key, p []byte, off int64) (int, error) {
	return b.ReadIntov(ctx, key, blob.Vector{p}, off)
}

// ReadIntov implements blob.VectorReader.
func (b *blobs) ReadIntov(ctx context.Context, key blob.Key, p blob.Vector, off int64) (int, error) {
	if err := b.begin(ctx, key); err != nil {
		return 0, b.wrap("read", key, err)
	}
	if off < 0 {
		return 0, b.wrap("read", key, fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off))
	}
	n, err := b.fetch(ctx, &target{key: key}, p, off)
	return n, b.wrap("read", key, err)
}

// Open implements blob.Store. The reader holds no connection between two fetches.
func (b *blobs) Open(ctx context.Context, key blob.Key, off, n int64) (io.ReadCloser, error) {
	if err := b.begin(ctx, key); err != nil {
		return nil, b.wrap("open", key, err)
	}
	if off < 0 {
		return nil, b.wrap("open", key, fmt.Errorf("%w: negative offset %d", blob.ErrInvalid, off))
	}
	end := int64(math.MaxInt64)
	if n >= 0 && n < end-off {
		end = off + n
	}
	r := &reader{b: b, t: target{key: key}, off: off, end: end}
	r.ctx, r.stop = context.WithCancel(ctx)
	// The first fetch tells how large the blob is: one chunk, or less if less is wanted.
	cs := b.db.cfg.ChunkSize
	first := min(end-off, cs-off%cs)
	r.whole = b.buffer(first)
	got, err := b.fetch(r.ctx, &r.t, blob.Vector{(*r.whole)[:first]}, off)
	if err != nil {
		r.stop()
		b.release(r.whole)
		return nil, b.wrap("open", key, err)
	}
	r.rest = (*r.whole)[:got]
	r.off += int64(got)
	r.end = max(r.off, min(r.end, r.t.size))
	return r, nil
}
