package pg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/graviton-fs/graviton/backend/blob"
)

// blobs implements blob.Store, blob.ReaderInto and blob.Uploads.
//
// A blob is visible once its key is in blobs and not in uploads. It then has a manifest, which an upload doesn't have.
type blobs struct {
	db       *DB
	partSize int64
}

// minPart is the least size of an upload's parts: small enough for many streams at a time, large enough that a round
// trip for each doesn't count.
const minPart = 4 << 20

// largeAbove is the size in bytes above which a blob goes into a large object, where these are wanted.
const largeAbove = 1 << 20

func newBlobs(db *DB) *blobs {
	return &blobs{db: db, partSize: max(minPart, db.cfg.ChunkSize)}
}

// Close implements blob.Store.
func (b *blobs) Close() error { return nil }

func (b *blobs) wrap(op string, key blob.Key, err error) error {
	return blob.Wrap(op, b.db.store, key, err)
}

// begin checks what every operation checks.
func (b *blobs) begin(ctx context.Context, key blob.Key) error {
	if err := key.Validate(); err != nil {
		return fmt.Errorf("%w: %w", blob.ErrInvalid, err)
	}
	return ctx.Err()
}

// beginWrite is begin for what changes the store.
func (b *blobs) beginWrite(ctx context.Context, key blob.Key) error {
	if b.db.cfg.ReadOnly {
		return blob.ErrReadOnly
	}
	return b.begin(ctx, key)
}

const infoColumns = `b.key, b.size, b.created_at, coalesce(b.content_type, ''), b.attributes`

const visible = ` NOT EXISTS (SELECT FROM uploads u WHERE u.key = b.key)`

// attributes is what blobs.attributes holds.
type attributes struct {
	StorageBackend string          `json:"storageBackend"`
	Origin         blob.Attributes `json:"origin,omitempty"` // what the writer said about it
}

// storedAttributes takes what JSONB can't hold out of attr, which is for people only.
func storedAttributes(attr blob.Attributes) attributes {
	a := attributes{StorageBackend: here}
	clean := func(s string) string {
		return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	for name, value := range attr {
		if a.Origin == nil {
			a.Origin = make(blob.Attributes, len(attr))
		}
		a.Origin[clean(name)] = clean(value)
	}
	return a
}

func scanInfo(row pgx.Row) (info blob.Info, err error) {
	var key []byte
	var attr *attributes
	if err := row.Scan(&key, &info.Size, &info.Created, &info.ContentType, &attr); err != nil {
		return blob.Info{}, err
	}
	info.Key = blob.Key(key)
	if attr != nil {
		info.Attributes = attr.Origin
	}
	return info, nil
}

// Stat implements blob.Store.
func (b *blobs) Stat(ctx context.Context, key blob.Key) (info blob.Info, err error) {
	if err := b.begin(ctx, key); err != nil {
		return info, b.wrap("stat", key, err)
	}
	err = b.db.retry(ctx, func(ctx context.Context) error {
		conn, err := b.db.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		info, err = scanInfo(conn.QueryRow(ctx, "SELECT "+infoColumns+" FROM blobs b WHERE b.key = $1 AND"+visible, []byte(key)))
		if errors.Is(err, pgx.ErrNoRows) {
			return blob.ErrNotFound
		}
		return err
	})
	return info, b.wrap("stat", key, err)
}

// pageSize is how many blobs a List fetches at a time.
const pageSize = 500

// List implements blob.Store. It holds no connection between two pages.
func (b *blobs) List(ctx context.Context, prefix []byte) iter.Seq2[blob.Info, error] {
	const list = "SELECT " + infoColumns + " FROM blobs b WHERE b.key >= $1 AND b.key < $2 AND" + visible +
		" ORDER BY b.key LIMIT $3"
	return b.pages(ctx, "list", list, prefix, func(info blob.Info) []byte { return append([]byte(info.Key), 0) })
}

// pages yields what a statement selects from $1 up to $2, $3 rows at a time; next is where the next page begins.
func (b *blobs) pages(
	ctx context.Context, op, sql string, prefix []byte, next func(blob.Info) []byte,
) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		from, to := append([]byte{}, prefix...), afterPrefix(prefix)
		for {
			page, err := b.page(ctx, sql, from, to)
			if err != nil {
				yield(blob.Info{}, b.wrap(op, "", err))
				return
			}
			for _, info := range page {
				if !yield(info, nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			from = next(page[len(page)-1])
		}
	}
}

func (b *blobs) page(ctx context.Context, sql string, from, to []byte) (page []blob.Info, err error) {
	err = b.db.retry(ctx, func(ctx context.Context) error {
		page = page[:0]
		conn, err := b.db.acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		rows, err := conn.Query(ctx, sql, from, to, pageSize)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			info, err := scanInfo(rows)
			if err != nil {
				return err
			}
			page = append(page, info)
		}
		return rows.Err()
	})
	return page, err
}

// afterPrefix is a key behind all that begin with prefix.
func afterPrefix(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			after := append([]byte{}, prefix[:i+1]...)
			after[i]++
			return after
		}
	}
	return bytes.Repeat([]byte{0xff}, blob.MaxKeyLen+1)
}

// blobStatement is one of a batch.
type blobStatement struct {
	sql  string
	args []any
}

// run runs statements in one transaction and one round trip, and returns how many rows the last one changed.
func (db *DB) run(ctx context.Context, list ...blobStatement) (changed int64, err error) {
	conn, err := db.acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	return sendAll(ctx, conn.Conn(), list)
}

func sendAll(ctx context.Context, conn *pgx.Conn, list []blobStatement) (changed int64, err error) {
	var batch pgx.Batch
	for _, s := range list {
		batch.Queue(s.sql, s.args...)
	}
	results := conn.SendBatch(ctx, &batch)
	for range list {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close() // says the same again
			return 0, err
		}
		changed = tag.RowsAffected()
	}
	return changed, results.Close()
}

// inTx runs fn in a transaction.
func (db *DB) inTx(ctx context.Context, fn func(tx pgx.Tx) error) error {
	conn, err := db.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginFunc(ctx, conn, fn)
}
